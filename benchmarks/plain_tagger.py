"""A plain BiLSTM tagger in plain PyTorch for the nested entities of RuNNE, and our from-scratch student against it.

All but the last section imports nothing of the harness: it reads the competition's files, cuts words and sentences, and
trains embeddings of words and of their case, two bidirectional LSTM layers and one linear layer of BIO per type with
Adam; the best epoch on 46 documents of train counts. One scorer judges both sides: exact spans, per document. The
difference of micro-F1 is that of the means over the seeds, its interval from a paired bootstrap over documents.

The student is trained by `harness run` unless the store (HARNESS_STORE, else .harness here) has it. Needs
HARNESS_DATA_DIR with runne/. For a trial, EPOCHS limits the tagger's epochs (20), DOCUMENTS those that it trains on
(all), and SUITE and ROW name others than suites/runne-scratch.toml and lstm-scratch.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ROOT = Path(__file__).parents[1]
SEEDS, THREADS, DEV, RESAMPLES = (1, 2), 2, 46, 2000
WORDS, EMBEDDING, CASE, HIDDEN, LAYERS = 12_000, 128, 16, 128, 2
EPOCHS, BATCH_SIZE, RATE, DROPOUT, WORD_DROPOUT, CLIP = 20, 32, 2e-3, 0.3, 0.1, 5.0
UNKNOWN = 0
OUTSIDE, BEGIN, INSIDE = range(3)

Span = tuple[int, int, str]  # first character, last + 1, type
Spans = Mapping[str, set[Span]]  # by document


# -------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Sentence:
    document: str
    places: list[tuple[int, int]]  # of its words in the document
    words: list[str]


@dataclass(frozen=True)
class Corpus:
    sentences: list[Sentence]
    gold: Spans


def read(texts: Path, answers: Path | None = None) -> Corpus:
    """The documents of a file, whose entities may stand in another one; their ends are inclusive there."""
    rows = {str(row["id"]): row["sentences"] for row in _rows(texts)}
    labelled = {str(row["id"]): row["ners"] for row in _rows(answers or texts)}
    gold = {name: {(begin, end + 1, kind) for begin, end, kind in labelled[name]} for name in rows}
    return Corpus([sentence for name, text in rows.items() for sentence in cut(name, text)], gold)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def cut(document: str, text: str) -> Iterator[Sentence]:
    """A sentence ends with its line, or with a stop after no initial and before a capital; words are letters, or one sign."""
    borders = [found.end() for found in re.finditer(r'\n+|(?<=[\w»"%)]{2}[.!?…])\s+(?=[A-ZА-ЯЁ«"—])', text)]
    for begin, end in zip([0, *borders], [*borders, len(text)], strict=True):
        places = [word.span() for word in re.compile(r"\w+|[^\w\s]").finditer(text, begin, end)]
        if places:
            yield Sentence(document, places, [text[first:last] for first, last in places])


def part(corpus: Corpus, documents: Sequence[str]) -> Corpus:
    kept = set(documents)
    return Corpus([s for s in corpus.sentences if s.document in kept], {name: corpus.gold[name] for name in documents})


# ------------------------------------------------------------------------------------------------------- tags of words


def tags(sentence: Sentence, gold: Spans, types: Sequence[str]) -> np.ndarray:
    """BIO for every type, [words, T]; the longest of overlapping spans of a type, none that cuts a word or sentence."""
    begins = {begin: at for at, (begin, _) in enumerate(sentence.places)}
    ends = {end: at + 1 for at, (_, end) in enumerate(sentence.places)}
    found = np.full((len(sentence.words), len(types)), OUTSIDE)
    for begin, end, kind in sorted(gold[sentence.document], key=lambda span: (span[0] - span[1], span)):
        if begin in begins and end in ends:
            layer = found[begins[begin] : ends[end], types.index(kind)]
            if not layer.any():
                layer[:] = INSIDE
                layer[0] = BEGIN
    return found


def spans(sentence: Sentence, found: np.ndarray, types: Sequence[str]) -> Iterator[Span]:
    """The spans of tags [words, T]; an inside without a beginning begins one."""
    for kind, layer in zip(types, found.T.tolist(), strict=True):
        first = None
        for at, tag in enumerate([*layer, OUTSIDE]):
            if first is not None and tag != INSIDE:
                yield sentence.places[first][0], sentence.places[at - 1][1], kind
                first = None
            if tag == BEGIN or (tag == INSIDE and first is None):
                first = at


# ------------------------------------------------------------------------------------------------------------ the tagger


class Tagger(nn.Module):
    """Words and their case [B, L] → logits [B, L, T, 3]."""

    def __init__(self, words: int, types: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, EMBEDDING)
        self.case = nn.Embedding(3, CASE)  # small, a capital first, all capitals
        width = EMBEDDING + CASE
        self.lstm = nn.LSTM(width, HIDDEN, LAYERS, batch_first=True, bidirectional=True, dropout=DROPOUT)
        self.dropout, self.out = nn.Dropout(DROPOUT), nn.Linear(2 * HIDDEN, 3 * types)

    def forward(self, words: Tensor, case: Tensor) -> Tensor:
        if self.training:
            words = words.masked_fill(torch.rand(words.shape) < WORD_DROPOUT, UNKNOWN)
        states, _ = self.lstm(self.dropout(torch.cat([self.words(words), self.case(case)], dim=-1)))
        return self.out(self.dropout(states)).unflatten(-1, (-1, 3))


def vocabulary(corpus: Corpus) -> dict[str, int]:
    """The most frequent words, without case."""
    counts = Counter(word.lower() for sentence in corpus.sentences for word in sentence.words)
    return {word: at for at, (word, _) in enumerate(counts.most_common(WORDS - 1), start=UNKNOWN + 1)}


def batches(sentences: Sequence[Sentence], rng: np.random.Generator) -> list[list[Sentence]]:
    """Of sentences of one length, so that nothing is padded, in random order."""
    by_length = defaultdict(list)
    for at in rng.permutation(len(sentences)):
        by_length[len(sentences[at].words)].append(sentences[at])
    made = [same[at : at + BATCH_SIZE] for same in by_length.values() for at in range(0, len(same), BATCH_SIZE)]
    return [made[at] for at in rng.permutation(len(made))]


def inputs(batch: Sequence[Sentence], known: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    words = [[known.get(word.lower(), UNKNOWN) for word in sentence.words] for sentence in batch]
    case = [[word[0].isupper() + (word.isupper() and len(word) > 1) for word in s.words] for s in batch]
    return torch.tensor(words), torch.tensor(case)


@torch.inference_mode()
def predict(model: Tagger, corpus: Corpus, known: Mapping[str, int], types: Sequence[str]) -> Spans:
    model.eval()
    said: dict[str, set[Span]] = {name: set() for name in corpus.gold}
    for batch in batches(corpus.sentences, np.random.default_rng(0)):
        best = model(*inputs(batch, known)).argmax(-1).numpy()
        for sentence, found in zip(batch, best, strict=True):
            said[sentence.document].update(spans(sentence, found, types))
    return said


def train(corpus: Corpus, dev: Corpus, known: Mapping[str, int], types: Sequence[str], seed: int) -> tuple[Tagger, str]:
    """The weights of the best epoch on dev, and what happened."""
    torch.manual_seed(seed)
    rng, began, best, weights, chosen = np.random.default_rng(seed), time.perf_counter(), -1.0, {}, 0
    model = Tagger(WORDS, len(types))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    wanted = {id(sentence): torch.from_numpy(tags(sentence, corpus.gold, types)) for sentence in corpus.sentences}
    epochs = int(os.environ.get("EPOCHS", EPOCHS))
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in batches(corpus.sentences, rng):
            logits = model(*inputs(batch, known))
            target = torch.stack([wanted[id(sentence)] for sentence in batch])
            loss = nn.functional.cross_entropy(logits.flatten(0, 2), target.flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
        score = micro(counts(dev.gold, predict(model, dev, known, types), types).sum(0))
        if score > best:
            best, chosen = score, epoch
            weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.load_state_dict(weights)
    seconds = time.perf_counter() - began
    return model, f"seed {seed}: {epochs} epochs in {seconds:.0f} s, epoch {chosen} is best on dev ({100 * best:.1f})"


# -------------------------------------------------------------------------------------------------------------- scoring


def counts(gold: Spans, said: Spans, types: Sequence[str]) -> np.ndarray:
    """Right, said and gold spans of each document and type, [D, T, 3]."""
    made = np.zeros((len(gold), len(types), 3))
    for row, (name, wanted) in zip(made, gold.items(), strict=True):
        for column, some in enumerate((wanted & said[name], said[name], wanted)):
            for _, _, kind in some:
                row[types.index(kind), column] += 1
    return made


def f1(sums: np.ndarray) -> np.ndarray:
    """[…, 3] → […]; nothing to find and nothing said is 0."""
    return 2 * sums[..., 0] / np.maximum(sums[..., 1] + sums[..., 2], 1)


def micro(sums: np.ndarray) -> Any:
    """[…, T, 3] → […]."""
    return f1(sums.sum(-2))


def macro(sums: np.ndarray) -> Any:
    """[…, T, 3] → […]."""
    return f1(sums).mean(-1)


def interval(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> tuple[float, float]:
    """95 % of the difference of mean micro-F1, documents drawn anew: counts [D, T, 3] of every seed of both sides."""
    documents = len(ours[0])
    weights = np.random.default_rng(0).multinomial(documents, np.full(documents, 1 / documents), size=RESAMPLES)
    means = [np.mean([f1(weights @ made.sum(1)) for made in side], axis=0) for side in (ours, theirs)]
    low, high = np.percentile(means[0] - means[1], [2.5, 97.5])
    return float(low), float(high)


# ------------------------------------------------------------------------------------------------------- the comparison


def run() -> Iterator[str]:
    root = os.environ.get("HARNESS_DATA_DIR")
    if not root or not (Path(root) / "runne").is_dir():
        yield "skipped: HARNESS_DATA_DIR with runne/ is not set, and this is about its documents"
        return
    torch.set_num_threads(THREADS)
    folder = Path(root) / "runne"
    whole = read(folder / "train.jsonl")
    test = read(folder / "test.jsonl", folder / "test_with_answers.jsonl")
    types = sorted({kind for found in (*whole.gold.values(), *test.gold.values()) for _, _, kind in found})
    names = list(whole.gold)
    dev = part(whole, names[-DEV:])
    corpus = part(whole, names[:-DEV][: int(os.environ.get("DOCUMENTS", len(names)))])
    known = vocabulary(corpus)
    plain = []
    for seed in SEEDS:
        model, told = train(corpus, dev, known, types, seed)
        plain.append(counts(test.gold, predict(model, test, known, types), types))
        yield f"plain tagger, {sum(p.numel() for p in model.parameters()) / 1e6:.2f}M parameters, {told}"
    suite = os.environ.get("SUITE", str(ROOT / "suites/runne-scratch.toml"))
    row = os.environ.get("ROW", "lstm-scratch")
    said, size = student(suite, row, folder)
    ours = [counts(test.gold, found, types) for found in said]
    for name, side in ((f"{row} of {Path(suite).name}, {size / 1e6:.2f}M parameters", ours), ("plain tagger", plain)):
        yield (
            f"{name}: micro-F1 {_mean(micro, side)}, macro-F1 over {len(types)} types {_mean(macro, side)}; "
            f"{len(test.gold)} test documents, {len(side)} seeds"
        )
    low, high = interval(ours, plain)
    difference = np.mean([micro(made.sum(0)) for made in ours]) - np.mean([micro(made.sum(0)) for made in plain])
    verdict = "not below" if high >= 0 else "BELOW"
    yield (
        f"ours − plain: {100 * difference:+.2f} points of micro-F1, 95 % interval {100 * low:+.2f} … {100 * high:+.2f} "
        f"(paired, {RESAMPLES} resamples of documents): {verdict} (wanted: not below)"
    )


def _mean(score: Any, side: Sequence[np.ndarray]) -> str:
    found = [100 * float(score(made.sum(0))) for made in side]
    return f"{np.mean(found):.2f} ({', '.join(f'{one:.2f}' for one in found)})"


def student(suite: str, row: str, data: Path) -> tuple[list[Spans], int]:
    """What the row's cells of all seeds said about the test documents, by `harness run`; and its parameters."""
    from harness.cli.common import open_store, open_suite
    from harness.data import read_examples, read_meta, read_predictions

    only, overrides = f"model={row},compress=none", ("measure.speed=false",)
    with tempfile.TemporaryDirectory() as reports:
        command = ["-m", "harness", "run", suite, "--only", only, "--set", *overrides, "--reports", reports]
        subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    opened, store = open_suite(suite, only, overrides, rehearse=False, weights="given"), open_store()
    plan, task = opened.plan(), opened.registry.task("runne").load(opened.suite.task.params)
    texts = {str(line["id"]): line["sentences"] for line in _rows(data / "test.jsonl")}
    found = []
    for cell in plan.cells:
        inputs_of = plan.stages[cell.score].inputs
        examples, labels = read_examples(store.path(inputs_of["data"])), read_meta(store.path(inputs_of["meta"])).labels
        outputs = read_predictions(store.path(inputs_of["predictions"]), examples).per_example()
        said: dict[str, set[Span]] = {name: set() for name in texts}
        for example, output in zip(examples, outputs, strict=True):
            name, begin = example["doc"].removeprefix("test-"), example["begin"]
            if texts[name][begin : begin + len(example["text"])] != example["text"]:
                msg = f"'{example['id']}' is not what document {name} says there"
                raise SystemExit(msg)
            for entity in task.answer(example, output, labels)["entities"]:
                said[name].add((begin + entity["start"], begin + entity["end"], entity["type"]))
        found.append(said)
    return found, store.entry(plan.cells[0].build).facts["parameters"]
