"""Checkpoints, their weights, configs and tokenizers."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from benchmarks.faults.hostile_traps import EITHER, NATIVE, REFUSED, Ground, Trap, write

CODE = "from pathlib import Path\nPath({canary!r}).mkdir()\nclass C: pass\n"
FUZZED = 160  # random changes of a file of weights
TOKENIZERS = 60


class Runs:
    """What pickle calls when it is loaded."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self):
        return os.mkdir, (self.canary,)


def pickled(ground: Ground) -> bytes:
    return pickle.dumps({"weight": Runs(ground.canary)})


def torch_zip(ground: Ground, path: Path) -> None:
    """As `torch.save` writes it: an archive with a pickle inside."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(ground))
        archive.writestr("archive/version", "3\n")


@cache
def sound() -> Path:
    """A checkpoint that can be built from: of 9,000 parameters, made once."""
    import atexit
    import tempfile

    from harness.testing.sandbox import sandbox

    folder = Path(tempfile.mkdtemp(prefix="hostile-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sandbox().run("benchmarks.faults.hostile_models:make_sound", {"out": str(folder / "made")})
    return folder / "made"


def make_sound(job):
    from benchmarks.faults.hostile_doors import LABELS, MAX_LENGTH, TEXTS
    from harness.artifacts import Artifact
    from harness.specs import BuildRequest
    from harness_transformers.model import Transformer
    from harness_transformers.plugin import TransformerParams

    out = Path(job["out"])
    out.mkdir()
    params = TransformerParams(hidden_size=16, layers=1, heads=2, intermediate=16, vocab_size=100)
    Transformer().build(
        BuildRequest(
            out=out, head="sequence", labels=LABELS, params=params, seed=0, max_length=MAX_LENGTH, assets={},
            artifacts={}, texts=lambda: iter(TEXTS),
        )
    )  # fmt: skip
    Artifact(format="torch", student="transformer", head="sequence", labels=LABELS, max_length=MAX_LENGTH).write(out)


def copied(ground: Ground, without: str = "") -> Path:
    shutil.copytree(sound(), ground.given, ignore=shutil.ignore_patterns(without))
    return ground.given


# ------------------------------------------------------------------------------------------------------------ weights

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def weights() -> Iterator[Trap]:
    for name in ("pytorch_model.bin", "model.pt", "model.pth", "model.pkl", "model.ckpt", "tf_model.h5"):
        yield _weights(f"pickle {name}", lambda g, n=name: write(g.given / n, pickled(g)))
        yield _weights(f"archive {name}", lambda g, n=name: torch_zip(g, g.given / n))
    yield _weights("pickle named .safetensors", lambda g: write(g.given / WEIGHTS, pickled(g)))
    yield _weights("torch archive named .safetensors", lambda g: torch_zip(g, g.given / WEIGHTS))
    yield _weights(
        "pickle index", lambda g: (write(g.given / "pytorch_model.bin", pickled(g)), _index(g, "pytorch_model.bin"))
    )
    for where in ("../../outside/w.safetensors", "{outside}/w.safetensors", "sub/w.safetensors", "..", ".", "", "a\0b",
                  "../given/model-1.safetensors", "..\\..\\outside\\w.safetensors", "file:///etc/passwd", "https://127.0.0.1:9/x.safetensors"):  # fmt: skip
        yield _weights(f"weight_map {where!r}", lambda g, w=where: _elsewhere(g, w.format(outside=g.outside)))
    for kind, make in PLACES.items():
        for name in (WEIGHTS, "model-1.safetensors"):
            yield _weights(
                f"{kind} as {name}", lambda g, m=make, n=name: (m(g, g.given / n), n != WEIGHTS and _index(g, n))
            )
    for name in ("config.json", "tokenizer.json", INDEX):
        for kind, make in PLACES.items():
            yield Trap("weights", f"{kind} as {name}", "checkpoint", lambda g, m=make, n=name: _replaced(g, n, m))
    yield Trap("weights", "adapter", "checkpoint", lambda g: write(copied(g) / "adapter_config.json", "{}"))
    for name in ("modeling_evil.py", "configuration_evil.py", "tokenization_evil.py", "__init__.py", "handler.py", "transformers.py",
                 "pytorch_model.bin", "training_args.bin", "optimizer.pt", "custom_generate/generate.py", "sitecustomize.py", "conftest.py"):  # fmt: skip
        yield Trap("code beside", name, "checkpoint", lambda g, n=name: _beside(g, n), EITHER)


def _weights(name: str, plant: Callable[[Ground], object]) -> Trap:
    def planted(ground: Ground) -> None:
        copied(ground, WEIGHTS)
        plant(ground)

    return Trap("weights", name, "checkpoint", planted)


def _index(ground: Ground, *names: str) -> None:
    write(
        ground.given / INDEX,
        json.dumps({"metadata": {}, "weight_map": {f"w{n}": name for n, name in enumerate(names)}}),
    )


def _elsewhere(ground: Ground, name: str) -> None:
    shutil.copy(sound() / WEIGHTS, ground.outside / "w.safetensors")
    shutil.copy(sound() / WEIGHTS, ground.given / "model-1.safetensors")
    _index(ground, name)


def _link_out(ground: Ground, path: Path) -> None:
    shutil.copy(sound() / (path.name if (sound() / path.name).exists() else WEIGHTS), ground.outside / "target")
    path.symlink_to(ground.outside / "target")


def _link_secret(ground: Ground, path: Path) -> None:
    path.symlink_to(ground.secret)


def _hard_link(ground: Ground, path: Path) -> None:
    os.link(ground.secret, path)


def _link_round(_: Ground, path: Path) -> None:
    path.symlink_to(path.name)


PLACES: dict[str, Callable[[Ground, Path], object]] = {
    "a link out": _link_out,
    "a link to a secret": _link_secret,
    "a hard link to a secret": _hard_link,
    "a link to itself": _link_round,
    "a FIFO": lambda ground, path: os.mkfifo(path),
    "a link to a device": lambda ground, path: path.symlink_to("/dev/zero"),
    "a link to a terminal": lambda ground, path: path.symlink_to("/dev/tty"),
    "a folder": lambda ground, path: path.mkdir(),
    "an empty file": lambda ground, path: path.touch(),
}


def _replaced(ground: Ground, name: str, make: Callable[[Ground, Path], object]) -> None:
    copied(ground, WEIGHTS if name == INDEX else name)
    make(ground, ground.given / name)


def _beside(ground: Ground, name: str) -> None:
    copied(ground)
    write(ground.given / name, CODE.format(canary=str(ground.canary)) if name.endswith(".py") else pickled(ground))


# ------------------------------------------------------------------------------------------------------------ configs


def configs() -> Iterator[Trap]:
    auto = {"AutoConfig": "evil.C", "AutoModel": "evil.C", "AutoModelForSequenceClassification": "evil.C"}
    asked = {
        "auto_map": {"auto_map": auto},
        "auto_map of another repository": {"auto_map": {name: f"owner/evil--{at}" for name, at in auto.items()}},
        "trust_remote_code": {"trust_remote_code": True},
        "custom_pipelines": {"custom_pipelines": {"x": {"impl": "evil.C", "pt": ["AutoModel"], "type": "text"}}},
        "quantization_config": {"quantization_config": {"quant_method": "evil"}},
        "nested auto_map": {"text_config": {"model_type": "bert", "auto_map": auto}},
        "nested trust_remote_code": {"sub": [{"deep": {"trust_remote_code": True}}]},
        "LightGlue": {
            "model_type": "lightglue",
            "trust_remote_code": True,
            "keypoint_detector_config": {"model_type": "evil", "auto_map": auto},
        },
        "LightGlue, nested": {
            "model_type": "lightglue",
            "keypoint_detector_config": {"model_type": "evil", "_name_or_path": "given", "trust_remote_code": True},
        },
        "attention from a hub": {"_attn_implementation": "owner/evil"},
        "attention from a hub, by its other name": {"attn_implementation": "owner/evil:run"},
        "attention of each part from a hub": {"attn_implementation": {"": "owner/evil"}},
        "kernels": {"use_kernels": True, "kernel_config": {"Linear": "owner/evil:run"}},
        "experts from a hub": {"experts_implementation": "owner/evil"},
        "unknown model_type": {"model_type": "evil"},
        "model_type as a path": {"model_type": "../../outside/evil"},
        "model_type as a list": {"model_type": ["bert"]},
        "model of images": {"model_type": "vit"},
        "timm": {"model_type": "timm_wrapper", "architecture": "hf-hub:owner/evil"},
    }
    for name, change in asked.items():
        yield _config(name, change)
    sizes = (
        "hidden_size",
        "vocab_size",
        "num_hidden_layers",
        "intermediate_size",
        "max_position_embeddings",
        "type_vocab_size",
        "num_attention_heads",
    )
    for name in sizes:
        for value in (-1, 0, 10**6, 10**9, 10**18, 10**400, 1.5, "16", None, [16], 1e308):
            yield _config(f"{name} = {str(value)[:8]}", {name: value}, EITHER)
    for name, value in {"id2label": {"0": "x"} | {str(n): "y" for n in range(20000)}, "num_labels": 10**9, "architectures": [7], "linear_shapes": {"classifier": [10**9, 10**9]},
                        "hidden_act": "__import__('os')", "dtype": "os.system", "torch_dtype": "evil", "initializer_range": 1e400, "pad_token_id": 10**9,
                        "output_hidden_states": True, "chunk_size_feed_forward": 10**9, "pruned_heads": {"0": [0, 1]}, "_name_or_path": "https://127.0.0.1:9/x",
                        "is_decoder": True, "problem_type": "evil", "tie_word_embeddings": 7, "layer_norm_eps": "x", "classifier_dropout": 7}.items():  # fmt: skip
        yield _config(f"{name} = {str(value)[:20]}", {name: value}, EITHER)
    texts = {
        "nested 100,000 deep": "[" * 100_000, "nested objects": '{"a":' * 20_000 + "1" + "}" * 20_000, "not JSON": "{", "a list": "[]", "a number": "7",
        "NUL": "\0" * 100, "not UTF-8": b"\xff\xfe{}", "a number of 10,000 digits": '{"model_type": "bert", "x": %s}' % ("9" * 10_000),
        "NaN": '{"model_type": "bert", "hidden_size": NaN}', "pickle": b"\x80\x04N.", "twice": '{"model_type": "bert", "model_type": "evil"}',
        "64 MiB of text": '{"model_type": "bert", "x": "%s"}' % ("x" * (64 << 20)),
    }  # fmt: skip
    for name, text in texts.items():
        yield Trap("configs", name, "checkpoint", lambda g, t=text: write(copied(g) / "config.json", t))
    for name in (
        "tokenizer_config.json",
        "special_tokens_map.json",
        "generation_config.json",
        "preprocessor_config.json",
        "adapter_model.json",
    ):
        text = json.dumps(
            {
                "auto_map": {"AutoTokenizer": ["evil.C", None]},
                "trust_remote_code": True,
                "tokenizer_class": "C",
                "custom_generate": "evil",
            }
        )
        yield Trap("configs", f"code in {name}", "checkpoint", lambda g, n=name, t=text: _coded(g, n, t), EITHER)


def _config(name: str, change: dict, may=(REFUSED,)) -> Trap:
    def plant(ground: Ground) -> None:
        folder = copied(ground)
        _coded(ground, "", "")
        config = json.loads((folder / "config.json").read_text())
        write(folder / "config.json", json.dumps({**config, **change}))

    return Trap("configs", name, "checkpoint", plant, may)


def _coded(ground: Ground, name: str, text: str) -> None:
    if not ground.given.exists():
        copied(ground)
    write(ground.given / "evil.py", CODE.format(canary=str(ground.canary)))
    if name:
        write(ground.given / name, text)


# -------------------------------------------------------------------------------------------------------- safetensors


def safetensors() -> Iterator[Trap]:
    for name, make in BUILT.items():
        may = EITHER if name in HARMLESS else (REFUSED,)
        yield Trap("safetensors", name, "checkpoint", lambda g, m=make: write(copied(g) / WEIGHTS, m(*_parts())), may)
    for seed in range(FUZZED):
        yield Trap(
            "safetensors",
            f"mutation {seed}",
            "checkpoint",
            lambda g, s=seed: write(copied(g) / WEIGHTS, mutated((sound() / WEIGHTS).read_bytes(), s)),
            NATIVE,
            ("not finite",),
        )


def _parts() -> tuple[dict, bytes]:
    data = (sound() / WEIGHTS).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def _file(header: object, body: bytes, size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def _first(header: dict, **change: object) -> dict:
    name = next(name for name in header if name != "__metadata__")
    return {**header, name: {**header[name], **change}}


HARMLESS = ("two tensors of one name", "metadata of another framework")  # the last one counts; nobody asks
BUILT: dict[str, Callable[[dict, bytes], bytes]] = {
    "empty": lambda h, b: b"",
    "seven bytes": lambda h, b: b"\0" * 7,
    "header of 2^63 bytes": lambda h, b: _file(h, b, 2**63),
    "header of 2^64-1 bytes": lambda h, b: _file(h, b, 2**64 - 1),
    "header of 1 GB": lambda h, b: _file(h, b, 10**9),
    "header of 101 MB that is there": lambda h, b: _file(json.dumps(h).encode() + b" " * (101 << 20), b),
    "header of no bytes": lambda h, b: _file(h, b, 0),
    "header one byte short": lambda h, b: _file(h, b, len(json.dumps(h)) - 1),
    "header one byte long": lambda h, b: _file(h, b, len(json.dumps(h)) + 1),
    "header that is a list": lambda h, b: _file([h], b),
    "header that is null": lambda h, b: _file(None, b),
    "header nested 100,000 deep": lambda h, b: _file(b'{"a":' * 100_000, b),
    "header with NaN": lambda h, b: _file(json.dumps(h).replace("[0,", "[NaN,", 1).encode(), b),
    "header not UTF-8": lambda h, b: _file(b"\xff\xfe" * 50, b),
    "two tensors of one name": lambda h, b: _file(_twice(h), b),
    "tensors that overlap": lambda h, b: _file({n: ({**t, "data_offsets": [0, t["data_offsets"][1] - t["data_offsets"][0]]} if n != "__metadata__" else t) for n, t in h.items()}, b),
    "a hole": lambda h, b: _file(h, b + b"\0" * 64),
    "cut by a byte": lambda h, b: _file(h, b[:-1]),
    "cut in half": lambda h, b: _file(h, b[: len(b) // 2]),
    "no data": lambda h, b: _file(h, b""),
    "shape that overflows": lambda h, b: _file(_first(h, shape=[2**32, 2**32, 2**32]), b),
    "shape of zero times 2^63": lambda h, b: _file(_first(h, shape=[0, 2**63]), b),
    "shape that is negative": lambda h, b: _file(_first(h, shape=[-1]), b),
    "shape of floats": lambda h, b: _file(_first(h, shape=[1.5]), b),
    "shape of 10,000 dimensions": lambda h, b: _file(_first(h, shape=[1] * 10_000), b),
    "offsets beyond the end": lambda h, b: _file(_first(h, data_offsets=[0, 2**40]), b),
    "offsets backwards": lambda h, b: _file(_first(h, data_offsets=[64, 0]), b),
    "offsets that are negative": lambda h, b: _file(_first(h, data_offsets=[-64, 0]), b),
    "offsets of 2^64": lambda h, b: _file(_first(h, data_offsets=[2**64, 2**64 + 4]), b),
    "unknown type": lambda h, b: _file(_first(h, dtype="EVIL"), b),
    "object type": lambda h, b: _file(_first(h, dtype="O"), b),
    "type of other size": lambda h, b: _file(_first(h, dtype="F64"), b),
    "metadata that are numbers": lambda h, b: _file({**h, "__metadata__": {"a": 1}}, b),
    "metadata of another framework": lambda h, b: _file({**h, "__metadata__": {"format": "evil"}}, b),
    "100,000 tensors": lambda h, b: _file({**h, **{f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [len(b), len(b)]} for n in range(100_000)}}, b),
    "names that are paths": lambda h, b: _file({f"../../{n}": t for n, t in h.items() if n != "__metadata__"}, b),
    "names of no one": lambda h, b: _file({f"\u202e\x1b[2J{n}": t for n, t in h.items() if n != "__metadata__"}, b),
    "an archive": lambda h, b: b"PK\x03\x04" + b,
    "gzip": lambda h, b: b"\x1f\x8b\x08" + b,
    "page of a web site": lambda h, b: b"<!DOCTYPE html><html>",
    "pointer of git-lfs": lambda h, b: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}  # fmt: skip


def _twice(header: dict) -> bytes:
    text = json.dumps(header)
    name = next(name for name in header if name != "__metadata__")
    return (text[:-1] + f", {json.dumps(name)}: {json.dumps(header[name])}" + "}").encode()


def mutated(data: bytes, seed: int) -> bytes:
    """One to four changes: bytes flipped, removed, doubled, replaced, the end cut off; half of them in the first KiB."""
    rng, found = random.Random(seed), bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(min(len(found), 1024) if rng.random() < 0.5 else len(found)) if found else 0
        size = rng.choice((1, 1, 2, 4, 8, 64))
        how = rng.randrange(6)
        if how == 0 and found:
            found[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            del found[at : at + size]
        elif how == 2:
            found[at:at] = found[at : at + size]
        elif how == 3:
            found[at : at + size] = rng.randbytes(size)
        elif how == 4:
            found[at : at + size] = b"\xff" * size
        elif rng.random() < 0.3:
            del found[at:]
    return bytes(found)


# ---------------------------------------------------------------------------------------------------------- tokenizers


def tokenizers() -> Iterator[Trap]:
    for name, change in TOLD.items():
        yield Trap("tokenizers", name, "tokenizer", lambda g, c=change: _tokenizer(g, c), NATIVE)
    texts = {
        "not JSON": "{",
        "nested": '{"a":' * 50_000,
        "empty": "",
        "a list": "[]",
        "NUL": "\0" * 64,
        "pickle": b"\x80\x04N.",
    }
    for name, text in texts.items():
        yield Trap("tokenizers", name, "tokenizer", lambda g, t=text: write(copied(g) / "tokenizer.json", t))
    for seed in range(TOKENIZERS):
        yield Trap(
            "tokenizers",
            f"mutation {seed}",
            "tokenizer",
            lambda g, s=seed: write(
                copied(g) / "tokenizer.json", mutated((sound() / "tokenizer.json").read_bytes(), s)
            ),
            NATIVE,
        )
    vocabularies = {
        "a secret": "the-secret",
        "twice": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n" * 2,
        "escapes": "[PAD]\n[UNK]\n[CLS]\n[SEP]\n\x1b[2J\n\u202e\n",
        "not UTF-8": b"\xff\n",
        "empty": "",
    }
    for name, text in vocabularies.items():
        yield Trap(
            "tokenizers",
            f"vocab.txt: {name}",
            "tokenizer",
            lambda g, t=text: write(copied(g, "tokenizer.json") / "vocab.txt", t),
            EITHER,
        )
    for name, text in {
        "not JSON": "{",
        "a list": "[]",
        "deep": "[" * 100_000,
        "other types": '{"do_lower_case": [], "strip_accents": "x", "tokenize_chinese_chars": {}}',
    }.items():
        yield Trap(
            "tokenizers",
            f"tokenizer_config.json: {name}",
            "tokenizer",
            lambda g, t=text: (
                write(copied(g, "tokenizer.json") / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nall\n"),
                write(g.given / "tokenizer_config.json", t),
            ),
        )


def _tokenizer(ground: Ground, change: Callable[[dict], object]) -> None:
    file = copied(ground) / "tokenizer.json"
    described = json.loads(file.read_text(encoding="utf-8"))
    change(described)
    write(file, json.dumps(described))


def _replacing(times: int) -> dict:
    return {
        "type": "Sequence",
        "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}] * times,
    }


TOLD: dict[str, Callable[[dict], object]] = {
    "ids of 2^32 - 1": lambda t: t["model"]["vocab"].update(dict.fromkeys(list(t["model"]["vocab"])[5:9], 2 ** 32 - 1)),
    "ids that are negative": lambda t: t["model"]["vocab"].update(a=-1),
    "ids with holes": lambda t: t["model"]["vocab"].update(zzz=10**9),
    "ids that are shared": lambda t: t["model"]["vocab"].update(dict.fromkeys(t["model"]["vocab"], 7)),
    "no vocabulary": lambda t: t["model"].update(vocab={}),
    "unknown model": lambda t: t["model"].update(type="Evil"),
    "unknown token that is none": lambda t: t["model"].update(unk_token="no such token"),
    "words of 2^63 characters": lambda t: t["model"].update(max_input_chars_per_word=2**63),
    "padding to 2^40": lambda t: t.update(padding={"strategy": {"Fixed": 2**40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}),
    "truncation with a stride of its length": lambda t: t.update(truncation={"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 4}),
    "frame of tokens that are not there": lambda t: t["post_processor"]["special_tokens"].clear(),
    "frame of a million tokens": lambda t: t["post_processor"]["special_tokens"]["[CLS]"].update(ids=[2] * 10**6, tokens=["[CLS]"] * 10**6),
    "added tokens without an end": lambda t: t["added_tokens"].extend({"id": 10**6 + n, "content": f"<{n}>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for n in range(20_000)),
    "added token of nothing": lambda t: t["added_tokens"].append({"id": 10**6, "content": "", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}),
    "a text that grows": lambda t: t.update(normalizer=_replacing(40)),
    "a pattern that never ends": lambda t: t.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(l|l|ll)*(l*)*(.*)*$x"}, "behavior": "Isolated", "invert": False}),
    "a pattern that is none": lambda t: t.update(pre_tokenizer={"type": "Split", "pattern": {"Regex": "(((("}, "behavior": "Isolated", "invert": False}),
    "nothing left of a text": lambda t: t.update(normalizer={"type": "Replace", "pattern": {"Regex": "."}, "content": ""}),
    "a precompiled map of nothing": lambda t: t.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
    "a precompiled map that lies": lambda t: t.update(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////////////w=="}),
    "BPE with merges of nothing": lambda t: t.update(model={"type": "BPE", "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4}, "merges": ["a b"], "unk_token": "[UNK]"}),
    "Unigram without pieces": lambda t: t.update(model={"type": "Unigram", "vocab": [], "unk_id": 0}),
    "Unigram with an unknown id beyond": lambda t: t.update(model={"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 10**6}),
    "decoder that is unknown": lambda t: t.update(decoder={"type": "Evil"}),
    "escapes": lambda t: t["model"]["vocab"].update({"\x1b[2J\u202e": 99}),
    "version of tomorrow": lambda t: t.update(version="9.0"),
}  # fmt: skip

GROUPS = {
    "weights": (
        weights,
        "pickles under every name, weight maps and links that lead out, pipes, devices, code beside the weights",
    ),
    "configs": (configs, "configs that ask for code or kernels, sizes without end, values of other types, broken JSON"),
    "safetensors": (safetensors, "weights whose list of tensors lies, and random changes of good ones"),
    "tokenizers": (tokenizers, "tokenizers that lie, grow or never end, and random changes of a good one"),
}
