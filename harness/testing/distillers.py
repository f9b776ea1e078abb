"""What a distiller promises."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.heads import MASKED
from harness.specs import Batch, DistillerSpec, Head
from harness.testing import common
from harness.testing.common import COMMON, Look
from harness.testing.model import Broken, Finding, NotApplicable, passed

if TYPE_CHECKING:
    from torch import Tensor

_CLOSE = 1e-5  # of losses and gradients that should be equal
_STEPS, _RATE = 20, 0.1  # of descent on the logits alone


class Bench(common.Bench):
    """A distiller and toy batches."""

    @property
    def distiller(self) -> DistillerSpec:
        """What it declares."""
        return cast("DistillerSpec", self.spec)

    def heads(self) -> list[Head]:
        """Those that it lists and whose toy classes its params make sense for. NotApplicable where there is none."""
        from harness.testing.lessons import CLASSES

        params, refusals = self.params(), []
        fit = []
        for head in self.distiller.heads:
            reason = self.distiller.supports(params, head, CLASSES[head])
            if reason is None:
                fit.append(head)
            else:
                refusals.append(f"{head}: {reason}")
        if not fit:
            raise NotApplicable("; ".join(refusals))
        return fit

    def usable(self) -> list[Head]:
        """The same, once it is known that there is a loss."""
        finite(self, Path())
        return self.heads()

    def batch(self, head: Head, *, labelled: bool = True) -> Batch:
        """What the core would hand it, with all that its spec asks for."""
        from harness.testing.lessons import lesson

        spec = self.distiller
        pairs = len(spec.states(self.params()))
        return lesson(head, pairs=pairs, critical=spec.reads_critical, labelled=labelled, teacher=spec.needs_teacher)

    def loss(self, batch: Batch) -> tuple[Tensor, dict[str, Any]]:
        """Of a new one, that has seen nothing before."""
        import torch

        from harness.testing.lessons import WIDTHS

        torch.manual_seed(0)
        loss = self.distiller.load()
        if self.distiller.stateful:
            loss.begin(self.params(), batch.critical, [WIDTHS] * len(batch.states))
        said = loss.loss(batch, self.params())
        if not (isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], dict)):
            msg = f"`loss` returned a {type(said).__name__}; expected the loss and its parts, (Tensor, dict)"
            raise Broken(msg)
        return said


def finite(bench: Bench, folder: Path) -> Finding:
    """For every head, twice."""
    return cast("Finding", bench.once("finite", lambda: _finite(bench)))


def _finite(bench: Bench) -> Finding:
    notes = []
    for head in bench.heads():
        (value, parts), (again, _) = (bench.loss(bench.batch(head)) for _ in range(2))
        if getattr(value, "shape", None) != () or not math.isfinite(_number(value)):
            msg = f"{head}: the loss is {value}; one finite number was expected"
            raise Broken(msg)
        wrong = [name for name, part in parts.items() if not math.isfinite(_number(part))]
        if wrong:
            msg = f"{head}: part '{wrong[0]}' of the loss is {parts[wrong[0]]}"
            raise Broken(msg)
        if _number(value) != _number(again):
            msg = f"{head}: the same batch gives {_number(value):.6g} and then {_number(again):.6g}"
            raise Broken(msg)
        notes.append(f"{head} {_number(value):.3g}")
    return passed("; ".join(notes))


def gradient(bench: Bench, folder: Path) -> Finding:
    """Of the student's logits, for every head."""
    return cast("Finding", bench.once("gradient", lambda: _gradient(bench)))


def _gradient(bench: Bench) -> Finding:
    from harness.testing.lessons import moving

    for head in bench.usable():
        batch, logits = moving(bench.batch(head))
        value, _ = bench.loss(batch)
        if not value.requires_grad:
            msg = f"{head}: the loss has no gradient: the student would learn nothing"
            raise Broken(msg)
        value.backward()  # type: ignore[no-untyped-call]
        found = logits.grad
        if found is None or not bool(found.isfinite().all()) or not bool(found.any()):
            msg = f"{head}: the gradient of the student's logits is missing, zero or not finite"
            raise Broken(msg)
    return passed()


