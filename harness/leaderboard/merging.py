"""Rows of many records → entries of classes: who is the same, who may be ranked together, whose anchor it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harness.leaderboard.found import Quality, Record, Row, Terms
from harness.leaderboard.timing import Reference
from harness.reports.model import Absent, AxisValue

Trained = frozenset[tuple[str, AxisValue]]


@dataclass(frozen=True, eq=False)
class Group:
    """One row as all records have it, the one that its quality comes from first. Equal to itself alone."""

    pairs: tuple[tuple[Record, Row], ...]

    @property
    def row(self) -> Row:
        """As the first has it."""
        return self.pairs[0][1]

    @property
    def quality(self) -> Quality:
        """Of the first."""
        found = self.row.quality
        assert found is not None  # noqa: S101 - `merge` puts it there
        return found

    @property
    def cells(self) -> frozenset[str]:
        """Of all records."""
        return frozenset().union(*(row.cells for _, row in self.pairs))


@dataclass(frozen=True)
class Together:
    """Groups that may be ranked together."""

    terms: Terms
    isa: str  # class of CPUs of the rows that depend on it; "" where none does
    groups: tuple[Group, ...]
    anchor: Group | None
    references: Mapping[str, Reference | Absent]  # by digest of a record


def merge(records: Sequence[Record]) -> list[Group]:
    """Rows that share a cell under equal terms are one; its quality comes from the first record with most seeds."""
    owner: dict[tuple[Terms, str, str], int] = {}
    found: list[list[tuple[Record, Row]]] = []
    for record in records:
        for row in record.rows:
            keys = [(row.terms, row.isa, cell) for cell in sorted(row.cells)]
            hits = sorted({owner[key] for key in keys if key in owner}) or [len(found)]
            if hits[0] == len(found):
                found.append([])
            for other in hits[1:]:
                found[hits[0]] += found[other]
                found[other] = []
            found[hits[0]].append((record, row))
            moved = (
                [(one.terms, one.isa, cell) for _, one in found[hits[0]] for cell in one.cells] if hits[1:] else keys
            )
            owner.update(dict.fromkeys(moved, hits[0]))
    return [_ordered(pairs) for pairs in found if pairs]


def _ordered(pairs: list[tuple[Record, Row]]) -> Group:
    best = max((row for _, row in pairs if row.quality is not None), key=lambda row: row.seeds)
    return Group(tuple(sorted(pairs, key=lambda pair: pair[1] is not best)))


def classes(groups: Sequence[Group]) -> list[Together]:
    """Groups by what makes their scores comparable.

    Where answers depend on the class of CPUs and records of several such classes hold them, those of each stand in a
    class of their own, beside the rows that they were made from and the anchors: nobody chooses an int8 model without
    looking at what it was before. All that hold everywhere stand in one class.
    """
    by_terms: dict[Terms, list[Group]] = {}
    for group in groups:
        by_terms.setdefault(group.row.terms, []).append(group)
    found = []
    for terms, members in by_terms.items():
        isas = sorted({group.row.isa for group in members if group.row.isa})
        if len(isas) < 2:
            found.append(_together(terms, "".join(isas), members))
            continue
        everywhere = [group for group in members if not group.row.isa]
        found += [_together(terms, "", everywhere)] if everywhere else []
        found += [_together(terms, isa, _with_sources(isa, members)) for isa in isas]
    return found


def _with_sources(isa: str, members: Sequence[Group]) -> list[Group]:
    """The groups of a class of CPUs, what they were made from, and the anchors of their records."""
    own = {group for group in members if group.row.isa == isa}
    pairs = [pair for group in own for pair in group.pairs]
    wanted = {(record.digest, _trained(row)) for record, row in pairs}
    wanted |= {(record.digest, _trained(anchor)) for record, _ in pairs if (anchor := record.anchor_row())}
    return [group for group in members if group in own or _is_source(group, wanted)]


def _is_source(group: Group, wanted: Collection[tuple[str, Trained]]) -> bool:
    plain = [(record.digest, _trained(row)) for record, row in group.pairs if not row.compressors and not row.isa]
    return any(one in wanted for one in plain)


def _trained(row: Row) -> Trained:
    """What rows of one model that differ in their chain alone have in common."""
    return frozenset((axis, value) for axis, value in row.axes.items() if axis != "compress")


def _together(terms: Terms, isa: str, groups: Sequence[Group]) -> Together:
    records = {record.digest: record for group in groups for record, _ in group.pairs}
    own = {digest: record.anchor_row() for digest, record in records.items()}
    anchor = _anchor(groups, own)
    return Together(
        terms=terms,
        isa=isa,
        groups=tuple(groups),
        anchor=anchor,
        references=_references(records, own, anchor),
    )


def _anchor(groups: Sequence[Group], own: Mapping[str, Row | None]) -> Group | None:
    """The row that is the anchor in most records; of equals the one whose records hold most of the class's rows."""
    rows = Counter(record.digest for group in groups for record, _ in group.pairs)
    votes = {
        at: [record.digest for record, row in group.pairs if own[record.digest] is row]
        for at, group in enumerate(groups)
    }
    best = max(votes, key=lambda at: (len(votes[at]), sum(rows[digest] for digest in votes[at]), -at), default=None)
    return groups[best] if best is not None and votes[best] else None


def _references(
    records: Mapping[str, Record], own: Mapping[str, Row | None], anchor: Group | None
) -> dict[str, Reference | Absent]:
    if anchor is None:
        return dict.fromkeys(records, Absent("no row of this table is the anchor of its suite"))
    there = {record.digest: row for record, row in anchor.pairs}
    recipes = {record.recipe for record, row in anchor.pairs if own[record.digest] is row}
    missing = Absent(
        f"its record does not hold the anchor of this table ({anchor.row.label}), and ratios to another one are no "
        "ratios to it; run it in a suite that has that row"
    )
    found: dict[str, Reference | Absent] = {}
    for digest, record in records.items():
        mine = own[digest]
        if digest in there:
            found[digest] = Reference(there[digest], own=there[digest] is mine)
        elif mine is not None and record.recipe in recipes:
            found[digest] = Reference(mine, own=True)  # made alike with other versions: as fast, and as large
        else:
            found[digest] = missing
    return found
