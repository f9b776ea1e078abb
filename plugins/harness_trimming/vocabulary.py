"""A `tokenizer.json` with fewer tokens: which ones it cannot do without, and new ids in the old order.

Longest-match (WordPiece) and best-path (Unigram) segmentations survive the loss of tokens that they do not use. A BPE
token is reached by merging others, so that no token can go without changing how the rest is reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from harness import StageError

_KINDS = ("WordPiece", "Unigram")
_BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))  # what Unigram spells unknown characters with


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer file as data."""

    described: Mapping[str, Any]

    @property
    def model(self) -> Mapping[str, Any]:
        """The part that cuts words into tokens."""
        model: Mapping[str, Any] = self.described["model"]
        return model

    def model_ids(self) -> dict[str, int]:
        """Token → id, in the order of ids, without tokens that were only added."""
        if self.model["type"] == "Unigram":
            return {token: at for at, (token, _) in enumerate(self.model["vocab"])}
        return dict(sorted(self.model["vocab"].items(), key=lambda item: item[1]))

    def ids(self) -> dict[str, int]:
        """Token → id, added tokens included."""
        return {**self.model_ids(), **{token["content"]: token["id"] for token in self.described["added_tokens"]}}

    def indispensable(self) -> set[str]:
        """Added tokens, the unknown one, those around texts, bytes, and the worst piece.

        What Unigram charges for an unknown character hangs on the lowest score of all pieces.
        """
        names = {at: token for token, at in self.ids().items()}
        found = {token["content"] for token in self.described["added_tokens"]}
        found |= {names[at] for at in _around(self.described["post_processor"])}
        if self.model["type"] == "WordPiece":
            return found | {self.model["unk_token"]}
        scores = dict(self.model["vocab"])
        found |= {min(scores, key=lambda token: scores[token])}
        found |= set() if self.model["unk_id"] is None else {names[self.model["unk_id"]]}
        return found | (_BYTES & set(scores) if self.model.get("byte_fallback") else set())

    def pieces(self, alphabet: set[str], longest: int) -> set[str]:
        """The tokens of at most `longest` characters, all of these ones, at the start of a word or inside it."""
        prefix = self.model.get("continuing_subword_prefix", "")
        bare = {token: token.removeprefix(prefix) if prefix else token for token in self.ids()}
        return {token for token, text in bare.items() if 0 < len(text) <= longest and alphabet.issuperset(text)}

    def trimmed(self, keep: set[str]) -> tuple[Vocabulary, dict[int, int]]:
        """Without the tokens that are not in `keep`; the second value is old id → new id, in the order of both."""
        kept = sorted(at for token, at in self.ids().items() if token in keep)
        new = {old: at for at, old in enumerate(kept)}
        model = dict(self.model)
        if model["type"] == "Unigram":
            model["vocab"] = [entry for entry in model["vocab"] if entry[0] in keep]
            model["unk_id"] = None if model["unk_id"] is None else new[model["unk_id"]]
        else:
            model["vocab"] = {token: new[at] for token, at in self.model_ids().items() if token in keep}
        changed = {
            "added_tokens": [{**token, "id": new[token["id"]]} for token in self.described["added_tokens"]],
            "post_processor": _renumbered(self.described["post_processor"], new.__getitem__),
            "model": model,
        }
        return Vocabulary({**self.described, **changed}), new

    def tokenizer(self) -> Tokenizer:
        """Ready to use. StageError when the library reads other ids from it than are written there."""
        tokenizer = Tokenizer.from_str(json.dumps(self.described, ensure_ascii=False))
        if tokenizer.get_vocab() != self.ids():
            msg = "the tokenizer numbers its added tokens in its own way, so they cannot be renumbered; use another one"
            raise StageError(msg)
        return tokenizer


def read_vocabulary(folder: Path) -> Vocabulary:
    """The `tokenizer.json` of an artifact. StageError when there is none, or for a kind that cannot be trimmed."""
    file = folder / "tokenizer.json"
    try:
        described = json.loads(file.read_text(encoding="utf-8"))
        kind = described["model"]["type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{file}: no tokenizer there that could be trimmed ({error})"
        raise StageError(msg) from error
    if kind not in _KINDS:
        why = (
            "each of its tokens is merged from others, which would have to stay" if kind == "BPE" else "not known here"
        )
        msg = f"{file}: a {kind} vocabulary cannot be trimmed ({why}); allowed: {', '.join(_KINDS)}"
        raise StageError(msg)
    return Vocabulary({**described, "padding": None, "truncation": None})


def _around(processor: Any) -> list[int]:
    """Ids of the tokens that a post-processor sets around texts."""
    found: list[int] = []

    def noted(at: int) -> int:
        found.append(at)
        return at

    _renumbered(processor, noted)
    return found


def _renumbered(processor: Any, new: Callable[[int], int]) -> Any:
    """A post-processor with other ids for the tokens that it sets around texts."""
    if processor is None:
        return None
    if processor["type"] == "Sequence":
        return {**processor, "processors": [_renumbered(part, new) for part in processor["processors"]]}
    if processor["type"] in ("BertProcessing", "RobertaProcessing"):
        return {**processor, **{end: [processor[end][0], new(processor[end][1])] for end in ("sep", "cls")}}
    if processor["type"] != "TemplateProcessing":
        return processor
    tokens = processor["special_tokens"]
    return {**processor, "special_tokens": {k: {**v, "ids": [new(at) for at in v["ids"]]} for k, v in tokens.items()}}
