"""Suites: reading, checking, expanding and binding them."""

from harness.suite.bind import BindingError, bind
from harness.suite.load import load_suite, parse_suite
from harness.suite.matrix import select
from harness.suite.schema import Registry
from harness.suite.types import (
    AxisValue,
    Cell,
    ChainStep,
    DataConfig,
    MeasureConfig,
    ModelConfig,
    Retention,
    SpeedConfig,
    StepConfig,
    Suite,
    TaskConfig,
    axis_text,
)

__all__ = [
    "AxisValue",
    "BindingError",
    "Cell",
    "ChainStep",
    "DataConfig",
    "MeasureConfig",
    "ModelConfig",
    "Registry",
    "Retention",
    "SpeedConfig",
    "StepConfig",
    "Suite",
    "TaskConfig",
    "axis_text",
    "bind",
    "load_suite",
    "parse_suite",
    "select",
]
