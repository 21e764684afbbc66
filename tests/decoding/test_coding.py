"""Answers that come compressed although nobody asked for it: read with the times of their events, or named."""

import gzip
import itertools
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit as pk
from perfkit.cli import main
from perfkit.decoding.coding import decoded
from tests.measured import rows_of, stored
from tests.replay import FIELD, Reply, replay
from tests.scripted import ANSWER, BODY, DONE, FINISH, HANG, READ, STREAM, USAGE, chunk, delta, head, scripted

pytestmark = pytest.mark.processes

GZIP, ZLIB, RAW = 31, 15, -15
EVENTS = (delta("Hel"), delta("lo"), FINISH, USAGE, DONE)
PLENTY = 2**20
BOMB = gzip.compress(bytes(2**25 + 1))


def packed(pieces: Iterable[bytes], bits: int = GZIP) -> list[bytes]:
    """Compress pieces as a server does that flushes after each."""
    packer = zlib.compressobj(wbits=bits)
    made = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    return [*made[:-1], made[-1] + packer.flush()]


def coded(name: str, body: bytes | list[bytes], kind: str = "text/event-stream", **more: Any) -> Reply:
    return Reply(body, kind, headers=[f"Content-Encoding: {name}"], **more)


def row_of(reply: Reply, folder: Path, **given: Any) -> dict[str, Any]:
    with replay(reply) as server:
        (row,) = rows_of(server.url, folder, **given)
    return row


@pytest.mark.parametrize(
    ("name", "pieces"),
    [
        ("gzip", packed(EVENTS)),
        ("X-GZip", packed(EVENTS)),
        ("identity, gzip", packed(EVENTS)),
        ("deflate", packed(EVENTS, ZLIB)),
        ("deflate", packed(EVENTS, RAW)),
        ("gzip", [gzip.compress(event) for event in EVENTS]),
        ("gzip, gzip", packed(packed(EVENTS))),
        ("identity", list(EVENTS)),
    ],
    ids=["gzip", "x-gzip", "with identity", "zlib", "raw deflate", "a member per event", "twice", "identity"],
)
def test_events_that_were_flushed_keep_their_times(name: str, pieces: list[bytes], tmp_path: Path) -> None:
    row = row_of(coded(name, pieces), tmp_path)
    assert (row["success"], row["error"], row["output_text"], row["completion_tokens"]) == (1, None, "Hello", 2)
    assert 0.04 <= row["first_chunk_latency"] < 0.5
    assert 0.02 < row["last_token_time"] - row["start_time"] - row["first_chunk_latency"] < 0.5  # an event every 40 ms
    assert row["bytes_received"] == sum(map(len, pieces))


def test_a_stream_that_a_gateway_compressed_as_a_whole_has_its_text_and_no_times_between_tokens() -> None:
    body = (FIELD / "gzip-stream" / "response.gz").read_bytes()
    with replay(coded("gzip", body)) as server:
        runs = pk.run(server.url, model="m", parallel=1, number=2, prompt="hi")
    row = runs.decoded().iloc[1]
    assert row["success"]
    assert (row["output_text"], row["completion_tokens"], row["finish_reason"]) == ("w0 w1 w2 w3 ", 4, "stop")
    assert runs.requests["tpot"].isna().all()


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_whole_answer_is_decoded(pack: Callable[[bytes], bytes], chunked: bool, tmp_path: Path) -> None:
    name = "gzip" if pack is gzip.compress else "deflate"
    row = row_of(coded(name, pack(BODY), "application/json", chunked=chunked), tmp_path, stream=False)
    assert (row["success"], row["output_text"], row["prompt_tokens"]) == (1, "Hello", 3)


def test_the_servers_words_are_decoded(tmp_path: Path) -> None:
    words = gzip.compress(b'{"error": {"message": "too long"}}')
    row = row_of(coded("gzip", words, "application/json", status="400 Bad Request"), tmp_path)
    assert (row["error_kind"], row["error"]) == ("http_status", "HTTP 400: too long")


@pytest.mark.parametrize("name", ["br", "zstd", "compress", "gzip, br", "whatever"])
@pytest.mark.parametrize("status", ["200 OK", "503 Service Unavailable"])
def test_a_coding_that_cannot_be_decoded_is_named(name: str, status: str, tmp_path: Path) -> None:
    row = row_of(coded(name, bytes(range(200, 256)), status=status), tmp_path)
    assert row["success"] == 0
    assert row["error_kind"] == ("protocol" if status == "200 OK" else "http_status")
    assert f"Content-Encoding: {name}" in row["error"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        (ANSWER, "protocol", "its body is not gzip data: it begins 'data: "),
        (gzip.compress(ANSWER)[:60], "incomplete", "its compressed data ends too early"),
        (gzip.compress(ANSWER)[:40] + b"damage" * 20, "protocol", "its data is damaged"),
        (gzip.compress(ANSWER)[:-8] + b"01234567", "protocol", "its data is damaged"),
        (BOMB, "too_large", "larger than 32 MiB once decoded"),
        (gzip.compress(BOMB), "too_large", "larger than 32 MiB once decoded"),
    ],
    ids=["not compressed", "cut off", "damaged", "wrong check sum", "bomb", "bomb in a bomb"],
)
def test_data_that_cannot_be_decoded_is_a_failure_that_says_why(
    body: bytes, kind: str, says: str, tmp_path: Path
) -> None:
    row = row_of(coded("gzip, gzip" if len(body) < 500 and kind == "too_large" else "gzip", body), tmp_path)
    assert (row["success"], row["error_kind"]) == (0, kind)
    assert "Content-Encoding: gzip" in row["error"]
    assert says in row["error"]


