import random
from pathlib import Path

import pytest

from perfkit.runfile.pending import PARTS, Record, packed, records, segment, segments, share_of

RECORDS = [
    Record({"seq": seq, "text": "ä" * seq}, [bytes([at]) * (seq + at) for at in range(PARTS)]) for seq in range(4)
]


def bytes_of(record: Record, generation: int) -> bytes:
    return b"".join(packed(record, generation))


WHOLE = b"".join(bytes_of(record, 7) for record in RECORDS)


def read(path: Path, content: bytes) -> list[int]:
    path.write_bytes(content)
    return [int(str(record.told["seq"])) for record in records(path)]


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(WHOLE)
    assert list(records(tmp_path / "s")) == RECORDS


@pytest.mark.parametrize("cut", [1, 20, len(bytes_of(RECORDS[3], 7)) - 1])
def test_a_record_that_was_torn_by_a_kill_is_left_out(tmp_path: Path, cut: int) -> None:
    assert read(tmp_path / "s", WHOLE[:-cut]) == [0, 1, 2]


def test_what_a_segment_held_before_it_was_written_again_is_left_out(tmp_path: Path) -> None:
    again = bytes_of(RECORDS[0], 8) + bytes_of(RECORDS[1], 8)
    assert read(tmp_path / "s", again + WHOLE[len(again) :]) == [0, 1]


def test_changed_bytes_give_nothing_that_was_not_written(tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(300):
        content = bytearray(WHOLE)
        for _ in range(rng.randrange(1, 4)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "s").write_bytes(content)
        assert all(record in RECORDS for record in records(tmp_path / "s"))


@pytest.mark.parametrize("length", [2**31, 2**32 - 1])
def test_a_record_that_says_to_be_longer_than_its_file_is_not_believed(tmp_path: Path, length: int) -> None:
    head = bytearray(WHOLE)
    head[12:16] = length.to_bytes(4, "little")
    assert read(tmp_path / "s", bytes(head)) == []


def test_segments_are_those_of_one_file(tmp_path: Path) -> None:
    own = [segment(tmp_path / "a.db", "01R", worker, index) for worker in (0, 1) for index in (0, 1)]
    for path in (*own, segment(tmp_path / "a.db2", "01R", 0, 0), tmp_path / "a.db", tmp_path / "a.db-wal"):
        path.touch()
    assert segments(tmp_path / "a.db") == own
    assert [share_of(path) for path in own] == [("01R", 0), ("01R", 0), ("01R", 1), ("01R", 1)]
