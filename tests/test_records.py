"""What a record is: committed ones are sound, and whatever is not gets its place and a sentence that says what to do."""

from __future__ import annotations

import json
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import record_helpers as helpers
from click.testing import CliRunner

from harness.cli import cli, main_inner
from harness.errors import HarnessError, SuiteError
from harness.records import RecordError, check, packed, read_records, reading, scan
from harness.records.describing import fields
from harness.records.schema import KINDS, json_schema

ROOT = Path(__file__).parents[1]
RECORDS = sorted((ROOT / "reports").glob("*.records.jsonl"))
UNITS = {"_ms": "ms", "_mib": "MiB", "_gib": "GiB", "_mhz": "MHz", "_s": " s", "seconds": " s", "joules": "J"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.records.jsonl"


def refusal(path):
    with pytest.raises(HarnessError) as found:
        read_records(path)
    return str(found.value)


def changed(place, value, number=-1):
    """A record with one value of one line replaced; ... deletes it."""
    found = helpers.documents()
    *outer, last = place
    parent = helpers.at(found[number], tuple(outer))
    if value is ...:
        del parent[last]
    else:
        parent[last] = value
    return found


# ---------------------------------------------------------------------------------------------------------------- sound


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_committed_records_are_as_the_schema_says(record):
    found = check(record)
    assert found.faults == ()
    assert found.lines["run"] == 1
    assert sum(found.lines.values()) == len(record.read_bytes().splitlines())


def test_lines_come_one_by_one_with_their_numbers(path):
    documents = helpers.documents()
    lines = list(scan(helpers.write(path, documents)))
    assert [line.number for line in lines] == list(range(1, len(documents) + 1))
    assert [line.kind for line in lines] == [document["kind"] for document in documents]
    assert [line.document for line in lines] == documents


def test_what_is_scanned_is_not_kept(path):
    run, *rest = helpers.documents()
    cell = rest[-1]
    cell["quality"]["samples"] = [[0, 1, 0.123456789]] * 2000
    cell["quality"].pop("confidence", None)  # of other than so many examples
    peaks = []
    for count in (5, 50):
        cells = [{**cell, "cell": f"c{n}", "axes": {**cell["axes"], "seed": n}} for n in range(count)]
        helpers.write(path, [run, *cells])
        tracemalloc.start()
        assert sum(1 for _ in scan(path)) == count + 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.mark.parametrize("place", [(), ("suite",), ("task", "metrics", 0), ("machine", "identity"), ("report",)])
def test_unknown_fields_are_let_through_and_kept(place, path):
    found = helpers.documents()
    helpers.at(found[0], place)["of_a_later_version"] = {"anything": [1, None]}
    assert read_records(helpers.write(path, found)).run == found[0]


# -------------------------------------------------------------------------------------------------------------- refused

BROKEN = {
    "empty file": (b"", "it is empty"),
    "nothing of ours": (b"hello\n", "not JSON"),
    "a list": (b"[]\n", "a list, expected an object"),
    "blank line": (b"\n", "not JSON"),
    "compressed": (b"\x1f\x8b\x08\n", "not UTF-8"),
    "nested": (b"[" * 100_000 + b"\n", "nested too deeply"),
    "nested less": (b'{"a":' * 40 + b"1" + b"}" * 40 + b"\n", "nested too deeply"),
    "not a number": (b'{"a":NaN}\n', "NaN is no number of JSON"),
    "infinite": (b'{"a":1e999}\n', "a number beyond"),
    "huge": (b'{"a":' + b"1" * 400 + b"}\n", "a number beyond"),
    "too many digits": (b'{"a":' + b"1" * 5000 + b"}\n", "not JSON"),
    "twice": (b'{"a":1,"b":{"c":1,"c":2}}\n', "the field 'c' stands twice"),
    "half a character": (b'{"a":"\\ud800"}\n', "lone surrogate"),
    "half a character in a name": (b'{"\\udc00":1}\n', "lone surrogate"),
    "newer": (b'{"schema":3,"kind":"run"}\n', r"written by a newer harness \(schema 3, this one reads 1\); upgrade harness"),
    "newer, and by whom": (b'{"schema":2,"versions":{"harness":"9.0"}}\n', r"newer harness \(schema 2, by harness '9.0',"),
    "older": (b'{"schema":0}\n', r"written by an older harness \(schema 0, .*\); run the suite again"),
    "no version": (b"{}\n", "schema is None, expected 1"),
    "true is no version": (b'{"schema":true}\n', "schema is true, expected 1"),
    "unknown kind": (b'{"schema":1,"kind":"rows"}\n', "kind is 'rows', expected one of run, measurement, cell"),
}  # fmt: skip


@pytest.mark.parametrize(("raw", "said"), BROKEN.values(), ids=BROKEN)
def test_lines_that_are_no_record_are_refused(raw, said, path):
    path.write_bytes(raw)
    text = refusal(path)
    assert re.search(said, text)
    assert text.startswith(f"{path}:")
    assert re.search("Run the suite again|run the suite again|upgrade harness", text)
    assert check(path).faults == (text,)


def test_a_file_that_was_cut_off_says_so(path):
    whole = helpers.write(path, helpers.documents()).read_bytes()
    path.write_bytes(whole[:-40])
    number = whole.count(b"\n")
    assert f"{path}:{number}: not JSON: the file ends inside this line, it was not copied whole" in refusal(path)


def test_a_line_is_not_read_beyond_its_greatest_length(path, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST", 1 << 20)
    path.write_bytes(b'{"a":"' + b"x" * (2 << 20))
    assert "longer than 1 MiB" in refusal(path)


def test_a_file_that_is_not_there_is_said_to_be_missing(path):
    with pytest.raises(SuiteError, match="no record to report from"):
        read_records(path)


FIELDS = {
    "missing": (("axes",), ..., -1, "cell: axes: required key is missing"),
    "wrong type": (("train", 0, "epochs", 0, "loss"), "low", -1, r"train\[0\]\.epochs\[0\]\.loss: .*number.*'low'"),
    "text for a number": (("seconds",), "12", 0, r"run: seconds: expected a number, got '12' \(string\)"),
    "true for a number": (("seconds",), True, 0, r"seconds: expected a number, got true"),
    "negative": (("anchor", "workloads", "single", "request_ms", 0), -1.0, 1, r"request_ms\[0\]: expected at least"),
    "not counted": (("train", 0, "epochs", 0, "steps"), 0, -1, r"steps: expected at least 1, got 0"),
    "status": (("status",), "okay", -1, "status: expected 'ok', 'failed', 'skipped' or 'not run', got 'okay'"),
    "control characters in a name": (("axes", "model"), "a\x1b[31m", -1, r"axes\.model"),
    "reversed text in a name": (("student",), "a\u202eb", -1, "student"),
    "a path as a name": (("suite", "name"), "../../etc/x", 0, r"suite\.name"),
    "a path as a key": (("measure",), "../x", -1, "measure"),
    "no metric": (("task", "metrics"), [], 0, r"task\.metrics: expected at least 1 item"),
    "selected by nothing": (("select",), {"axis": "beta", "metric": "x"}, 0, "'x' .*which is no metric of the task"),
    "ragged samples": (("quality", "samples"), [[1, 2], [1]], -1, "rows of 1 to 2 figures"),
    "flat samples": (("quality", "samples"), [1, 2], -1, "neither rows of figures nor packed"),
    "words as samples": (("quality", "samples"), [["a"]], -1, "something that is not a number"),
    "huge samples": (("quality", "samples"), [[10**400]], -1, "a figure beyond 1e\\+15"),
    "packed nothing": (("quality", "samples"), packed(np.array([[np.nan]])), -1, "no finite number"),
    "other examples": (("quality", "samples"), [[0, 0]], -1, r"quality\.samples: \(1, 2\) of the examples"),
    "other axes": (("axes", "beta"), 0.1, -1, "its axes are beta, compress, model, seed, those of cells before"),
    "no seed": (("axes", "seed"), None, -1, "its axes have no seed"),
    "no such subject": (("subject",), "row.x", -1, "'row.x' is not in its measurement"),
    "twin of other length": (("twin", "workloads", "single", "forward_ms"), [1.0], 1, "request times; expected one"),
    "failed anchor": (("anchor",), {"status": "failed", "label": "a", "reason": "b"}, 1, "its anchor failed"),
    "no speed": (("measure", "speed"), None, 0, "the run says that it was not"),
    "a stage without a number": (("stages",), {"train.x": "k"}, -1, "stages"),
    "confusion of others": (("quality", "details", "confusion"), [[1]], -1, "its confusion matrix is not 3 × 3"),
}  # fmt: skip


@pytest.mark.parametrize(("place", "value", "number", "said"), FIELDS.values(), ids=FIELDS)
def test_fields_that_are_not_as_the_schema_says_are_refused(place, value, number, said, path):
    text = refusal(helpers.write(path, changed(place, value, number)))
    assert re.search(said, text)
    assert text.isprintable() or "\n  " in text
    assert "Run the suite again to write a new one, or get the file again" in text


def test_lines_out_of_order_are_refused(path):
    run, measurement, *_, cell = helpers.documents()
    for found in ([cell], [run, run], [run, cell, measurement], [measurement, run]):
        assert "out of order: expected one run, then measurements, then cells" in refusal(helpers.write(path, found))
    assert "stands here twice" in refusal(helpers.write(path, [run, measurement, measurement]))
    assert "stands here twice" in refusal(helpers.write(path, [run, cell, cell]))
    assert "stands here twice" in refusal(helpers.write(path, [run, cell, {**cell, "cell": "another name"}]))


def test_several_faults_of_a_line_are_listed_together(path):
    found = helpers.documents()
    found[0] |= {"seconds": "1", "mode": "fast", "plugins": "none"}
    text = refusal(helpers.write(path, found))
    assert f"{path}:1: run: 3 fields are not as the schema says" in text
    named = [line.strip().partition(":")[0] for line in text.splitlines()[1:]]
    assert sorted(named) == ["mode", "plugins", "seconds"]


def test_a_check_goes_on_after_a_bad_line(path):
    found = helpers.documents()
    found[-1]["status"], found[-2]["cell"] = "okay", 3
    checked = check(helpers.write(path, found))
    assert [fault.split(": ")[0] for fault in checked.faults] == [f"{path}:{len(found) - 1}", f"{path}:{len(found)}"]
    assert checked.lines["run"] == 1
    assert sum(checked.lines.values()) == len(found) - 2


def test_errors_of_hostile_records_cannot_drive_a_terminal(path):
    text = refusal(helpers.write(path, changed(("status",), "\x1b[2J", -1)))
    assert "\x1b" not in text


# ------------------------------------------------------------------------------------------------------ schema and docs


def parts(schema):
    return [schema, *schema.get("$defs", {}).values()]


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_the_schema_describes_every_field_with_its_unit(kind):
    schema = json_schema(kind)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    described = [(name, about) for part in parts(schema) for name, about in part.get("properties", {}).items()]
    assert len(described) > 20
    for name, about in described:
        assert about["description"].endswith("."), name
        unit = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
        assert unit in f" {about['description']}", name


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_the_schema_refers_to_nothing_that_it_does_not_hold(kind):
    schema = json_schema(kind)
    wanted = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(schema)))
    assert wanted <= set(schema["$defs"])
    assert kind is not None or {"Run", "Measurement", "Cell"} <= wanted


