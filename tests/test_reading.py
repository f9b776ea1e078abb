"""What the public names for reading files promise to every plugin, beyond what the tasks' own tests show."""

from __future__ import annotations

import json

import pytest

from harness import TABLE_SUFFIXES, AssetError, Row, Source, Table, choose_files, read_table, read_utf8, reading


def test_rows_say_where_they_stand(tmp_path):
    path = tmp_path / "facts.csv"
    path.write_text('id;text\n1;"two\nlines"\n2;plain\n', encoding="utf-8")
    table = read_table(path, None)
    assert table == Table(
        path,
        ("id", "text"),
        (
            Row(f"{path}:2", 2, {"id": "1", "text": "two\nlines"}),
            Row(f"{path}:4", 4, {"id": "2", "text": "plain"}),
        ),
    )


def test_every_suffix_is_readable(tmp_path):
    for suffix in TABLE_SUFFIXES:
        path = tmp_path / f"empty{suffix}"
        path.touch()
        with pytest.raises(AssetError, match=r"holds no examples|not a readable Parquet file"):
            read_table(path, None)


def test_which_files_are_looked_at_is_the_callers_choice(tmp_path):
    source = Source("a test", tmp_path, ("README.md", "a.csv", "b.json"))
    assert choose_files(source, None, {".json"}, transfer=False) == {"b.json": None}
    assert choose_files(source, None, {".csv", ".json"}, transfer=True) == {"a.csv": None, "b.json": None}
    with pytest.raises(AssetError, match=r"which one is the data\?"):
        choose_files(source, None, {".csv", ".json"}, transfer=False)
    with pytest.raises(AssetError, match=r"no readable file among .*Readable: \.xml"):
        choose_files(source, None, {".xml"}, transfer=False)


def test_a_byte_order_mark_of_the_file_is_no_part_of_its_text(tmp_path):
    path = tmp_path / "bom.txt"
    path.write_bytes("\ufeffпервый \ufeff".encode())
    assert read_utf8(path) == "первый \ufeff"


def test_a_parquet_file_is_read_as_it_stands_and_not_as_its_metadata_say(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    elsewhere = {"bytes": None, "path": "http://127.0.0.1:9/x.png"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"picture": {"_type": "Image"}}}})}
    table = pa.table({"text": ["a"], "picture": pa.array([elsewhere])}).replace_schema_metadata(metadata)
    parquet.write_table(table, tmp_path / "a.parquet")
    (row,) = read_table(tmp_path / "a.parquet", None).rows
    assert row.cells == {"text": "a", "picture": elsewhere}


def test_a_parquet_file_that_unpacks_to_gigabytes_is_refused(tmp_path):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 4096, pa.int32()), pa.array(["x" * (1 << 20)]))
    parquet.write_table(pa.table({"text": text}), tmp_path / "a.parquet", compression="zstd")
    with pytest.raises(AssetError, match=r"a\.parquet: row \d+: the file unpacks to more than 200 times its size"):
        read_table(tmp_path / "a.parquet", None)


@pytest.mark.parametrize(("name", "begin"), [("a.jsonl", b'{"text": "'), ("a.txt", b""), ("a.csv", b'text\n"')])
def test_a_line_that_does_not_end_is_not_read_to_its_end(tmp_path, monkeypatch, name, begin):
    monkeypatch.setattr(reading, "LONGEST", 1 << 10)
    (tmp_path / name).write_bytes(begin + b"x" * (1 << 12))
    with pytest.raises(AssetError, match=rf"{name}:\d: (the line is longer|broken quoting \(field larger)"):
        read_table(tmp_path / name, None)
