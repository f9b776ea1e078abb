"""The factory of the `lstm` student."""

from __future__ import annotations

from harness_recurrent.factory import Recurrent
from harness_recurrent.modeling import LSTM, LstmConfig


class Lstm(Recurrent):
    """PyTorch's LSTM."""

    config, models = LstmConfig, LSTM
