"""ONNX files made elsewhere: external data, operators of others, graphs that nest, grow or never end."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.faults.hostile_models import PLACES, mutated, pickled, sound
from benchmarks.faults.hostile_traps import EITHER, NATIVE, REFUSED, Ground, Trap, write

MODEL, DATA = "model.onnx", "weights.data"
FUZZED = 120
NESTED = 3000
CAST = helper.make_node("Cast", ["input_ids"], ["x"], to=TensorProto.FLOAT)
MEAN = helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1)
HEAD = helper.make_node("MatMul", ["m", "w"], ["logits"])


def graph(*nodes, weights=None, functions=(), opset=17) -> onnx.ModelProto:
    """A classifier of two classes around these nodes, which lead from `x` to `x`."""
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["b", "l"])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", 2])
    found = [numpy_helper.from_array(np.ones((1, 2), "f4"), "w") if weights is None else weights]
    body = helper.make_graph([CAST, *nodes, MEAN, HEAD], "g", [ids], [out], found)
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(body, opset_imports=imports, functions=list(functions), ir_version=9)


@cache
def plain() -> bytes:
    return graph().SerializeToString()


def planted(ground: Ground, content: bytes) -> None:
    ground.given.mkdir(parents=True, exist_ok=True)
    shutil.copy(sound() / "tokenizer.json", ground.given)
    write(ground.given / MODEL, content)


def _trap(name: str, plant: Callable[[Ground], object], may=(REFUSED,)) -> Trap:
    return Trap("onnx", name, "onnx-file", plant, may)


# ------------------------------------------------------------------------------------------------------ external data


def external(*entries: tuple[str, str]) -> onnx.TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 2], data_location=TensorProto.EXTERNAL)
    for key, value in entries:
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


def _outside(ground: Ground, *entries: tuple[str, str], data: bytes | None = b"\0" * 8) -> None:
    planted(ground, graph(weights=external(*entries)).SerializeToString())
    write(ground.outside / DATA, b"\0" * 8)
    if data is not None:
        write(ground.given / DATA, data)


def onnx_external() -> Iterator[Trap]:
    yield _trap("beside the model", lambda g: _outside(g, ("location", DATA)), EITHER)
    locations = (
        f"../../outside/{DATA}", f"../outside/{DATA}", "/etc/hostname", "..", ".", "", f"sub/{DATA}", f"./{DATA}",
        f"..\\..\\outside\\{DATA}", f"{DATA}\0", "file:///etc/hostname", "https://127.0.0.1:9/w", "*/_ORT_MEM_ADDR_/*",
        f"%2e%2e/{DATA}", "C:\\w", "\\\\host\\w", "~/w", "$HOME/w", "\x1b[2J", "\u202ew", "x" * 5000, MODEL,
    )  # fmt: skip
    for where in locations:
        yield _trap(f"at {where[:40]!r}", lambda g, w=where: _outside(g, ("location", w)))
    yield _trap("absolute, at another's file", lambda g: _outside(g, ("location", str(g.outside / DATA))))
    for kind, make in PLACES.items():
        yield _trap(f"in {kind}", lambda g, m=make: (_outside(g, ("location", DATA), data=None), m(g, g.given / DATA)))
    yield _trap("behind a folder that is a link", _linked_folder)
    numbers = ("-1", "-8", str(2**63), str(2**64), "9" * 400, "1e3", "0x8", " 8", "", "nan", "٨", "8\0")
    for key in ("offset", "length"):
        for number in numbers:
            yield _trap(f"{key} {number[:10]!r}", lambda g, k=key, n=number: _outside(g, ("location", DATA), (k, n)))
    twice = (("location", DATA), ("location", f"../../outside/{DATA}"))
    for name, entries in {
        "two locations": twice, "two locations, turned": twice[::-1], "no location": (("offset", "0"),),
        "no entries": (), "two lengths": (("location", DATA), ("length", "8"), ("length", "800000")),
    }.items():  # fmt: skip
        yield _trap(name, lambda g, e=entries: _outside(g, *e))
    for name, key in {"a key of Python's": "__class__", "a path": "basepath", "a checksum": "checksum"}.items():
        yield _trap(name, lambda g, k=key: _outside(g, ("location", DATA), (k, "../../outside")), EITHER)
    yield _trap("too short", lambda g: _outside(g, ("location", DATA), data=b"\0" * 3))
    yield _trap("nothing in it", lambda g: _outside(g, ("location", DATA), data=b""))
    tensor = external(("location", f"../../outside/{DATA}"))
    for name, model in {
        "in an attribute": graph(helper.make_node("Constant", [], ["k"], value=tensor)),
        "in a list of an attribute": graph(_listed(tensor)),
        "in a sparse weight": _sparse(tensor),
        "in a branch": graph(*_branched(helper.make_node("Constant", [], ["k"], value=tensor))),
        "in a function": graph(functions=[_function("F", helper.make_node("Constant", [], ["k"], value=tensor))]),
        "in the part for training": _training(tensor),
    }.items():
        yield _trap(name, lambda g, m=model: (planted(g, m.SerializeToString()), write(g.outside / DATA, b"\0" * 8)))


def _linked_folder(ground: Ground) -> None:
    _outside(ground, ("location", f"sub/{DATA}"))
    (ground.given / "sub").symlink_to(ground.outside)


def _listed(tensor):
    node = helper.make_node("Identity", ["x"], ["k"])
    node.attribute.append(onnx.AttributeProto(name="a", type=onnx.AttributeProto.TENSORS, tensors=[tensor]))
    return node


def _sparse(tensor):
    model = graph()
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=tensor, dims=[4]))
    return model


def _training(tensor):
    model = graph()
    model.training_info.add().initialization.initializer.append(tensor)
    return model


# ------------------------------------------------------------------------------------------------------------- graphs


def _function(name, *nodes, domain="ai.onnx.ml"):
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    return helper.make_function(domain, name, ["x"], ["k"], list(nodes), opsets)


def _branched(*nodes):
    body = helper.make_graph(list(nodes), "b", [], [helper.make_tensor_value_info("k", TensorProto.FLOAT, None)])
    true = helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array(True), "c"))
    return true, helper.make_node("If", ["c"], ["d"], then_branch=body, else_branch=body)


def _chained(count: int) -> onnx.ModelProto:
    domain = "ai.onnx.ml"
    last = _function(f"F{count}", helper.make_node("Identity", ["x"], ["k"]))
    calls = (_function(f"F{n}", helper.make_node(f"F{n + 1}", ["x"], ["k"], domain=domain)) for n in range(count))
    model = graph(helper.make_node("F0", ["x"], ["k"], domain=domain), functions=[*calls, last])
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def _doubling(depth: int) -> onnx.ModelProto:
    """Each function calls the next one twice: inlined, 2^depth operators."""
    domain = "ai.onnx.ml"
    last = _function(f"F{depth}", helper.make_node("Identity", ["x"], ["k"]))
    calls = [
        _function(
            f"F{n}",
            helper.make_node(f"F{n + 1}", ["x"], ["y"], domain=domain),
            helper.make_node(f"F{n + 1}", ["y"], ["k"], domain=domain),
        )
        for n in range(depth)
    ]
    model = graph(helper.make_node("F0", ["x"], ["k"], domain=domain), functions=[*calls, last])
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def _deep(levels: int) -> onnx.ModelProto:
    out = [helper.make_tensor_value_info("k", TensorProto.FLOAT, None)]
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["k"])], "b", [], out)
    flat = body
    for _ in range(levels):
        body = helper.make_graph(
            [helper.make_node("If", ["c"], ["k"], then_branch=body, else_branch=flat)], "b", [], out
        )
    nested = helper.make_node("If", ["c"], ["e"], then_branch=body, else_branch=flat)
    return graph(*_branched(helper.make_node("Identity", ["x"], ["k"])), nested)


def _constant(name, value):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value), name))


def _endless() -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w2"])],
        "b",
        [helper.make_tensor_value_info(n, t, []) for n, t in (("i", TensorProto.INT64), ("go", TensorProto.BOOL))]
        + [helper.make_tensor_value_info("v", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("w2", TensorProto.FLOAT, None)],
    )  # fmt: skip
    return graph(
        _constant("n", 2**62), _constant("c", True), helper.make_node("Loop", ["n", "c", "x"], ["e"], body=body)
    )


def _grown(*size: int) -> onnx.ModelProto:
    return graph(_constant("s", np.array(size)), helper.make_node("ConstantOfShape", ["s"], ["big"]))


def _shaped(*dims: int) -> onnx.ModelProto:
    return graph(weights=TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 8))


def _without(field: str) -> onnx.ModelProto:
    model = graph()
    model.graph.ClearField(field)
    return model


def _typed(kind: int) -> onnx.ModelProto:
    model = graph()
    model.graph.initializer[0].data_type = kind
    return model


def _cycle() -> onnx.ModelProto:
    return graph(helper.make_node("Identity", ["p"], ["q"]), helper.make_node("Identity", ["q"], ["p"]))


def onnx_graphs() -> Iterator[Trap]:
    for domain in (
        "evil",
        "ai.onnx.contrib",
        "com.microsoft.extensions",
        "ai.onnxx",
        "AI.ONNX",
        "pkg.onnxscript",
        "\x1b[2J",
        "x" * 10_000,
    ):
        node = helper.make_node("PyOp", ["x"], ["k"], domain=domain)
        yield _trap(f"operators of {domain[:30]!r}", lambda g, n=node: planted(g, graph(n).SerializeToString()))
        yield _trap(
            f"functions of {domain[:30]!r}",
            lambda g, d=domain: planted(
                g,
                graph(
                    functions=[_function("F", helper.make_node("Identity", ["x"], ["k"]), domain=d)]
                ).SerializeToString(),
            ),
        )
    yield _trap(
        "an operator of Python code",
        lambda g: planted(
            g,
            graph(
                helper.make_node("PyOp", ["x"], ["k"], domain="com.microsoft", module="os", class_name="system")
            ).SerializeToString(),
        ),
    )
    made: dict[str, Callable[[], onnx.ModelProto]] = {
        f"{NESTED} functions, each inside another": lambda: _chained(NESTED),
        "functions that double 40 times": lambda: _doubling(40),
        "a function that calls itself": _recursive,
        "branches 12 deep": lambda: _deep(12),
        "branches 25 deep": lambda: _deep(25),
        "a loop of 2^62 steps": _endless,
        "a tensor of 10^12 numbers": lambda: _grown(10**6, 10**6),
        "a tensor of 2^64 numbers": lambda: _grown(2**32, 2**32),
        "a tensor of -1 numbers": lambda: _grown(-1),
        "a weight of shape 2^62": lambda: _shaped(2**62),
        "a weight of negative shape": lambda: _shaped(-1, 2),
        "a weight of 10,000 dimensions": lambda: _shaped(*[1] * 10_000),
        "a weight of text": lambda: _typed(TensorProto.STRING),
        "a weight of no known type": lambda: _typed(999),
        "no input": lambda: _without("input"),
        "no output": lambda: _without("output"),
        "no weights": lambda: _without("initializer"),
        "operators in a circle": _cycle,
        "an operator set of tomorrow": lambda: graph(opset=10**6),
        "an operator set of minus one": lambda: graph(opset=-1),
        "100,000 operators": lambda: graph(*[helper.make_node("Identity", ["x"], [f"i{n}"]) for n in range(100_000)]),
    }  # fmt: skip
    for name, make in made.items():
        yield _trap(name, lambda g, m=make: planted(g, m().SerializeToString()), NATIVE)
    files: dict[str, Callable[[Ground], bytes]] = {
        "empty": lambda g: b"", "pickle": pickled, "zip": lambda g: b"PK\x03\x04" * 100, "a web page": lambda g: b"<!DOCTYPE html>",
        "100 MiB of zeros": lambda g: bytes(100 << 20), "50 MiB of nothing to say": lambda g: b"\x08\x00" * (25 << 20),
        "10 million empty operators": lambda g: _prefixed(b"\x0a\x00" * 10_000_000), "groups": lambda g: b"\x0b" * 1000,
        "a length of 2^63": lambda g: b"\x3a" + b"\xff" * 9 + b"\x01", "numbers without end": lambda g: b"\xff" * 1000,
        "messages 10,000 deep": lambda g: _nested(10_000),
        "cut in half": lambda g: plain()[: len(plain()) // 2], "twice": lambda g: plain() * 2,
    }  # fmt: skip
    for name, make in files.items():
        may = EITHER if name == "twice" else (REFUSED,)
        yield _trap(name, lambda g, m=make: planted(g, m(g)), may)
    for kind, make in PLACES.items():
        yield _trap(
            f"{kind} as the model",
            lambda g, m=make: (planted(g, b""), (g.given / MODEL).unlink(), m(g, g.given / MODEL)),
        )
        yield _trap(
            f"{kind} as its tokenizer",
            lambda g, m=make: (
                planted(g, plain()),
                (g.given / "tokenizer.json").unlink(),
                m(g, g.given / "tokenizer.json"),
            ),
        )
        yield _trap(
            f"{kind} as its config", lambda g, m=make: (planted(g, plain()), m(g, g.given / "config.json")), EITHER
        )
    for name, text in {
        "deep": "[" * 100_000,
        "labels that are numbers": '{"id2label": 7}',
        "a million labels": json.dumps({"id2label": dict.fromkeys(range(10**6), "x")}),
    }.items():
        yield _trap(
            f"config: {name}", lambda g, t=text: (planted(g, plain()), write(g.given / "config.json", t)), EITHER
        )
    yield _trap(
        "a library beside it",
        lambda g: (
            planted(g, plain()),
            write(g.given / "libcustom_ops.so", pickle.dumps(1)),
            (g.given / "libcustom_ops.so").chmod(0o755),
        ),
        EITHER,
    )
    yield Trap(
        "onnx",
        "named without a folder",
        "onnx-file here",
        lambda g: (_outside(g, ("location", f"../../outside/{DATA}")), g.given / MODEL)[1],
        names=(MODEL,),
    )


def _recursive() -> onnx.ModelProto:
    model = graph(
        helper.make_node("F", ["x"], ["k"], domain="ai.onnx.ml"),
        functions=[_function("F", helper.make_node("F", ["x"], ["k"], domain="ai.onnx.ml"))],
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    return model


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _prefixed(content: bytes) -> bytes:
    return b"\x3a" + _varint(len(content)) + content


def _nested(depth: int) -> bytes:
    """Graph in attribute in node in graph …"""
    content = b""
    for at in range(depth):
        content = (b"\x0a", b"\x2a", b"\x32")[at % 3] + _varint(len(content)) + content
    return _prefixed(content)


def onnx_bytes() -> Iterator[Trap]:
    for seed in range(FUZZED):
        yield _trap(f"mutation {seed}", lambda g, s=seed: planted(g, mutated(plain(), s)), NATIVE)


GROUPS = {
    "external": (onnx_external, "ONNX files whose external data lie elsewhere, behind links, or nowhere"),
    "onnx": (
        onnx_graphs,
        "ONNX files with operators of others, nested functions and branches, loops and tensors without end",
    ),
    "onnx-bytes": (onnx_bytes, "random changes of a good ONNX file"),
}
