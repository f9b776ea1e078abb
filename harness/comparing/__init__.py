"""Two records side by side: which rows differ, whether the data can tell, and what recorded facts could explain it."""

from __future__ import annotations

from harness.comparing.compare import compare
from harness.comparing.model import Comparison, Limits
from harness.comparing.page import comparison_json, render

__all__ = ["Comparison", "Limits", "compare", "comparison_json", "render"]
