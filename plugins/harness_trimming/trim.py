"""Drops tokens from a model: rows of its embedding table, entries of its tokenizer; ids follow in the old order.

Embeddings are most of a small model: half of a multilingual BERT, nine tenths of a tiny one. A text whose tokens were
all kept gets the same rows in the same order, so its answer is the same (Abdaoui et al. 2020,
https://arxiv.org/abs/2010.05609). Without a list, every text of the training set is such a text at `min_count = 1`, but
for words that the full vocabulary gives up as unknown and the smaller one, in rare cases, spells.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness import AssetError, CompressRequest, Facts, StageError, parameter_facts, save_pretrained
from harness_trimming.coverage import alphabet, count_tokens, coverage
from harness_trimming.vocabulary import Vocabulary, read_vocabulary

_SETTINGS = "encoder.json"
_TENTH = 10


class VocabTrim:
    """The factory of `vocab-trim`."""

    def compress(self, request: CompressRequest) -> Facts:
        """Write weights, config, tokenizer and encoder settings.

        StageError for a vocabulary or a model that cannot lose tokens, AssetError for a list that names none of them.
        """
        full = read_vocabulary(request.source)
        settings = _read_settings(request.source)
        model: Any = request.student().eval()
        texts = list(dict.fromkeys(request.texts()))
        wanted, facts = _wanted(request, full, texts)
        trimmed, new = full.trimmed(wanted | full.indispensable() | _named(full, settings, model))
        before = parameter_facts(model)["parameters"]
        shrink(model, new)
        tokenizer = trimmed.tokenizer()
        settings = _renumbered(settings, new)
        save_pretrained(model, request.out)
        tokenizer.save(str(request.out / "tokenizer.json"))
        (request.out / _SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
        after = parameter_facts(model)
        return {
            "changed": after["parameters"] < before,
            "vocab_before": len(full.ids()),
            "vocab_size": len(new),
            "parameters_before": before,
            **after,
            "coverage": coverage(full.tokenizer(), tokenizer, new, settings["unknown"], texts),
            "bytes": _bytes(model),
            **facts,
        }


def _wanted(request: CompressRequest, full: Vocabulary, texts: Sequence[str]) -> tuple[set[str], Facts]:
    """The tokens of the list, or those that the training texts need, and short ones to spell unseen words with."""
    if "keep" in request.assets:
        return _listed(request.assets["keep"], full)
    tokenizer = full.tokenizer()
    counts = count_tokens(tokenizer, texts)
    found = {token for token, at in full.ids().items() if counts[at] >= request.params.min_count}
    kept = found | full.pieces(alphabet(tokenizer, texts), request.params.spell)
    return kept, {"unseen": _unseen(request, full, texts)} if len(texts) >= _TENTH else {}


def _unseen(request: CompressRequest, full: Vocabulary, texts: Sequence[str]) -> Facts:
    """What new texts would make of it: the same list from nine tenths of the texts, looked at on the last tenth."""
    known, new_texts = texts[: -len(texts) // _TENTH], texts[-len(texts) // _TENTH :]
    tokenizer = full.tokenizer()
    counts = count_tokens(tokenizer, known)
    kept = {token for token, at in full.ids().items() if counts[at] >= request.params.min_count}
    kept |= full.pieces(alphabet(tokenizer, known), request.params.spell) | full.indispensable()
    trimmed, new = full.trimmed(kept)
    smaller = trimmed.tokenizer()
    found = coverage(tokenizer, smaller, new, new[_read_settings(request.source)["unknown"]], new_texts)
    before, after = (sum(count_tokens(one, new_texts).values()) for one in (tokenizer, smaller))
    return {**found, "longer": after / max(1, before)}


def _listed(file: Path, full: Vocabulary) -> tuple[set[str], Facts]:
    """The list's tokens, and how many of them the model knows."""
    try:
        lines = file.read_text(encoding="utf-8").split("\n")  # splitlines() would cut at characters that tokens have
    except (OSError, ValueError) as error:
        msg = f"{file}: cannot be read ({error}); a list has one token a line, in UTF-8"
        raise AssetError(msg) from error
    listed = {line.removesuffix("\r") for line in lines} - {""}
    known = listed & full.ids().keys()
    if not known:
        msg = (
            f"{file}: none of its {len(listed)} tokens is one of the model's {len(full.ids())}; use a list for this one"
        )
        raise AssetError(msg)
    return known, {"list": {"tokens": len(listed), "known": len(known)}}


# ------------------------------------------------------------------------------------------------------------ the model


def shrink(model: Any, new: Mapping[int, int]) -> None:
    """Keep the rows of old ids in the order of the new ones and renumber the config, in place. `new`: old id → new id.

    StageError when the model predicts tokens, or counts positions from a padding id that would move.
    """
    table: nn.Embedding = model.get_input_embeddings()
    _check(model, table, new)
    weight = table.weight.detach()[torch.tensor(list(new))].clone()  # [kept, width]
    pad = None if table.padding_idx is None else new[table.padding_idx]
    kept, width = weight.shape
    smaller = nn.Embedding(kept, width, padding_idx=pad, _weight=weight)
    for name in [name for name, module in model.named_modules(remove_duplicate=False) if module is table]:
        model.set_submodule(name, smaller)
    model.config.vocab_size = len(new)
    for name, at in _special_ids(model).items():
        setattr(model.config, name, new.get(at))


def _check(model: Any, table: nn.Embedding, new: Mapping[int, int]) -> None:
    if model.get_output_embeddings() is not None:
        msg = f"{type(model).__name__} predicts tokens, and trimming would take answers from it; trim models of a task"
        raise StageError(msg)
    others = (module for module in model.modules() if isinstance(module, nn.Embedding) and module is not table)
    moved = [at for at in (module.padding_idx for module in others) if at is not None and new.get(at) != at]
    if moved:
        msg = f"the padding id {moved[0]} would become {new.get(moved[0])}, and this model counts positions from it"
        raise StageError(msg)


def _special_ids(model: Any) -> dict[str, int]:
    """What the config says about single tokens."""
    values = model.config.to_dict()
    return {name: at for name, at in values.items() if name.endswith("_token_id") and isinstance(at, int)}


def _bytes(model: nn.Module) -> dict[str, int]:
    """Embedding tables, then everything else."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    sizes = {"embeddings": 0, "fp32": 0}
    for parameter in model.parameters():
        sizes["embeddings" if id(parameter) in tables else "fp32"] += parameter.nbytes
    return sizes


# ----------------------------------------------------------------------------------------------- the encoder's settings


def _read_settings(folder: Path) -> dict[str, Any]:
    """`encoder.json` as `harness.save_encoder` writes it. StageError where a student has an encoder of its own."""
    file = folder / _SETTINGS
    settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    missing = [name for name in ("pad", "unknown", "special") if name not in settings]
    if missing:
        msg = f"{file}: it does not say which ids are {', '.join(missing)}, so they cannot be renumbered"
        raise StageError(msg)
    return settings


def _named(full: Vocabulary, settings: dict[str, Any], model: Any) -> set[str]:
    """Tokens that the encoder or the config names by id."""
    ids = {settings["pad"]["input_ids"], settings["unknown"], *settings["special"], *_special_ids(model).values()}
    return {token for token, at in full.ids().items() if at in ids}


def _renumbered(settings: dict[str, Any], new: Mapping[int, int]) -> dict[str, Any]:
    return {
        **settings,
        "pad": {**settings["pad"], "input_ids": new[settings["pad"]["input_ids"]]},
        "unknown": new[settings["unknown"]],
        "special": sorted(new[at] for at in settings["special"]),
    }
