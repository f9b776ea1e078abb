"""harness: what distillation, quantization, pruning and ONNX buy, on your task, on your machine.

The names below are the public API; plugins import nothing else from here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.assets import lies_in
    from harness.claims import AtWork, Claims
    from harness.errors import AssetError, HarnessError, PluginError, StageError, SuiteError, choices, did_you_mean
    from harness.executors import Event, Executor, local_executor
    from harness.executors.fitness import (
        MachineDescription,
        describe_machine,
        machine_faults,
        machine_question,
        stage_misfit,
        stages_without_machine,
        store_sign,
    )
    from harness.executors.processes import Guard
    from harness.executors.remote import STOPPED, Job, MachineShare, do_job, event_from_text
    from harness.executors.running import run_stage, stage_environment
    from harness.hookspecs import hookimpl
    from harness.keys import Stage, stage_from_json
    from harness.measuring.machine import cpu_flags
    from harness.reading import TABLE_SUFFIXES, Row, Table, choose_files, read_table, read_utf8, role_of
    from harness.reports import (
        Absent,
        MainTable,
        Marked,
        Report,
        csv_files,
        json_files,
        json_report,
        main_table,
        markdown_files,
        plain_text,
    )
    from harness.shapes import cut_linear
    from harness.specs import (
        AHEAD,
        Arrays,
        Batch,
        BuildRequest,
        Compressor,
        CompressorSpec,
        CompressRequest,
        CriticalTask,
        Distiller,
        DistillerSpec,
        Encoded,
        Encoder,
        Example,
        ExecutorRequest,
        ExecutorSpec,
        Facts,
        Head,
        Metric,
        Notice,
        Observer,
        ObserverSpec,
        Params,
        Prepared,
        Reporter,
        ReporterSpec,
        Role,
        Runtime,
        RuntimeSpec,
        Session,
        SlowTask,
        Source,
        SpanOutput,
        StatefulDistiller,
        StatesSession,
        Student,
        StudentSpec,
        Task,
        TaskSpec,
    )
    from harness.text import TokenizerEncoder, padding_id, read_tokenizer, save_encoder, train_wordpiece
    from harness.weights import all_tensors, empty_model, fill_model, load_pretrained, parameter_facts, save_pretrained

__version__ = "0.1.0"

_ASSETS = ("lies_in",)
_ERRORS = ("AssetError", "HarnessError", "PluginError", "StageError", "SuiteError", "choices", "did_you_mean")
_CLAIMS = ("AtWork", "Claims")
_EXECUTORS = ("Event", "Executor", "local_executor")
_FITNESS = (
    "MachineDescription",
    "machine_question",
    "store_sign",
    "describe_machine",
    "machine_faults",
    "stages_without_machine",
    "stage_misfit",
)
_HOOKS = ("hookimpl",)
_KEYS = ("Stage", "stage_from_json")
_MACHINE = ("cpu_flags",)
_READING = ("TABLE_SUFFIXES", "Row", "Table", "choose_files", "read_table", "read_utf8", "role_of")
_REPORTS = (
    "Absent", "MainTable", "Marked", "Report", "csv_files", "json_files", "json_report", "main_table", "markdown_files",
    "plain_text",
)  # fmt: skip
_PROCESSES = ("Guard",)
_REMOTE = ("STOPPED", "Job", "MachineShare", "do_job", "event_from_text")
_RUNNING = ("run_stage", "stage_environment")
_SHAPES = ("cut_linear",)
_TEXT = ("TokenizerEncoder", "padding_id", "read_tokenizer", "save_encoder", "train_wordpiece")
_WEIGHTS = ("all_tensors", "empty_model", "fill_model", "load_pretrained", "parameter_facts", "save_pretrained")
_MODULES = {
    **dict.fromkeys(_ASSETS, "assets"),
    **dict.fromkeys(_ERRORS, "errors"),
    **dict.fromkeys(_CLAIMS, "claims"),
    **dict.fromkeys(_EXECUTORS, "executors"),
    **dict.fromkeys(_FITNESS, "executors.fitness"),
    **dict.fromkeys(_HOOKS, "hookspecs"),
    **dict.fromkeys(_KEYS, "keys"),
    **dict.fromkeys(_MACHINE, "measuring.machine"),
    **dict.fromkeys(_READING, "reading"),
    **dict.fromkeys(_REPORTS, "reports"),
    **dict.fromkeys(_PROCESSES, "executors.processes"),
    **dict.fromkeys(_REMOTE, "executors.remote"),
    **dict.fromkeys(_RUNNING, "executors.running"),
    **dict.fromkeys(_SHAPES, "shapes"),
    **dict.fromkeys(_TEXT, "text"),
    **dict.fromkeys(_WEIGHTS, "weights"),
}

__all__ = [
    "AHEAD",
    "STOPPED",
    "TABLE_SUFFIXES",
    "Absent",
    "Arrays",
    "AssetError",
    "AtWork",
    "Batch",
    "BuildRequest",
    "Claims",
    "CompressRequest",
    "Compressor",
    "CompressorSpec",
    "CriticalTask",
    "Distiller",
    "DistillerSpec",
    "Encoded",
    "Encoder",
    "Event",
    "Example",
    "Executor",
    "ExecutorRequest",
    "ExecutorSpec",
    "Facts",
    "Guard",
    "HarnessError",
    "Head",
    "Job",
    "MachineDescription",
    "MachineShare",
    "MainTable",
    "Marked",
    "Metric",
    "Notice",
    "Observer",
    "ObserverSpec",
    "Params",
    "PluginError",
    "Prepared",
    "Report",
    "Reporter",
    "ReporterSpec",
    "Role",
    "Row",
    "Runtime",
    "RuntimeSpec",
    "Session",
    "SlowTask",
    "Source",
    "SpanOutput",
    "Stage",
    "StageError",
    "StatefulDistiller",
    "StatesSession",
    "Student",
    "StudentSpec",
    "SuiteError",
    "Table",
    "Task",
    "TaskSpec",
    "TokenizerEncoder",
    "all_tensors",
    "choices",
    "choose_files",
    "cpu_flags",
    "csv_files",
    "cut_linear",
    "describe_machine",
    "did_you_mean",
    "do_job",
    "empty_model",
    "event_from_text",
    "fill_model",
    "hookimpl",
    "json_files",
    "json_report",
    "lies_in",
    "load_pretrained",
    "local_executor",
    "machine_faults",
    "machine_question",
    "main_table",
    "markdown_files",
    "padding_id",
    "parameter_facts",
    "plain_text",
    "read_table",
    "read_tokenizer",
    "read_utf8",
    "role_of",
    "run_stage",
    "save_encoder",
    "save_pretrained",
    "stage_environment",
    "stage_from_json",
    "stage_misfit",
    "stages_without_machine",
    "store_sign",
    "train_wordpiece",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `--help` loads neither pydantic nor plugins."""
    if name not in __all__:
        msg = f"module 'harness' has no attribute '{name}'"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"harness.{_MODULES.get(name, 'specs')}"), name)


def __dir__() -> list[str]:
    return __all__