def descends(bench: Bench, folder: Path) -> Finding:
    """Going down its gradient lowers the loss and leads towards the labels or the teacher."""
    gradient(bench, folder)
    notes = []
    for head in bench.usable():
        first = bench.batch(head)
        values, last = _descent(bench, first)
        if not values[-1] < values[0]:
            msg = f"{head}: {_STEPS} steps down its gradient lead from {values[0]:.4g} to {values[-1]:.4g}"
            raise Broken(msg)
        if not any(after < before for before, after in zip(_distances(first), _distances(last), strict=True)):
            msg = f"{head}: {_STEPS} steps down its gradient lead away from labels and teacher"
            raise Broken(msg)
        notes.append(f"{head} {values[0]:.2g} → {values[-1]:.2g}")
    return passed("; ".join(notes))


def _descent(bench: Bench, batch: Batch) -> tuple[list[float], Batch]:
    """The loss before each step, and where they lead."""
    from harness.testing.lessons import moving

    values = []
    for _ in range(_STEPS):
        here, logits = moving(batch)
        value, _ = bench.loss(here)
        value.backward()  # type: ignore[no-untyped-call]
        values.append(_number(value))
        assert logits.grad is not None  # noqa: S101 - `gradient` has seen to it
        batch = replace(batch, logits=(logits - _RATE * len(logits) * logits.grad).detach())
    return values, batch


def _distances(batch: Batch) -> list[float]:
    """Cross-entropy with the labels, and with each teacher's distribution."""
    from torch.nn import functional

    wanted = [batch.targets, *(teacher.softmax(-1) for teacher in batch.teachers)]
    return [float(functional.cross_entropy(batch.logits, one)) for one in wanted]


def at_the_teacher(bench: Bench, folder: Path) -> Finding:
    """Without labels, a student that says what its teacher says has nothing to learn."""
    from harness.testing.lessons import moving

    if not bench.distiller.needs_teacher or bench.distiller.needs_labels:
        msg = "it learns from labels, too, which may say something else than the teacher"
        raise NotApplicable(msg)
    for head in bench.usable():
        batch = bench.batch(head, labelled=False)
        there, logits = moving(replace(batch, logits=batch.teachers[0]))
        value = bench.loss(there)[0]
        if not value.requires_grad:
            msg = f"{head}: without labels the loss has no gradient: nothing would be learned from the teacher alone"
            raise Broken(msg)
        value.backward()  # type: ignore[no-untyped-call]
        here, away = _number(value), _number(bench.loss(batch)[0])
        if not math.isfinite(here):
            msg = f"{head}: without labels there is no loss"
            raise NotApplicable(msg)
        slope = 0.0 if logits.grad is None else float(logits.grad.abs().max())
        if not slope <= _CLOSE or not here <= away:
            msg = (
                f"{head}: where the student says what the teacher says, without labels, the loss is {here:.3g} "
                f"and its gradient {slope:.2g}; elsewhere the loss is {away:.3g}. Expected: no gradient there, and no "
                "smaller loss elsewhere"
            )
            raise Broken(msg)
    return passed("no gradient, no larger loss")


def masks(bench: Bench, folder: Path) -> Finding:
    """Other numbers where nothing exists, and where the teacher sees nothing."""
    if "span" not in bench.usable():
        msg = "only spans have positions that do not exist or that a teacher does not see"
        raise NotApplicable(msg)
    batch = bench.batch("span")
    assert batch.exists is not None  # noqa: S101 - spans have them
    assert batch.covered is not None  # noqa: S101
    plain = _number(bench.loss(batch)[0])
    deeper = replace(batch, logits=batch.logits.masked_fill(~batch.exists, 2 * MASKED))
    unseen = replace(batch, teachers=tuple(one.masked_fill(~batch.covered, 1.0) for one in batch.teachers))
    for what, other in (("that do not exist (`exists`)", deeper), ("unknown to the teacher (`covered`)", unseen)):
        moved = abs(_number(bench.loss(other)[0]) - plain)
        if moved > _CLOSE * max(1.0, abs(plain)):
            msg = f"other numbers at positions {what} change the loss by {moved:.3g}"
            raise Broken(msg)
    return passed("`exists` and `covered`")


