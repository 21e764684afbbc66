import json
import random
from pathlib import Path

import pytest

from perfkit.errors import UsageError
from perfkit.loadgen.datasets import files
from perfkit.loadgen.datasets.files import arrow_rows, items_of, lines_of, objects_of, rows_of

ROWS = [{"prompt": f"é{number}", "n": number} for number in range(5)]


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\n")
    assert [line.strip() for line in lines_of(tmp_path / "a.txt")] == ["a", "b"]


def test_what_is_not_utf8_is_told_near_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\n\xff\xfe\n")
    with pytest.raises(UsageError, match=r"a\.txt is not UTF-8 in line \d or soon after"):
        list(lines_of(tmp_path / "a.txt"))


def test_the_one_broken_line_of_many_is_named_after_the_good_ones(tmp_path: Path) -> None:
    file = tmp_path / "many.jsonl"
    file.write_text('{"prompt": "a"}\n' * 999 + '{"prompt": \n' + '{"prompt": "b"}\n')
    read = objects_of(file)
    assert sum(1 for _ in zip(range(999), read, strict=False)) == 999
    with pytest.raises(UsageError, match=r"many\.jsonl:1000 is not JSON"):
        next(read)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 1 << 20])
def test_an_array_is_read_whatever_the_pieces_it_comes_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    values = [{"a": [1, {"b": "]}, {"}]}, 12345, "x, y", None, 1.5, [], "\\"] * 3
    (tmp_path / "list.json").write_text(json.dumps(values, indent=random.Random(piece).choice([None, 1])))
    monkeypatch.setattr(files, "_PIECE", piece)
    assert list(items_of(tmp_path / "list.json")) == values


def test_an_array_that_breaks_off_is_told_with_its_item(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('[{"a": 1}, {"a": ')
    read = items_of(tmp_path / "list.json")
    assert next(read) == {"a": 1}
    with pytest.raises(UsageError, match="item 2 of the array is not JSON"):
        next(read)


def test_a_json_file_that_is_no_array_is_read_by_lines(tmp_path: Path) -> None:
    (tmp_path / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert list(items_of(tmp_path / "lines.json")) == [{"a": 1}, {"a": 2}]


def test_a_table_keeps_quotes_and_line_breaks_inside_its_cells(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('prompt,n\n"two\nlines, ""quoted""",1\n')
    assert list(rows_of(tmp_path / "a.csv")) == [{"prompt": 'two\nlines, "quoted"', "n": "1"}]


def test_parquet_and_arrow_files_give_the_rows_that_were_written(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_pylist(ROWS)
    parquet.write_table(table, tmp_path / "a.parquet")
    with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert list(arrow_rows(tmp_path / "a.parquet")) == list(arrow_rows(tmp_path / "a.arrow")) == ROWS


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_text("no")
    with pytest.raises(UsageError, match="cannot read"):
        list(arrow_rows(tmp_path / "a.parquet"))
