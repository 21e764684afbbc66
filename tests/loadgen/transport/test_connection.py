import socket
import sys
import threading
from pathlib import Path

import pytest

from perfkit.loadgen.transport.connection import LARGEST_HEAD
from tests.measured import rows_of
from tests.replay import Reply, replay
from tests.scripted import ANSWER, BEGIN, BODY, DONE, FINISH, HANG, LAST, READ, STREAM, chunk, delta, scripted, whole

pytestmark = pytest.mark.processes


def test_a_request_larger_than_any_buffer_is_written_whole(tmp_path: Path) -> None:
    prompt = "x" * 20_000_000
    with scripted([0.1, READ, whole(BODY), HANG]) as server:
        (row,) = rows_of(server.url, tmp_path, prompt=prompt)
        assert len(server.requests[0]) > 20_000_000
    assert row["success"] == 1
    assert row["start_time"] < row["written_time"] <= row["headers_time"]


def test_a_connection_whose_request_was_answered_before_it_was_written_is_not_used_again(tmp_path: Path) -> None:
    answered = threading.Event()
    # The server answers and reads no further, so that the rest of the request never gets into the socket.
    early = [BEGIN, whole(b'{"error":"too long"}', status="413 Too Large"), answered.wait]
    with scripted(early, [READ, whole(BODY), HANG]) as server:
        rows = rows_of(server.url, tmp_path, dataset=["x" * 20_000_000, "hi"], prompt=None, number=2)
        answered.set()
    assert [(row["status_code"], row["connection"], row["connection_use"]) for row in rows] == [
        (413, 1, 1),
        (200, 2, 1),
    ]
    assert rows[0]["written_time"] is None


def test_stamps_are_in_the_order_of_what_happened(tmp_path: Path) -> None:
    with scripted([READ, 0.05, STREAM, 0.05, chunk(delta("a")), 0.05, chunk(FINISH + DONE), LAST, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    names = ("scheduled_time", "start_time", "written_time", "headers_time", "first_byte_time", "completed_time")
    stamps = [row[name] for name in names]
    assert stamps == sorted(stamps)
    # Of 0.05 each, as one of two stamps may be late on a busy machine.
    assert row["headers_time"] - row["start_time"] >= 0.03
    assert row["first_byte_time"] - row["headers_time"] >= 0.03
    assert row["completed_time"] - row["first_byte_time"] >= 0.03
    assert row["last_token_time"] == pytest.approx(row["first_byte_time"], abs=0.001)


@pytest.mark.skipif(sys.platform != "linux", reason="kernel stamps are Linux's")
def test_the_kernel_stamps_chunks_unless_it_is_told_not_to(tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(ANSWER), LAST, READ, STREAM, chunk(ANSWER), LAST, HANG]) as server:
        rows = [*rows_of(server.url, tmp_path), *rows_of(server.url, tmp_path, stamps="user")]
    assert [row["stamp_source"] for row in rows[-2:]] == ["kernel", "user"]


def test_a_head_without_end_is_given_up(tmp_path: Path) -> None:
    lines = b"X-More: and more\r\n" * 4000
    with scripted([READ, b"HTTP/1.1 200 OK\r\n", *[lines] * (3 * LARGEST_HEAD // len(lines)), HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert (row["error_kind"], row["error"]) == ("too_large", "the answer's head is larger than 1024 KiB")


def test_interim_answers_without_end_are_given_up(tmp_path: Path) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 2000
    with scripted([READ, *[hints] * (3 * LARGEST_HEAD // len(hints)), HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["error_kind"] == "too_large"


@pytest.mark.parametrize(("version", "connections"), [("1.0", [1, 2]), ("1.1", [1, 1])])
def test_a_chunked_answer_over_http_1_0_is_the_last_of_its_connection(
    tmp_path: Path, version: str, connections: list[int]
) -> None:
    fields = b"Connection: keep-alive\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = b"HTTP/%b 200 OK\r\n" % version.encode() + fields + chunk(ANSWER) + LAST
    with scripted([READ, answer, READ, answer, HANG]) as server:
        rows = rows_of(server.url, tmp_path, number=2)
    assert [(row["success"], row["connection"]) for row in rows] == [(1, each) for each in connections]


def test_text_that_comes_with_the_head_is_not_lost_when_the_connection_breaks(tmp_path: Path) -> None:
    with scripted([READ, STREAM + chunk(delta("kept"))]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert (row["success"], row["error_kind"], row["output_text"]) == (0, "reset", "kept")


def test_an_answer_over_ipv6_is_an_answer(tmp_path: Path) -> None:
    try:
        probe = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with probe, scripted([READ, whole(BODY), HANG], listener=probe) as server:
        (row,) = rows_of(f"http://[::1]:{server.port}", tmp_path)
    assert row["success"] == 1


def test_an_answer_whose_end_comes_with_more_than_it_should_is_whole(tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(ANSWER), LAST + b"HTTP/1.1 408 Late", HANG], [READ, whole(BODY)]) as server:
        (row,) = rows_of(server.url, tmp_path, read_timeout=5)
    assert (row["success"], row["connection_use"]) == (1, 1)
    assert row["completed_time"] - row["start_time"] < 1  # when it came, not when it was noticed


def test_an_answer_that_breaks_off_behind_its_end_is_whole(tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(ANSWER), LAST + b"HTTP/1.1 408 Late"]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert (row["success"], row["error_kind"]) == (1, None)


def test_an_end_in_two_reads_is_an_end(tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(ANSWER), LAST[:-3], 0.05, LAST[-3:], HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert row["success"] == 1


def test_text_that_looks_like_an_end_is_none(tmp_path: Path) -> None:
    lines = chunk(b": 0\r\n\r\n") + chunk(b"0\r\n") + chunk(b"\r\n\r\n")
    with scripted([READ, STREAM, lines, 0.05, lines + chunk(ANSWER), 0.05, LAST, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path)
    assert (row["success"], row["error_kind"]) == (1, None)


def test_a_chunk_of_no_length_is_named_when_silence_follows(tmp_path: Path) -> None:
    with scripted([READ, STREAM, chunk(delta("a")), 0.05, b"zz\r\nwhat\r\n", HANG]) as server:
        (row,) = rows_of(server.url, tmp_path, read_timeout=0.5)
    assert row["error_kind"] == "protocol"
    assert row["error"].startswith("not an HTTP answer: ")
    assert row["output_text"] == "a"


LONG = Reply(
    [b": " + b"x" * 2**20 + b"\n\n"] * 9
    + [b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n', b"data: [DONE]\n\n"],
    pause=0.03,
)


@pytest.mark.parametrize(("users", "told"), [(1, None), (8, "the answer is larger than 8 MiB")])
def test_an_answer_may_be_the_longer_the_fewer_are_under_way(tmp_path: Path, users: int, told: str | None) -> None:
    with replay(LONG) as server:
        rows = rows_of(server.url, tmp_path, parallel=users, number=users, max_error_rate=1)
    assert {row["error"] for row in rows} == {told}
