"""compress: artifact in, smaller or faster artifact out, with the proof of what was done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from harness.artifacts import NAME, Artifact, read_artifact
from harness.data import read_examples
from harness.errors import StageError
from harness.inference import Answerer, load_answerer
from harness.measuring.size import MODEL_SUFFIXES, artifact_sizes
from harness.specs import Arrays, Compressor, CompressRequest, Encoded, Example, Facts
from harness.stages import Work, asset_path, check_unchanged, training_texts
from harness.stages.checks import checked_work

PARITY_EXAMPLES = 32
CALIBRATION_EXAMPLES = 256
LEARNED = "train"  # the role whose examples compressors read
_MODEL_FILES = frozenset({"config.json", NAME})


def run(work: Work) -> Facts:
    """Output `out`: an artifact of the format that the compressor produces. StageError for data of another role."""
    _check_role(work)
    source = work.inputs["source"]
    before = read_artifact(source)
    spec = work.registry.compressor(work.options["compressor"])
    task = work.task()
    examples = read_examples(work.inputs["data"])
    original = load_answerer(source, task, work.registry, work.threads)
    encoded = original.encode(examples[: max(PARITY_EXAMPLES, CALIBRATION_EXAMPLES if spec.calibrates else 0)])
    parity = encoded[:PARITY_EXAMPLES]
    calibration = Calibration(original, examples, encoded if spec.calibrates else [])
    out = work.output()
    compressor: Compressor = spec.load()
    params = spec.params(**work.options["params"])
    said = compressor.compress(
        CompressRequest(
            source=source,
            out=out,
            artifact=before.as_json(),
            params=params,
            seed=int(work.stage.seed or 0),
            arrays=[original.collate(parity[i : i + 8]) for i in range(0, len(parity), 8)],
            calibration=calibration,
            texts=lambda: training_texts(work) if spec.reads_text(params) else _unasked(spec.name),
            assets={name: asset_path(asset) for name, asset in work.options["assets"].items()},
            student=lambda: work.registry.student(before.student).load().load(source, before.head),
        )
    )
    facts = checked_work(work.stage, work.out, said)
    if facts.get("masked") and not spec.masks(params):
        msg = f"'{spec.name}' has masked weights without having said so (`masks`): training after it would fill them"
        raise StageError(msg)
    for name, asset in work.options["assets"].items():
        check_unchanged(work, name, asset)
    copy_encoder(source, out)
    after = Artifact(**{**before.__dict__, "format": spec.produces})
    after.write(out)
    compressed = load_answerer(out, task, work.registry, work.threads)
    return {
        **facts,
        **({"calibration": {"role": LEARNED, "ids": calibration.ids_read()}} if spec.calibrates else {}),
        "parity": _parity(original, compressed, examples[:PARITY_EXAMPLES]),
        "sizes": artifact_sizes(out),
    }


def _check_role(work: Work) -> None:
    """Whoever planned the stage: what a model is judged by has no say in how it is compressed."""
    role = work.stage.inputs["data"].output
    if role != LEARNED:
        msg = f"'{work.options['compressor']}' was given '{role}' examples; compressors read those of '{LEARNED}' alone"
        raise StageError(msg)


class Calibration(Sequence[Arrays]):
    """Batches of one window, made when they are read, which is remembered: records name the examples behind them."""

    def __init__(self, answerer: Answerer, examples: Sequence[Example], windows: Sequence[Encoded]) -> None:
        self._answerer, self._examples, self._windows = answerer, examples, windows
        self._read: set[int] = set()

    def __len__(self) -> int:
        return len(self._windows)

    @overload
    def __getitem__(self, index: int) -> Arrays: ...
    @overload
    def __getitem__(self, index: slice) -> list[Arrays]: ...
    def __getitem__(self, index: int | slice) -> Arrays | list[Arrays]:
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return [self[at] for at in chosen]
        self._read.add(chosen)
        return self._answerer.collate([self._windows[chosen]])

    def ids_read(self) -> list[str]:
        """Ids of the examples whose windows were read, in the order of the data, each once."""
        read = [(at, self._windows[at].example) for at in sorted(self._read)]
        return list(dict.fromkeys(self._examples[at if of is None else of]["id"] for at, of in read))


def _unasked(name: str) -> Iterator[str]:
    msg = f"'{name}' reads the training texts without having said so (`reads_text`)"
    raise StageError(msg)


def copy_encoder(source: Path, out: Path) -> None:
    """Copy what is neither weights nor config and was not written anew."""
    for path in source.iterdir():
        model = path.name in _MODEL_FILES or path.name.endswith(MODEL_SUFFIXES)
        if path.is_file() and not model and not (out / path.name).exists():
            shutil.copyfile(path, out / path.name)


def _parity(original: Answerer, compressed: Answerer, examples: Sequence[Example]) -> dict[str, Any]:
    """How far the answers moved: against the source, and between batch 1 and a padded batch.

    Each encodes for itself, because a compressor may change the tokenizer. An example that the two cut into different
    tokens has no figures to compare one by one; `compared` says how many have.
    """
    one, new = original.predict(examples, 1), compressed.predict(examples, 1)
    batched = compressed.predict(examples, len(examples))
    rules = original.rules
    pairs = [(rules.logits(a), rules.logits(b)) for a, b in zip(one, new, strict=True)]
    alike = [(a, b) for a, b in pairs if a.shape == b.shape]
    moved = [np.abs(a - b).ravel() for a, b in alike]
    shifts = [np.abs(rules.logits(a) - rules.logits(b)).max() for a, b in zip(batched, new, strict=True)]
    same = [rules.best(a) == rules.best(b) for a, b in zip(one, new, strict=True)]
    return {
        "examples": len(examples),
        "compared": len(alike),
        **({"max_difference": _max(moved), "mean_difference": _mean(moved)} if moved else {}),
        "spread": float(np.concatenate([a.ravel() for a, _ in pairs]).std()),
        "same_answer": float(np.mean(same)),
        "batch_shift": float(max(shifts)),
    }


def _max(values: Sequence[np.ndarray]) -> float:
    return float(np.concatenate(values).max())


def _mean(values: Sequence[np.ndarray]) -> float:
    return float(np.concatenate(values).mean())
