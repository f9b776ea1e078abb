"""Which row of a record to take: bars, an objective, and how sure the answer is."""

from __future__ import annotations

from harness.recommending.choosing import recommend
from harness.recommending.model import Candidate, Judged, Recommendation, Wishes
from harness.recommending.page import recommendation_json, render

__all__ = ["Candidate", "Judged", "Recommendation", "Wishes", "recommend", "recommendation_json", "render"]