def test_the_page_about_records_shows_the_fields():
    page = (ROOT / "docs/records.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- harness schema --fields -->\n")[2].partition("<!-- /harness schema --fields -->")[0]
    assert shown.strip() == fields().strip(), "put there what `harness schema --fields` prints"


def test_the_pages_example_runs(monkeypatch, capsys):
    page = (ROOT / "docs/records.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(ROOT)
    exec(compile(example, "docs/records.md", "exec"), {})  # noqa: S102 - our own page
    assert capsys.readouterr().out.startswith("model=teacher,compress=none,seed=")


# -------------------------------------------------------------------------------------------------------------- command


def call(*arguments):
    return CliRunner().invoke(cli, ["schema", *map(str, arguments)])


def test_the_command_prints_the_schema_as_json():
    assert json.loads(call("cell").stdout)["$id"] == "urn:harness:record:1:cell"
    assert len(json.loads(call().stdout)["oneOf"]) == len(KINDS)
    assert call("run", "--fields").stdout.startswith("### Run\n")


def test_the_command_checks_files_and_names_what_is_wrong(path, capsys):
    good = helpers.write(path, helpers.documents())
    bad = helpers.write(path.with_name("b.records.jsonl"), changed(("status",), "okay"))
    assert main_inner(["schema", "--check", str(good)]) == 0
    assert f"{good}: ok: 1 run, " in capsys.readouterr().out
    assert main_inner(["schema", "--check", str(good), str(bad), str(path.with_name("c"))]) == 1
    said = capsys.readouterr()
    assert [line.partition(": ")[0] for line in said.out.splitlines()] == [
        str(good),
        f"{bad}:{len(helpers.documents())}",
        str(path.with_name("c")),
    ]
    assert "3 records, 2 bad" in said.err


@pytest.mark.parametrize("arguments", [["cel"], ["run", "cell"], ["--check"]])
def test_the_command_says_what_it_knows(arguments, capsys):
    assert main_inner(["schema", *arguments]) == 2
    assert re.search("Known: 'cell', 'measurement', 'run'|name the files to check", capsys.readouterr().err)


def test_a_broken_record_is_an_error_of_the_file():
    assert issubclass(RecordError, HarnessError)
    assert RecordError.exit_code == 2
