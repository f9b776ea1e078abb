"""What a head is to a transformers model: its Auto class, the labels of its config, what it reads."""

from __future__ import annotations

import inspect
from typing import Any

from optimum.exporters.tasks import TasksManager
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from harness import BuildRequest, Head, StageError

_TASKS: dict[Head, str] = {
    "sequence": "text-classification",
    "token": "token-classification",
    "nested-token": "token-classification",
    "span": "question-answering",
}
_CLASSES: dict[Head, str] = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "nested-token": "ForTokenClassification",
    "span": "ForQuestionAnswering",
}
_SPAN = ("start", "end")  # what the two columns of a span head say, whatever the task's labels are
_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout", "qa_dropout")


def auto(head: Head) -> Any:
    """The stock Auto class. StageError for a head that has none here."""
    if head not in _TASKS:
        msg = f"a transformer has no head '{head}'; it has {', '.join(_TASKS)}"
        raise StageError(msg)
    return TasksManager.get_model_class_for_task(_TASKS[head], framework="pt")


def label_names(request: BuildRequest) -> tuple[str, ...]:
    """What the columns of the head's last matrix stand for."""
    return _SPAN if request.head == "span" else request.labels


def told(config: PreTrainedConfig, request: BuildRequest) -> PreTrainedConfig:
    """The config with the head's labels and the suite's dropout."""
    config.id2label = dict(enumerate(label_names(request)))
    config.label2id = {label: at for at, label in config.id2label.items()}
    names = [name for name in _DROPOUTS if hasattr(config, name)]
    if request.params.dropout is not None:
        if not names:
            msg = f"dropout = {request.params.dropout}: a {config.model_type} config has no dropout to set; remove it"
            raise StageError(msg)
        for name in names:
            setattr(config, name, request.params.dropout)
    return config


def own_order(config: PreTrainedConfig, request: BuildRequest) -> list[int] | None:
    """Where a checkpoint's own head has each of our labels; None when it has others or is the head of another task.

    A span head has always the same two columns.
    """
    wanted = label_names(request)
    if not any(str(name).endswith(_CLASSES[request.head]) for name in config.architectures or ()):
        return None
    if request.head == "span":
        return list(range(len(wanted)))
    ids = {str(label): int(at) for at, label in (config.id2label or {}).items()}
    return [ids[label] for label in wanted] if set(ids) == set(wanted) else None


def reads_token_types(model: PreTrainedModel, head: Head) -> bool:
    """Does the model tell question and context apart by `token_type_ids`? Only a span head has two texts."""
    types = getattr(model.config, "type_vocab_size", None) or 0
    return head == "span" and types >= 2 and "token_type_ids" in inspect.signature(model.forward).parameters


def body_prefix(model: PreTrainedModel) -> str:
    """What the names of the encoder's weights begin with; whatever else there is belongs to the head."""
    return f"{model.base_model_prefix}."


def stacks(model: nn.Module, layers: int) -> list[str]:
    """Names of the module lists that hold one module per layer."""
    found = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.ModuleList))
    return [name for name, module in found if len(module) == layers]
