"""Do texts to learn from hold texts to be judged on? By content: however they are cut, spaced and punctuated."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

RUN = 8  # words in a row that two texts share by copying, and hardly ever by chance
MOST = 0.5  # share of a text's runs from which on the text is called known
_WORD = re.compile(r"\w+")


def text_of(value: Any) -> str:
    """What an encoder reads of an example (`Task.input`), as one text."""
    return value if isinstance(value, str) else " ".join(value)


def runs(text: str) -> Iterator[tuple[str, ...]]:
    """Every RUN words in a row; of a shorter text all of them, of one without words none."""
    words = _WORD.findall(text.casefold())
    for begin in range(max(1, len(words) - RUN + 1) if words else 0):
        yield tuple(words[begin : begin + RUN])


def known(texts: Sequence[str], others: Iterable[str]) -> list[int]:
    """Positions of the texts most of which stands in the others. `others` are read once and not kept."""
    own = [set(runs(text)) for text in texts]
    wanted = set().union(*own)
    seen = {run for other in others for run in runs(other) if run in wanted}
    return [index for index, mine in enumerate(own) if mine and len(mine & seen) >= MOST * len(mine)]
