"""Tiny stand-ins for published checkpoints, in the hub's layout. They have the name of a folder, nothing else of theirs.

A stand-in knows answers by sight: the words that occur in answers are marked in its embeddings, the more often the
stronger, and its head reads the mark. So it beats chance without having been trained.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NOTE = "A stand-in with random weights for tests of the path; not the model of this name.\n"
MARK = 2.0


def vocabulary(texts: Iterable[str]) -> list[str]:
    """Special tokens, then every word and sign of the texts."""
    words = {piece for text in texts for piece in re.findall(r"\w+|[^\w\s]", text)}
    return [*SPECIAL, *sorted(words)]


def write_standin(folder: Path, kind: str, texts: Iterable[str], answers: Iterable[str], layers: int = 2) -> None:
    """A question answering model of `kind` ("bert" or "distilbert") with the words of the texts as its vocabulary."""
    import torch
    from transformers import BertConfig, BertForQuestionAnswering, DistilBertConfig, DistilBertForQuestionAnswering

    words = vocabulary(texts)
    shape = {"vocab_size": len(words), "max_position_embeddings": 512}
    torch.manual_seed(0)
    if kind == "bert":
        model = BertForQuestionAnswering(
            BertConfig(**shape, hidden_size=32, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=64)
        )
        table = model.bert.embeddings.word_embeddings
    else:
        model = DistilBertForQuestionAnswering(
            DistilBertConfig(**shape, dim=32, n_layers=layers, n_heads=2, hidden_dim=64)
        )
        table = model.distilbert.embeddings.word_embeddings
    marked = Counter(word for answer in answers for word in re.findall(r"\w+", answer) if word in words)
    with torch.no_grad():
        for word, count in marked.items():
            table.weight[words.index(word), 0] = MARK * count
        model.qa_outputs.weight.zero_()
        model.qa_outputs.weight[:, 0] = 1.0
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "strip_accents": False}))
    (folder / "README.md").write_text(NOTE)