def weights(bench: Bench, folder: Path) -> Finding:
    """A teacher without weight is not there, and equal weights are none."""
    import torch

    if not bench.distiller.weighs_teachers:
        msg = "it does not say `weighs_teachers`: the plan lets nobody weigh its teachers"
        raise NotApplicable(msg)
    for head in bench.usable():
        plain = bench.batch(head)
        (first,) = plain.teachers
        both = replace(plain, teachers=(first, first.flip(0)))
        turn = (torch.arange(len(first)) % 2).to(first.dtype)  # [U]
        alone = replace(plain, teachers=(torch.where(turn.bool()[:, None], first, first.flip(0)),))
        chosen = replace(both, weights=torch.stack([turn, 1 - turn]))
        equal = replace(both, weights=torch.full((2, len(first)), 0.5))
        for what, one, other in (
            ("of 0 and 1 choose no teacher", chosen, alone),
            ("that are equal count", equal, both),
        ):
            found, wanted = _number(bench.loss(one)[0]), _number(bench.loss(other)[0])
            if not abs(found - wanted) <= _CLOSE * max(1.0, abs(wanted)):
                msg = f"{head}: weights {what}: the loss is {found:.6g}, {wanted:.6g} was expected"
                raise Broken(msg)
    return passed("of two teachers")


def unlabelled(bench: Bench, folder: Path) -> Finding:
    """Transfer texts have no labels; of a batch, some units may have none."""
    import torch

    for head in bench.usable():
        batch = bench.batch(head)
        some = torch.where(torch.arange(len(batch.targets)) % 3 == 0, -100, batch.targets)
        _check_number(head, bench.loss(replace(batch, targets=some))[0], "some units without labels")
        if not bench.distiller.needs_labels:
            _check_number(head, bench.loss(bench.batch(head, labelled=False))[0], "no labels")
    return passed("without labels" if not bench.distiller.needs_labels else "with units that have none")


def _number(value: Any) -> float:
    return float(value.detach() if hasattr(value, "detach") else value)


def _check_number(head: Head, value: Any, what: str) -> None:
    if not math.isfinite(_number(value)):
        msg = f"{head}: with {what} the loss is {_number(value)}"
        raise Broken(msg)


def supports(bench: Bench, folder: Path) -> Finding:
    """None or a sentence, for every head and any number of classes; where it says None there is a loss."""
    params, asked = bench.params(), 0
    for head in bench.distiller.heads:
        for classes in (None, 2, 3, 9):
            reason = bench.distiller.supports(params, head, classes)
            if reason is not None and not (isinstance(reason, str) and reason.strip()):
                msg = f"`supports` says {reason!r} of {head} with {classes} classes; None or a sentence was expected"
                raise Broken(msg)
            asked += 1
        if bench.distiller.supports(params, head, None) is not None and len(bench.distiller.heads) == 1:
            msg = f"with its default params it refuses '{head}', the only head that it lists"
            raise Broken(msg)
    reduced = bench.distiller.reduces_to(params)
    if reduced is not None and reduced[0] not in bench.registry.names("distiller"):
        msg = f"`reduces_to` names '{reduced[0]}', which is no installed distiller"
        raise Broken(msg)
    return passed(f"asked {asked} times")


CHECKS = (
    *COMMON,
    Look("finite-loss", "For every head it lists: one finite number, the same for the same batch.", finite),
    Look("gradient", "The gradient reaches the student's logits: without it nothing is learned, silently.", gradient),
    Look(
        "descends",
        "Going down the gradient lowers the loss and leads towards labels or teacher: its sign is right.",
        descends,
    ),
    Look("at-the-teacher", "Without labels, a student that agrees with its teacher has no gradient.", at_the_teacher),
    Look("masks", "What does not exist, or is unknown to the teacher, changes nothing.", masks),
    Look("weights", "Each teacher counts as much as `weights` say, where the spec says `weighs_teachers`.", weights),
    Look("unlabelled", "Units without a label give no NaN; transfer texts have none at all.", unlabelled),
    Look("supports", "`supports` answers for any head and number of classes: plans are refused by it.", supports),
)
