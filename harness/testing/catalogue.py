"""Every check with its reason, as a page: `python -m harness.testing.catalogue > docs/conformance.md`."""

from __future__ import annotations

import importlib
import sys

from harness.testing.kit import MODULES

HEAD = """\
# Conformance

Does a component keep the contract of its kind? `harness plugin check my-int4` tells, in seconds, offline, on toy models
that it builds, trains and compresses itself; so does a test file of your plugin:

```python
from harness.testing import conformance

test_conformance = conformance("compressor", "my-int4")
```

or `pytest --harness-check compressor/my-int4` without one. Params other than the defaults go in as
`conformance("compressor", "my-int4", params={"bits": 3})`.

A check ends in one of four ways:

- **passed**;
- **failed**: the note says what was found and what was expected; `harness plugin check` exits with 1;
- **declared**: the spec says itself that it does not hold (`batch_dependent`, for instance), and the note has the
  measured figure;
- **not applicable**: there is nothing to look at, and the note says why. A component about which too little can be
  found out is not refused, so read the notes.

What a check makes is shared by those after it: where a compressor crashes, the first check that needs its work fails
and the others say that there is nothing to look at. Building and compressing happen in processes of their own, with an
empty home, temporary and working folder, and are watched by Python's audit events. Files that native code opens are not
seen there; what it leaves behind is. A check that passes is no proof that a plugin is safe to install.

How far a compressor may move answers is the `tolerance` of its spec: the largest difference of a logit from its
source's, as a share of the standard deviation of the source's logits; 0.01 unless it says otherwise. The project's
dynamic int8 declares 0.2.

This page is written by `python -m harness.testing.catalogue`.
"""


def page() -> str:
    """The page, in markdown."""
    return "\n".join([HEAD, *(section(kind) for kind in MODULES)])


def section(kind: str) -> str:
    """The checks of one kind."""
    looks = importlib.import_module(MODULES[kind]).CHECKS
    rows = "".join(f"| `{look.name}` | {look.summary} |\n" for look in looks)
    return f"## {kind.capitalize()}s\n\n| check | what is looked at, and why |\n|---|---|\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(page())
