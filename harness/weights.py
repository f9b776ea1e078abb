"""Weights of transformers models: counted, loaded and saved the same way for every student."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import AssetError
from harness.shapes import KEY, note_shapes, reshape, shapes_of
from harness.specs import Facts, Head

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_AUTO: dict[Head, str] = {
    "sequence": "AutoModelForSequenceClassification",
    "token": "AutoModelForTokenClassification",
    "nested-token": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
}


def parameter_facts(model: torch.nn.Module) -> Facts:
    """`parameters`, and the same without embedding tables (words, positions, types); shared weights count once."""
    from torch import nn

    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    parameters = list(model.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "parameters_without_embeddings": sum(p.numel() for p in parameters if id(p) not in tables),
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no reports: what they say is returned as facts."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def load_pretrained(auto: Any, folder: Path, **options: Any) -> tuple[PreTrainedModel, dict[str, list[str]]]:
    """`auto.from_pretrained` in fp32 from safetensors in a local folder, running no code from it.

    Returns the model in eval mode and the sorted names {"missing", "unexpected"}; a weight of another shape is
    missing. AssetError when the folder cannot be loaded.
    """
    import torch

    local = {"local_files_only": True, "trust_remote_code": False}
    safe = {**local, "use_safetensors": True, "dtype": torch.float32}
    try:
        with _quiet():
            model, info = _unequal(auto, folder, options.get("config"), local).from_pretrained(
                folder, **safe, output_loading_info=True, ignore_mismatched_sizes=True, **options
            )
    except Exception as error:  # whatever a stranger's files make transformers and safetensors stumble over
        msg = f"{folder}: not a checkpoint that can be loaded ({type(error).__name__}: {error})"
        raise AssetError(msg) from error
    missing = {*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    return model, {"missing": sorted(missing), "unexpected": sorted(info["unexpected_keys"])}


def _unequal(auto: Any, folder: Path, config: Any, local: Mapping[str, Any]) -> Any:
    """The class to load with: `auto` itself, or one that cuts its layers to the shapes that the config names.

    `from_pretrained` makes the model from its config and would draw anew every weight that does not fit.
    """
    import torch
    from transformers import AutoConfig, PreTrainedModel

    if config is None and KEY not in (folder / "config.json").read_text(encoding="utf-8"):
        return auto
    config = config or AutoConfig.from_pretrained(folder, **local)
    if not shapes_of(config):
        return auto
    if issubclass(auto, PreTrainedModel):
        plain = auto
    else:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            plain = type(auto.from_config(config))

    def build(model: PreTrainedModel, config: Any, *arguments: Any, **options: Any) -> None:
        plain.__init__(model, config, *arguments, **options)
        reshape(model, config)
        model.__class__ = plain

    return type(plain.__name__, (plain,), {"__init__": build, "__module__": plain.__module__})


def save_pretrained(model: PreTrainedModel, folder: Path) -> None:
    """`config.json` and one `model.safetensors`; unequal layers are noted in the config."""
    note_shapes(model)
    with _quiet():
        model.save_pretrained(folder, max_shard_size="1000GB")


def empty_model(folder: Path, head: Head, **options: Any) -> torch.nn.Module:
    """The architecture that an artifact's `config.json` describes, with no memory behind its tensors.

    For compressors that store weights in a way of their own: change modules, then `fill_model`. The student's module
    must have been imported, so that the Auto classes know its config; `options` go to `from_config`.
    """
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    auto: Any = getattr(transformers, _AUTO[head])
    with torch.device("meta"):
        model: torch.nn.Module = auto.from_config(config, trust_remote_code=False, **options)
        reshape(model, config)
    return model


def all_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name, those too that a state dict leaves out."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def fill_model(model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put a tensor behind every name of an empty model. ValueError where names, shapes or types differ."""
    from torch import nn

    places = all_tensors(model)
    for name, tensor in tensors.items():
        slot = places.get(name)
        if slot is None or (slot.shape, slot.dtype) != (tensor.shape, tensor.dtype):
            expected = "nothing" if slot is None else f"{tuple(slot.shape)} {slot.dtype}"
            msg = f"'{name}' is {tuple(tensor.shape)} {tensor.dtype}; {expected} was expected"
            raise ValueError(msg)
        path, _, key = name.rpartition(".")
        value = nn.Parameter(tensor, requires_grad=False) if isinstance(slot, nn.Parameter) else tensor
        setattr(model.get_submodule(path), key, value)
    missing = [name for name, tensor in all_tensors(model).items() if tensor.is_meta]
    if missing:
        msg = f"{len(missing)} tensors are missing, '{missing[0]}' among them"
        raise ValueError(msg)