def test_a_whole_answer_that_was_cut_off_is_incomplete(tmp_path: Path) -> None:
    row = row_of(coded("gzip", gzip.compress(BODY)[:-20], "application/json"), tmp_path, stream=False)
    assert (row["success"], row["error_kind"]) == (0, "incomplete")


def test_a_compressed_stream_that_is_complete_needs_no_end_of_its_data(tmp_path: Path) -> None:
    """It ends with its last event, too, although the loop cannot see that event."""
    first, *others = packed(EVENTS)
    served = b"".join(others)[:-10]  # without the check sum
    lingering = [READ, head("Transfer-Encoding: chunked", "Content-Encoding: gzip"), chunk(first), 0.05, chunk(served)]
    with scripted([*lingering, HANG]) as server:
        (row,) = rows_of(server.url, tmp_path, read_timeout=1.0)
    assert (row["success"], row["error"], row["output_text"]) == (1, None, "Hello")
    assert 0.04 < row["latency"] < 0.9


@pytest.mark.slow
def test_check_reads_a_compressed_answer_and_names_a_coding_it_cannot_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, status, says in (("gzip", 0, "'w0 w1 w2 w3 '"), ("br", 3, "Content-Encoding: br")):
        with replay(coded(name, (FIELD / "gzip-stream" / "response.gz").read_bytes())) as server:
            assert main(["check", server.url, "--model", "m", "--prompt", "hi"]) == status
        assert says in capsys.readouterr().out


@pytest.mark.slow
def test_through_a_proxy_the_answer_is_decoded_the_same_way(tmp_path: Path) -> None:
    for name, pieces, success in (("gzip", packed(EVENTS), 1), ("br", [b"x"], 0)):
        with replay(coded(name, pieces)) as server:
            row = rows_of("http://nobody.invalid/v1", tmp_path, proxy=f"http://127.0.0.1:{server.port}")[-1]
        assert row["success"] == success, row["error"]
        assert success or "Content-Encoding: br" in row["error"]


def test_models_are_listed_compressed(tmp_path: Path) -> None:
    listed = gzip.compress(b'{"data": [{"id": "packed"}]}')
    answer = [READ, head("Content-Encoding: gzip", f"Content-Length: {len(listed)}", kind="application/json") + listed]
    with scripted([*answer, HANG], [READ, STREAM, chunk(ANSWER), b"0\r\n\r\n", HANG]) as server:
        rows_of(server.url, tmp_path, model=None)
    assert b'"model":"packed"' in server.requests[1]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.lists(st.integers(0, 2000)), st.booleans())
def test_each_read_counts_what_a_reader_of_that_much_could_have_decoded(
    pieces: list[bytes], cuts: list[int], members: bool
) -> None:
    sent = [gzip.compress(piece) for piece in pieces] if members or not pieces else packed(pieces)
    body = b"".join(sent)
    ends = sorted({min(cut, len(body)) for cut in cuts} | {len(body)})
    plain, counts, problem = decoded(body, ends, "Content-Encoding: gzip", PLENTY)
    assert (plain, problem) == (b"".join(pieces), None)
    for end, count in zip(ends, counts, strict=True):
        assert count == len(decoded(body[:end], [end], "Content-Encoding: gzip", PLENTY)[0])


@pytest.mark.parametrize("codings", ["gzip, chunked", "GZIP,chunked"])
def test_a_coded_transfer_is_read_as_coded_content_is(codings: str, tmp_path: Path) -> None:
    pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in packed(EVENTS)]
    row = raw_row(f"Transfer-Encoding: {codings}", [*pieces, b"0\r\n\r\n"], tmp_path)
    assert (row["success"], row["output_text"], row["error"]) == (1, "Hello", None)
    assert row["first_chunk_latency"] < row["latency"]


def test_both_codings_of_an_answer_are_taken_off(tmp_path: Path) -> None:
    pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in packed(packed(EVENTS, ZLIB))]
    headers = "Content-Encoding: deflate\r\nTransfer-Encoding: gzip, chunked"
    row = raw_row(headers, [*pieces, b"0\r\n\r\n"], tmp_path)
    assert (row["success"], row["output_text"], row["error"]) == (1, "Hello", None)
    assert row["first_chunk_latency"] < row["latency"]


def test_a_coded_transfer_that_nobody_reads_is_named(tmp_path: Path) -> None:
    row = raw_row("Transfer-Encoding: br, chunked", [b"3\r\nabc\r\n0\r\n\r\n"], tmp_path)
    assert row["error_kind"] == "protocol"
    assert row["error"].startswith("the answer has Transfer-Encoding: br, chunked, which perfkit cannot decode")


def raw_row(header: str, pieces: list[bytes], folder: Path) -> dict[str, Any]:
    """Return the row of one answer whose bytes are these, pieces of it 40 ms apart."""
    begin = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{header}\r\n\r\n".encode()
    with scripted([READ, begin, *itertools.chain.from_iterable((0.04, piece) for piece in pieces), HANG]) as server:
        (row,) = rows_of(server.url, folder)
    return row


def test_a_stream_that_compression_made_one_piece_is_told(tmp_path: Path) -> None:
    with replay(coded("gzip", gzip.compress(b"".join(EVENTS)))) as server:
        rows_of(server.url, tmp_path, number=3)
    (row,) = stored(tmp_path / "run.db", "SELECT remarks FROM run")
    (told,) = json.loads(row["remarks"])
    assert told.startswith("3 streamed answers came in one read each, with Content-Encoding: gzip: compressing")
