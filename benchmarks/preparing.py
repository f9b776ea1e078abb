"""Preparing reviews: words per second of one core, the dictionary's start and every first look-up included.

Times are of the processor. Beside it the same lemmas without a memory, on the first reviews; what the steps add to a
request once words are known; what they leave of the words. Reviews are those of HARNESS_DATA_DIR where it holds them,
else the quickstart's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.assets import Asset, Places, find_data
from harness.plugins import load_registry
from harness.specs import Source
from harness_sentiment.preparing import Steps, count_words, forget, lemma, prepare

WITHOUT_MEMORY = 300  # reviews
WAYS = (
    Steps(lemmatise=True),
    Steps(stop_words="remove"),
    Steps(lemmatise=True, stop_words="remove"),
    Steps(lemmatise=True, stop_words="remove", max_words=30),
)


def run() -> Iterator[str]:
    texts, origin = reviews()
    words = sum(map(count_words, texts))
    yield f"{len(texts):,} reviews of {words:,} words ({origin}), one core"
    for steps in WAYS:
        forget()
        said, cold = timed(lambda steps=steps: [prepare(text, steps) for text in texts])
        _, warm = timed(lambda steps=steps: [prepare(text, steps) for text in texts])
        left = sum(one.words for one in said)
        yield (
            f"{steps}: {words / cold:,.0f} words/s, {cold:.1f} s in all; {100 * left / words:.0f} % of the words left; "
            f"{1e6 * warm / len(texts):.0f} µs a review once its words are known"
        )
    few = texts[:WITHOUT_MEMORY]
    _, slow = timed(lambda: [without_memory(text) for text in few])
    yield f"lemmas without a memory for words: {sum(map(count_words, few)) / slow:,.0f} words/s"


def reviews() -> tuple[list[str], str]:
    registry = load_registry()
    where = Places(data_root=Path(os.environ["HARNESS_DATA_DIR"]) if "HARNESS_DATA_DIR" in os.environ else None)
    spec = registry.task("rureviews")
    found = find_data(str(spec.default_source), where, spec.offline_folder) if where.data_root else None
    asset = found if isinstance(found, Asset) else find_data("bundled:harness_sentiment/data/quickstart", where)
    task = registry.task("rureviews" if asset is found else "sentiment").load()
    prepared = task.prepare(Source(asset.origin, asset.root, asset.files), ["train", "dev", "test"])
    return [example["text"] for examples in prepared.roles.values() for example in examples], asset.origin


def without_memory(text: str) -> None:
    for word in text.split():
        lemma(word.strip(".,!?():;"))


def timed(work: Callable[[], list]) -> tuple[list, float]:
    start = time.process_time()
    done = work()
    return done, time.process_time() - start
