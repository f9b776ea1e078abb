"""The yardstick beside the neural rows: TF-IDF and logistic regression on the split that the suites use.

    python benchmarks/baseline_sklearn.py                      the reviews bundled for the quickstart
    python benchmarks/baseline_sklearn.py DATA/rureviews       a folder (or file) of reviews, or of prepared roles
    python benchmarks/baseline_sklearn.py DATA/rureviews --characters     with character 2-5-grams, slower

Needs scikit-learn. Sizes of the split are those of suites/rureviews-scratch.toml unless the folder has a file for each role.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline, make_union

from harness import Prepared, Source
from harness_sentiment.generate import DATA
from harness_sentiment.plugin import RuReviewsParams
from harness_sentiment.task import Sentiment


def prepared(path: Path, dev: int, test: int) -> Prepared:
    root = path if path.is_dir() else path.parent
    files = tuple(sorted(item.name for item in root.iterdir())) if path.is_dir() else (path.name,)
    params = RuReviewsParams(dev=dev, test=test)
    return Sentiment(params).prepare(Source(str(path), root, files), ("train", "dev", "test"))


def features(characters: bool):
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    if not characters:
        return words
    return make_union(words, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), min_df=2, sublinear_tf=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", type=Path, default=DATA / "quickstart")
    parser.add_argument("--dev", type=int, default=1500)
    parser.add_argument("--test", type=int, default=3000)
    parser.add_argument("--characters", action="store_true", help="add character n-grams to words")
    options = parser.parse_args()

    data = prepared(options.path, options.dev, options.test)
    texts = {role: [example["text"] for example in examples] for role, examples in data.roles.items()}
    labels = {role: [example["label"] for example in examples] for role, examples in data.roles.items()}
    print(", ".join(f"{role} {len(examples)}" for role, examples in data.roles.items()))
    majority = Counter(labels["train"]).most_common(1)[0][0]
    print(f"majority class             test accuracy {labels['test'].count(majority) / len(labels['test']):.4f}")

    started = time.perf_counter()
    model = make_pipeline(features(options.characters), LogisticRegression(C=3.0, max_iter=1000))
    model.fit(texts["train"], labels["train"])
    name = "words + characters" if options.characters else "words"
    for role in ("dev", "test"):
        answers = model.predict(texts[role])
        accuracy, f1 = accuracy_score(labels[role], answers), f1_score(labels[role], answers, average="macro")
        print(f"TF-IDF {name} + LR   {role:4} accuracy {accuracy:.4f}  macro-F1 {f1:.4f}")
    print(f"{time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
