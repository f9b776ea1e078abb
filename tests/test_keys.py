"""Keys: what changes them, what does not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.keys import Ref, Stage, canonical, differences, digest, identity_params, stage_from_json
from harness.specs import CompressorSpec, Params


class Old(Params):
    epochs: int = 3
    threads: int = 1


class New(Params):
    epochs: int = 3
    threads: int = 1
    warmup: float = 0.1


def spec(params):
    return CompressorSpec(
        name="x", summary="", version=1, factory="a:b", params=params, consumes=("torch",), produces="torch",
        execution_only=frozenset({"threads"}),
    )  # fmt: skip


def stage(**changes):
    base = {"kind": "train", "component": "harness/kd", "version": 1, "params": {"alpha": 0.5}, "seed": 1}
    return Stage(**{**base, "inputs": {"start": Ref("ab", "out")}, **changes})


def test_golden_key():
    assert stage().key == digest(stage().identity) == stage(label="other", options={"path": "/x"}).key
    assert canonical(stage().identity) == (
        '{"component":"harness/kd","data":{},"facets":{},"inputs":{"start":["ab","out"]},"kind":"train",'
        '"libraries":{},"params":{"alpha":0.5},"seed":1,"version":1}'
    )


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"seed": 2},
        {"component": "other/kd"},
        {"params": {"alpha": 0.6}},
        {"inputs": {"start": Ref("ab", "best")}},
        {"data": {"source": "f"}},
        {"libraries": {"torch": "9"}},
        {"facets": {"isa": "x"}},
    ],
)
def test_everything_that_a_result_depends_on_changes_the_key(change):
    assert stage(**change).key != stage().key


def test_a_new_param_at_its_default_keeps_old_keys():
    assert identity_params(spec(Old), Old(epochs=5)) == identity_params(spec(New), New(epochs=5))
    assert identity_params(spec(New), New(warmup=0.2)) == {"warmup": 0.2}


def test_execution_only_params_stay_out():
    assert identity_params(spec(Old), Old(threads=8)) == {}


def test_a_stage_survives_json():
    again = stage_from_json(json.loads(json.dumps(stage(label="l", exclusive=True).as_json())))
    assert again == stage(label="l", exclusive=True)
    assert again.key == stage().key


def test_nan_is_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"x": float("nan")})


def test_differences_name_the_field():
    assert differences(stage().identity, stage(params={"alpha": 0.6}, seed=2).identity) == [
        "params.alpha: 0.5 → 0.6",
        "seed: 1 → 2",
    ]


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=5))
def test_key_order_never_matters(value):
    assert digest(value) == digest(dict(reversed(list(value.items()))))
