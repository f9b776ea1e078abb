"""Classify texts: python answer.py "a text" "another one", or one text per line of stdin.

Needs torch and transformers.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = Path(__file__).parent
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
for text in sys.argv[1:] or (line.decode("utf-8").rstrip("\r\n") for line in sys.stdin.buffer):
    with torch.inference_mode():
        scores = model(**tokenizer(text, truncation=True, return_tensors="pt")).logits[0].softmax(-1).tolist()
    shares = {model.config.id2label[n]: score for n, score in enumerate(scores)}
    answer = {"text": text, "label": max(shares, key=shares.__getitem__), "scores": shares}
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
