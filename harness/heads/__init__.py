"""What depends on the kind of a model's output, one file per head; whatever else is in the core knows no head.

A *window* is one row of a batch. What a model said about one is read from the outputs of a batch, what it said about an
example is joined from its windows and is what tasks score, stores keep and students learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from harness.certainty import Weighting
from harness.data import Predictions
from harness.errors import StageError
from harness.specs import Arrays, Batch, Encoded, Head

if TYPE_CHECKING:
    from torch import Tensor

UNLABELLED = -100
MASKED = -1e4  # a logit that gets no probability at any temperature in use, and no NaN where a teacher gives it none

Rows = np.ndarray  # int64 [B]: positions of windows
Lesson = Callable[[Rows], Any]  # windows of a batch → what one teacher says about them, as `HeadRules.batch` reads it


class HeadRules(Protocol):
    """What the stages ask of a head. W = windows, B = those of a batch, L = their positions."""

    outputs: tuple[str, ...]  # names of a model's outputs

    def read(self, windows: Sequence[Encoded], outputs: Arrays) -> list[Any]:
        """Outputs of a batch → what was said about each of its windows. StageError unless they are finite."""

    def join(self, windows: Sequence[Encoded], said: Sequence[Any], count: int) -> list[Any]:
        """What was said about windows → about each of `count` examples, as `Task.samples` takes it."""

    def logits(self, said: Any) -> np.ndarray:
        """The figures of a window or an example, [n, C]: what comparisons of two models compare."""

    def best(self, said: Any) -> tuple[int, ...]:
        """The places of the largest figures: two models that agree on them give the same answer, as a rule."""

    def targets(self, windows: Sequence[Encoded], targets: Sequence[Any]) -> np.ndarray:
        """Targets of examples (`Task.target`) → of windows, int64 [W, k]; UNLABELLED where there is none."""

    def kinds(self, targets: np.ndarray) -> np.ndarray:
        """Which kinds of labels windows have, from their targets: bool [W, kinds]. StageError where a head has none."""

    def lesson(self, predictions: Predictions, windows: Sequence[Encoded]) -> Lesson:
        """A teacher's stored outputs, aligned with windows of another tokenizer's when they are asked for."""

    def together(self, said: Sequence[Any], by: Weighting) -> tuple[Any, np.ndarray]:
        """What each of K teachers said about an example → what they say as one, how much each counted [K, units].

        By what training averages: the units of the head. StageError where they answered for different ones.
        """

    def units(self, values: Any, windows: Sequence[Encoded], tensor: Callable[[np.ndarray], Any]) -> Any:
        """Hidden states of tokens [B, L, H] → of units [U, H], arrays or tensors; StageError where there are none."""

    def batch(
        self,
        answer: Any,
        windows: Sequence[Encoded],
        targets: np.ndarray,
        lessons: Sequence[Any],
        tensor: Callable[[np.ndarray], Tensor],
    ) -> Batch:
        """A model's answer about a batch, its targets [B, k] and what teachers say → what a distiller sees."""


def rules(head: Head) -> HeadRules:
    """The rules of a head. StageError for one that is not built yet."""
    from harness.heads.nested_token import NestedTokenRules
    from harness.heads.sequence import SequenceRules
    from harness.heads.span import SpanRules
    from harness.heads.token import TokenRules

    known: Mapping[str, HeadRules] = {
        "sequence": SequenceRules(),
        "token": TokenRules(),
        "nested-token": NestedTokenRules(),
        "span": SpanRules(),
    }
    if head not in known:
        msg = f"head '{head}' is not known to the stages; known: {', '.join(known)}"
        raise StageError(msg)
    return known[head]


def classes(targets: np.ndarray) -> np.ndarray:
    """Class ids [W, k] → which classes occur in a window, bool [W, C]."""
    found = np.unique(targets[targets >= 0])
    return np.stack([(targets == label).any(axis=1) for label in found], axis=1) if len(found) else targets[:, :0] >= 0


def check_alike(said: Sequence[np.ndarray]) -> None:
    """StageError unless all teachers answered for the same units and classes."""
    shapes = list(dict.fromkeys(one.shape for one in said))
    if len(shapes) > 1:
        msg = f"teachers answered for units and classes {' and '.join(map(str, shapes))} of one example: not the same"
        raise StageError(msg)


def check_finite(windows: Sequence[Encoded], outputs: Sequence[Sequence[np.ndarray] | np.ndarray]) -> None:
    """StageError unless all figures of every window are numbers."""
    bad = {at for output in outputs for at, said in enumerate(output) if not np.isfinite(said).all()}
    if bad:
        msg = f"the model answered {len(bad)} of {len(windows)} windows with numbers that are not finite"
        raise StageError(msg)
