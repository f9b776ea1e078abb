"""The factories of the `sru` and `srupp` students."""

from __future__ import annotations

from harness_recurrent.factory import Recurrent
from harness_recurrent.modeling import SRU, SRUPP, SruConfig, SruppConfig


class Sru(Recurrent):
    """One matrix per layer."""

    config, models = SruConfig, SRU
    own = ("highway_bias",)


class Srupp(Recurrent):
    """Attention per layer."""

    config, models = SruppConfig, SRUPP
    own = ("highway_bias", "projection_size", "attention_dropout")
