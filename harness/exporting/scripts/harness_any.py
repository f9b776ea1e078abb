"""Answer texts: python answer.py "a text" "another one", or one per line of stdin.

Questions about a text are JSON: {"question": "…", "context": "…"}. Needs harness, whose code reads this model.
"""

import json
import sys
from pathlib import Path

from harness.inference import open_answerer

folder = Path(__file__).parent
task = json.loads((folder / "answer.json").read_text("utf-8"))["task"]
answerer = open_answerer({"model": {"artifact": folder, "task": task}, "threads": 1})
for line in sys.argv[1:] or (line.decode("utf-8").rstrip("\r\n") for line in sys.stdin.buffer):
    fields = json.loads(line) if answerer.artifact.head == "span" else {"text": line}
    answer = {**fields, **answerer.answer_one({"id": "0", **fields})}
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
