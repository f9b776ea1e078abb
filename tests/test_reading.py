"""What the public names for reading files promise to every plugin, beyond what the tasks' own tests show."""

from __future__ import annotations

import pytest

from harness import TABLE_SUFFIXES, AssetError, Row, Source, Table, choose_files, read_table, read_utf8


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
