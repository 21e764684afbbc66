import pytest

import perfkit as pk
from perfkit.runfile.record import RunRecord
from tests.run_files import request, write_run


def test_json_columns_are_decoded_and_the_others_are_as_stored():
    row = {
        "run_id": "1",
        "sent": 3,
        "tags": '{"n": 5}',
        "arguments": '{"seed": 1}',
        "remarks": '["a", "b"]',
        "plan": None,
    }
    record = RunRecord.of(row)
    assert dict(record) == row
    assert (record["sent"], record.tags, record.arguments, record.remarks) == (3, {"n": "5"}, {"seed": 1}, ("a", "b"))
    assert record.plan == record.host == record.basis == {}
    assert record.get("verdict") is None


@pytest.mark.parametrize("cell", ["", "{", "5", '"text"', "null", "[" * 100_000, 7, b"\x00"])
def test_what_is_no_json_counts_as_empty(cell):
    names = ("arguments", "tags", "host", "basis", "plan", "reasons", "remarks")
    record = RunRecord.of(dict.fromkeys(names, cell))
    assert [len(getattr(record, name)) for name in names] == [0] * len(names)


def test_a_run_file_with_damaged_settings_opens(tmp_path):
    path = write_run(tmp_path / "a.db", [request(0)], host="[1", basis="{", reasons="5", verdict="SUSPECT", plan="x")
    runs = pk.open(path)
    assert len(runs.requests) == 1
    assert "SUSPECT" in str(runs.verdicts["run"].level)
