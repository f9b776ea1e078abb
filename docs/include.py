"""Fills blocks of code in pages from files that tests run: `python docs/include.py`.

`<!-- include FILE -->` stands above a block that is the file, `<!-- include FILE PART -->` above one that is a
function, a class or a table of it. A file is one of snippets/, or one of those that
`harness plugin new compressor my-int4` writes.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from harness.scaffold.names import PluginName
from harness.scaffold.writing import render

HERE = Path(__file__).parent
SCAFFOLD = "my-int4"
PAGES = ("first-plugin.md", "comparing.md", "publishing.md")  # for authors: all their code is in files
OTHERS = ("clusters.md",)
BLOCK = re.compile(r"(?P<mark><!-- include (?P<file>\S+)(?: (?P<part>\w+))? -->\n)```\w*\n.*?```\n", re.DOTALL)
LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "", ".sbatch": "bash"}


def filled(page: str) -> str:
    """The page with its blocks as their files are. KeyError and OSError for a mark that leads nowhere."""
    return BLOCK.sub(lambda found: f"{found['mark']}{_block(found['file'], found['part'])}", page)


def _block(file: str, part: str | None) -> str:
    folder, _, path = file.partition("/")
    texts = render("compressor", PluginName(SCAFFOLD)) if folder == SCAFFOLD else None
    text = texts[path] if texts else (HERE / file).read_text(encoding="utf-8")
    code = text if part is None else _part(text, part, Path(file).suffix)
    return f"```{LANGUAGES[Path(file).suffix]}\n{code.strip()}\n```\n"


def _part(text: str, name: str, suffix: str) -> str:
    if suffix == ".toml":
        return text[text.index(f"[{name}]") :].partition("\n\n")[0]
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(mark.lineno for mark in node.decorator_list)])
            return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    raise KeyError(name)


if __name__ == "__main__":
    for name in (*PAGES, *OTHERS):
        (HERE / name).write_text(filled((HERE / name).read_text(encoding="utf-8")), encoding="utf-8")
