"""What the loop writes beside the run file, and when it writes over it."""

from pathlib import Path

import pytest

from perfkit.decoding.exchange import Exchange
from perfkit.loadgen.recorder import journal
from perfkit.loadgen.recorder.journal import Journal
from perfkit.loadgen.recorder.requests import Ready
from perfkit.runfile.pending import records, segments
from perfkit.secrets import Scrubber

KEY = "sk-0123456789"


def ready(seq: int, **more: object) -> Ready:
    return Ready(
        seq,
        seq,
        seq,
        b'POST / HTTP/1.1\r\nKey: a\r\n\r\n{"n": 1}',
        None,
        None,
        None,
        None,
        more=False,
        cancel_after=None,
    )._replace(**more)


def exchange(answer: bytes = b"data: {}\n\n") -> Exchange:
    made = Exchange(start=1, end=9, status=200, response_headers=[(b"Server", b"x")])
    made.wire, made.stamps, made.ends = bytearray(answer), [5], [len(answer)]
    return made


def opened(folder: Path, *keys: str) -> Journal:
    return Journal(folder / "run.db", "01R", 0, 0, Scrubber(keys))


def told(folder: Path) -> list[list[int]]:
    return [[int(str(record.told["seq"])) for record in records(path)] for path in segments(folder / "run.db")]


def test_what_is_not_committed_is_never_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT", 600)  # two or three answers
    kept = opened(tmp_path)
    for seq in range(200):
        kept.append(ready(seq), "steady", 0, exchange().packed())
        if seq % 7 == 6:
            kept.stored(seq - 3)
        there = {seq for some in told(tmp_path) for seq in some}
        assert set(range(max(0, seq // 7 * 7 - 3), seq + 1)) <= there
    assert max(path.stat().st_size for path in segments(tmp_path / "run.db")) < 600 * 20
    kept.close()
    assert segments(tmp_path / "run.db") == []


def test_without_a_word_of_the_recorder_everything_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT", 600)
    kept = opened(tmp_path)
    for seq in range(50):
        kept.append(ready(seq), "steady", 0, exchange().packed())
    kept.leave()
    assert sorted(seq for some in told(tmp_path) for seq in some) == list(range(50))


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append(ready(0), "steady", 0, exchange().packed())
    (path,) = segments(tmp_path / "run.db")
    assert path.stat().st_mode & 0o777 == 0o600
    kept.close()


@pytest.mark.parametrize("form", [KEY, KEY.replace("-", "\\u002d"), KEY.replace("-", "%2D"), "c2stMDEyMzQ1Njc4O"])
def test_secrets_are_overwritten_and_nothing_moves(tmp_path: Path, form: str) -> None:
    answer = f'data: {{"error": "bad key {form}"}}\n\n'.encode()
    kept = opened(tmp_path, KEY)
    kept.append(ready(0, data=b"POST\r\n\r\n" + answer, error=f"key {KEY}"), "steady", 0, exchange(answer).packed())
    kept.leave()
    (path,) = segments(tmp_path / "run.db")
    assert KEY not in path.read_bytes().decode("latin-1")
    (record,) = records(path)
    assert record.told["error"] == "key " + "*" * len(KEY)
    assert [len(part) for part in record.parts[:2]] == [len(answer)] * 2
    assert form.encode()[:10] not in record.parts[1]


def test_a_key_of_one_request_is_overwritten_in_its_answer(tmp_path: Path) -> None:
    kept = opened(tmp_path)
    kept.append(ready(0, keys=(KEY,)), "steady", 0, exchange(f"data: {KEY}\n\n".encode()).packed())
    kept.leave()
    (record,) = records(segments(tmp_path / "run.db")[0])
    assert record.parts[1] == b"data: " + b"*" * len(KEY) + b"\n\n"
