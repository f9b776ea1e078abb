"""Classify texts: python answer.py "a text" "another one", or one text per line of stdin.

Needs numpy, onnxruntime and tokenizers.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

folder = Path(__file__).parent
known = json.loads((folder / "answer.json").read_text("utf-8"))
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(known["max_length"])
options = {"providers": ["CPUExecutionProvider"], "disabled_optimizers": ["SkipLayerNormFusion"]}
session = onnxruntime.InferenceSession(folder / "model.onnx", **options)
for text in sys.argv[1:] or (line.decode("utf-8").rstrip("\r\n") for line in sys.stdin.buffer):
    encoded = tokenizer.encode(text)
    ids = encoded.ids or [known["unknown"]]
    arrays = {"input_ids": ids, "attention_mask": [1] * len(ids), "token_type_ids": encoded.type_ids or [0]}
    feed = {i.name: np.array([arrays[i.name]], i.type[len("tensor(") : -1]) for i in session.get_inputs()}
    logits = session.run(["logits"], feed)[0][0]
    scores = np.exp(logits - logits.max())
    shares = dict(zip(known["labels"], (scores / scores.sum()).tolist(), strict=True))
    answer = {"text": text, "label": max(shares, key=shares.__getitem__), "scores": shares}
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
