"""Models without a checkpoint's weights: from dimensions, or of a published architecture."""

from __future__ import annotations

import json

from tokenizers import Tokenizer
from transformers import AutoConfig, PreTrainedConfig

from harness import AssetError, BuildRequest, Facts, padding_id, read_tokenizer, train_wordpiece
from harness_transformers.architectures import KNOWN, Architecture
from harness_transformers.heads import told

FROM_PADDING = ("camembert", "roberta", "xlm-roberta")  # position ids start after the padding id


def position_offset(model_type: str, pad: int) -> int:
    """Rows of the position table that no token ever uses."""
    return pad + 1 if model_type in FROM_PADDING else 0


def from_dimensions(request: BuildRequest, tokenizer: Tokenizer) -> PreTrainedConfig:
    """As many positions as `max_length` needs, none more: they are part of the model's size."""
    params = request.params
    pad = padding_id(tokenizer)
    wide = params.intermediate or 4 * params.hidden_size
    names = {"hidden_dim" if params.model_type == "distilbert" else "intermediate_size": wide}
    if params.model_type == "electra":
        names["embedding_size"] = params.hidden_size
    config = AutoConfig.for_model(
        params.model_type,
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=params.hidden_size,
        num_hidden_layers=params.layers,
        num_attention_heads=params.heads,
        max_position_embeddings=request.max_length + position_offset(params.model_type, pad),
        pad_token_id=pad,
        initializer_range=params.init_std,
        **names,
    )
    return told(config, request)


def architecture(request: BuildRequest) -> Architecture | None:
    """The table's entry when random weights are asked for and the checkpoint brings no config.json of its own."""
    folder = request.assets.get("checkpoint")
    name = request.params.checkpoint
    if name is None or not request.random_weights or (folder is not None and (folder / "config.json").is_file()):
        return None
    if name not in KNOWN:
        msg = f"'{name}': no config.json there, and its architecture is not known here; known: {', '.join(KNOWN)}"
        raise AssetError(msg)
    return KNOWN[name]


def from_architecture(request: BuildRequest, known: Architecture, tokenizer: Tokenizer) -> PreTrainedConfig:
    """The published sizes; padding is the tokenizer's."""
    arguments = known.config_arguments()
    return told(AutoConfig.for_model(known.model_type, **arguments, pad_token_id=padding_id(tokenizer)), request)


def vocabulary(request: BuildRequest, known: Architecture) -> tuple[Tokenizer, Facts]:
    """The tokenizer that is there, else one of the right size trained on the task's texts; the fact says which.

    AssetError when the tokenizer that is there has another number of tokens than the architecture.
    """
    lowercase = request.params.lowercase if "lowercase" in request.params.model_fields_set else not known.cased
    given = request.assets.get("tokenizer") or request.artifacts.get("tokenizer") or request.assets.get("checkpoint")
    if given is None:
        trained = train_wordpiece(request.texts(), known.vocab_size, lowercase)
        fact = f"trained on the task's texts, filled up to {known.vocab_size}"
        return filled_up(trained, known.vocab_size), {"vocabulary": fact}
    tokenizer = read_tokenizer(given, lowercase)
    size = tokenizer.get_vocab_size()
    if not known.smallest_vocabulary <= size <= known.vocab_size:
        needed = f"'{request.params.checkpoint}' has {known.smallest_vocabulary}"
        msg = f"{given}: {size} tokens, and {needed}: they do not belong together; name its own tokenizer, or none"
        raise AssetError(msg)
    return tokenizer, {"vocabulary": "its own" if given == request.assets.get("checkpoint") else "given"}


def filled_up(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """The same WordPiece tokenizer with tokens that no text can produce, so that it has `size` of them.

    They stand in brackets, at which words are always cut.
    """
    described = json.loads(tokenizer.to_str())
    tokens = described["model"]["vocab"]
    tokens.update({f"[unused{at}]": at for at in range(len(tokens), size)})
    return Tokenizer.from_str(json.dumps(described, ensure_ascii=False))
