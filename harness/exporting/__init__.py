"""One cell's artifact as a folder that others can use: model, encoder, a model card, a script that answers."""

from __future__ import annotations

from harness.exporting.folder import export
from harness.exporting.gather import Material, gather
from harness.exporting.wishes import Wishes

__all__ = ["Material", "Wishes", "export", "gather"]
