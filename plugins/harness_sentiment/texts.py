"""Texts without labels: enough to time models on, and to look at what a finished one says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness import (
    TABLE_SUFFIXES,
    AssetError,
    Example,
    Facts,
    Prepared,
    Role,
    Source,
    StageError,
    choose_files,
    read_table,
)
from harness_sentiment.plugin import SentimentParams, TextsParams
from harness_sentiment.reviews import read_reviews
from harness_sentiment.scoring import softmax
from harness_sentiment.splitting import groups
from harness_sentiment.task import Progress, Sentiment

_TENTH = 10


class Texts(Sentiment):
    """Any file of texts (head `sequence`): .txt, one a line, or a column of .csv, .tsv, .jsonl and .parquet.

    Of the texts without repetitions, in the order of a hash, every tenth is in dev, every tenth in test, the others are
    in train, whose words vocabularies are made from; nothing can be selected or learned here. A text alone has all
    roles.
    """

    def __init__(self, params: TextsParams) -> None:
        named = {name: getattr(params, name) for name in ("files", "text", "delimiter")}
        super().__init__(SentimentParams(**named))
        self.classes = tuple(params.classes)

    def prepare(self, source: Source, roles: Sequence[Role], progress: Progress = lambda done, total: None) -> Prepared:
        """Read the source. AssetError with place, value and remedy where it is not what it should be."""
        chosen = choose_files(source, self.params.files, set(TABLE_SUFFIXES), transfer=True)
        tables = {name: read_table(source.root / name, self.params.delimiter) for name in chosen}
        reviews, counts = read_reviews(tables, chosen, self.params, labelled=False)
        if not reviews:
            msg = f"{source.root}: no text is left: every row is empty. See task.text"
            raise AssetError(msg)
        texts = [{"id": group[0].id, "text": group[0].text} for group in groups(reviews, seed=0)]
        parts: dict[Role, list[Example]] = {
            "test": texts[::_TENTH],
            "dev": texts[1::_TENTH] or texts[:1],
            "train": [text for at, text in enumerate(texts) if at % _TENTH > 1] or texts,
        }
        facts = {
            "files": {name: {"rows": len(table.rows)} for name, table in tables.items()},
            "files_left_out": sorted(set(source.files) - set(chosen)),
            "empty_texts": counts["empty_text"],
            "repetitions": len(reviews) - len(texts),
        }
        return Prepared({role: texts if role == "transfer" else parts[role] for role in roles}, self.classes, facts)

    def target(self, example: Example, labels: tuple[str, ...]) -> int | None:
        """StageError: there is none to learn from."""
        msg = "the task 'texts' has no labels, so no model can be trained on it: run the suite with --weights random"
        raise StageError(msg)

    def samples(
        self, examples: Sequence[Example], outputs: Sequence[np.ndarray], labels: tuple[str, ...]
    ) -> np.ndarray:
        """The logits [C] of each → float64 [n, 1]: the probability of the likeliest class."""
        return np.array([softmax(output).max() for output in outputs], dtype=np.float64).reshape(-1, 1)

    def metrics(self, samples: np.ndarray, weights: np.ndarray, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Samples [n, 1], weights [r, n] → confidence [r]."""
        counts = np.asarray(weights, dtype=np.float64)
        return {"confidence": counts @ samples[:, 0] / counts.sum(axis=1)}

    def details(self, samples: np.ndarray, labels: tuple[str, ...]) -> Facts:
        """Class order."""
        return {"classes": list(labels)}

    def chance(self, examples: Sequence[Example], labels: tuple[str, ...]) -> float:
        """The confidence of somebody who has no idea."""
        return 1 / len(labels)
