import json
from collections.abc import Sequence
from itertools import pairwise
from struct import pack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfkit.decoding.clock import RunClock
from perfkit.decoding.exchange import Exchange
from perfkit.decoding.response import Reading, Tally
from perfkit.options.arguments import Arguments
from perfkit.plugins import api_class, bind_api
from perfkit.records import Kind
from perfkit.runfile.chunks import NO_LAG, unpack
from tests.scripted import DONE, FINISH, USAGE, delta

MS = 1_000_000
START = 1_000 * MS
OFFSET = 1_790_000_000_000_000_000
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
THOUGHT = b'data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'
API = bind_api(api_class("openai"), Arguments(model="m"))


def exchange(*reads: tuple[float, bytes], kernel: Sequence[bytes] = (), kind: str = "text/event-stream") -> Exchange:
    """Return an answer that came in these reads: milliseconds after the start, and bytes."""
    made = Exchange(start=START, status=200, response_headers=[(b"Content-Type", kind.encode())])
    for at, data in reads:
        made.body += data
        made.stamps.append(START + int(at * MS))
        made.ends.append(len(made.body))
    made.end = made.stamps[-1]
    made.kernel, made.kernel_offset = bytearray().join(kernel), OFFSET
    return made


def row_of(made: Exchange) -> dict[str, Any]:
    """Return the columns that come of an answer."""
    reading = Reading(API, made)
    reading.read()
    reading.count_censored(Tally())
    if reading.error is None:
        API.count(reading.messages, {}, reading.answer)
        reading.judge()
    return dict(reading.columns(RunClock(OFFSET)))


def timespec(after_start: float, late: float = 0.0) -> bytes:
    """Return a kernel's stamp of a moment, in milliseconds after the start."""
    unix = OFFSET + START + int((after_start + late) * MS)
    return pack("=qq", *divmod(unix, 1_000_000_000))


USUAL = exchange(
    (5, b""), (90, ROLE), (100, delta("a")), (112, delta("b")), (121, delta("c")), (121.5, FINISH), (130, USAGE + DONE)
)


def test_every_number_of_a_stream_is_that_of_its_definition() -> None:
    row = row_of(USUAL)
    assert row["first_chunk_latency"] == 0.1
    assert json.loads(row["inter_token_latencies"]) == pytest.approx([0.012, 0.009])
    assert row["latency"] == 0.13
    assert row["time_per_output_token"] == pytest.approx(0.021 / (2 - 1))  # usage says 2 tokens
    assert row["last_token_time"] == pytest.approx((OFFSET + START) / 1e9 + 0.121, abs=1e-6)


def test_the_blob_tells_kind_read_and_message_of_every_chunk() -> None:
    chunks = unpack(row_of(USUAL)["chunks"])
    assert [Kind(kind).name for kind in chunks.kind] == [
        "ROLE",
        "CONTENT",
        "CONTENT",
        "CONTENT",
        "FINISH",
        "USAGE",
        "DONE",
    ]
    assert list(chunks.read) == [1, 2, 3, 4, 5, 6, 6]
    assert list(chunks.message) == [0, 1, 2, 3, 4, 5, -1]
    assert [arrival / MS for arrival in chunks.arrival] == [90, 100, 112, 121, 121.5, 130, 130]
    assert set(chunks.lag) == {NO_LAG}


def test_reasoning_ends_ttft() -> None:
    row = row_of(exchange((50, ROLE), (70, THOUGHT), (90, delta("a")), (95, FINISH + DONE)))
    assert row["first_chunk_latency"] == 0.07
    assert row["output_text"] == "a"


def test_a_stream_that_breaks_off_after_its_tokens_keeps_the_identity_that_the_server_gave() -> None:
    assert row_of(exchange(*((at, delta("a")) for at in range(1, 20))))["server_request_id"] == "c1"


def test_events_of_blanks_are_no_messages_and_no_bad_events() -> None:
    row = row_of(exchange((1, b"data:\n\n"), (2, delta("a")), (3, b"data:   \n\n"), (4, FINISH + DONE)))
    assert (row["flags"], row["output_text"], row["first_chunk_latency"]) == (None, "a", 0.002)
    assert len(unpack(row["chunks"])) == 3


def test_an_event_arrives_with_the_read_that_completes_it() -> None:
    event = delta("abc")
    row = row_of(exchange((10, event[:7]), (20, event[7:-2]), (30, b"\n\n" + FINISH), (40, DONE)))
    assert row["first_chunk_latency"] == 0.02


def test_tokens_that_share_a_read_are_censored_and_the_last_is_not() -> None:
    tally = Tally()
    reading = Reading(API, exchange((100, delta("a") + delta("b")), (110, delta("c") + FINISH), (111, DONE)))
    reading.read()
    reading.count_censored(tally)
    assert (tally.first, tally.first_censored, tally.gaps, tally.gaps_censored) == (1, 1, 2, 1)
    assert reading.flags == ["censored_first"]


def test_a_finish_in_the_read_of_the_last_token_censors_nothing() -> None:
    tally = Tally()
    reading = Reading(API, exchange((100, ROLE + delta("a")), (110, delta("b") + FINISH + USAGE + DONE)))
    reading.read()
    reading.count_censored(tally)
    assert (tally.first_censored, tally.gaps, tally.gaps_censored) == (0, 1, 0)


EVENTS = [ROLE, delta("a"), delta("héllo 😀"), THOUGHT, delta("c"), FINISH, USAGE, DONE]


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine, not of the data
@given(st.data(), st.sampled_from([b"\n", b"\r\n", b"\r"]))
def test_however_the_bytes_are_split_the_row_is_the_same_but_for_its_stamps(data: st.DataObject, end: bytes) -> None:
    events = [event.replace(b"\n", end) for event in EVENTS]
    body = b"".join(events)
    cuts = sorted(data.draw(st.lists(st.integers(1, len(body) - 1), unique=True, max_size=12)))
    pieces = [body[begin:until] for begin, until in pairwise([0, *cuts, len(body)])]
    row = row_of(exchange(*((10.0 * (index + 1), piece) for index, piece in enumerate(pieces))))
    chunks = unpack(row["chunks"])
    # An event is whole with the last byte of its data line: the line end and the blank line say nothing new.
    ends = [len(b"".join(events[: index + 1])) - 2 * len(end) for index in range(len(events))]
    reads = [sum(cut < whole for cut in cuts) for whole in ends]
    assert list(chunks.read) == reads
    assert [Kind(kind).name for kind in chunks.kind][:4] == ["ROLE", "CONTENT", "CONTENT", "REASONING"]
    assert row["output_text"] == "ahéllo 😀c"
    assert row["first_chunk_latency"] == pytest.approx(0.01 * (reads[1] + 1))
    # Tokens that all came in one read have no gaps.
    gaps = [0.01 * (later - earlier) for earlier, later in pairwise(reads[1:5])] if reads[1] != reads[4] else []
    assert json.loads(row["inter_token_latencies"]) == pytest.approx(gaps)


READS = [(100.0, delta("a")), (112.0, delta("b")), (121.0, FINISH + DONE)]


def test_kernel_stamps_replace_those_of_user_space() -> None:
    row = row_of(exchange(*READS, kernel=[timespec(99.9), timespec(111), timespec(121)]))
    assert row["stamp_source"] == "kernel"
    assert row["first_chunk_latency"] == pytest.approx(0.0999)
    assert row["stamp_lag"] == pytest.approx(0.001)
    assert list(unpack(row["chunks"]).lag)[:2] == [100, 1000]


@pytest.mark.parametrize(
    "kernel",
    [
        [timespec(99), b"", timespec(120)],
        [timespec(-1), timespec(111), timespec(120)],
        [timespec(99), timespec(112, late=0.2), timespec(120)],
        [timespec(99 + 3.6e6), timespec(111 + 3.6e6), timespec(120 + 3.6e6)],
        [b"short", timespec(111), timespec(120)],
    ],
    ids=["one is missing", "before the start", "after user space", "a clock set by an hour", "no timespec"],
)
def test_a_row_with_an_impossible_kernel_stamp_uses_those_of_user_space_and_says_so(kernel: list[bytes]) -> None:
    row = row_of(exchange(*READS, kernel=kernel))
    assert row["stamp_source"] == "user"
    assert row["first_chunk_latency"] == 0.1
    assert row["stamp_lag"] is None


def test_a_kernel_stamp_within_the_clocks_error_is_held_between_start_and_user_space() -> None:
    row = row_of(exchange(*READS, kernel=[timespec(100.04), timespec(111), timespec(120)]))
    assert row["stamp_source"] == "kernel"
    assert row["first_chunk_latency"] == 0.1


def test_an_answer_that_came_in_one_read_has_no_time_between_tokens() -> None:
    row = row_of(exchange((100, delta("a") + delta("b") + delta("c") + FINISH), (130, USAGE + DONE)))
    assert row["first_chunk_latency"] == 0.1
    assert (row["time_per_output_token"], row["inter_token_latencies"]) == (None, "[]")


def test_every_moment_of_a_row_is_by_the_clock_of_its_tokens() -> None:
    made = exchange(*READS, kernel=[timespec(99), timespec(110), timespec(120)])
    made.headers, made.end = made.stamps[0], made.stamps[2]
    made.written = START + int(99.5 * MS)  # the call returned after the kernel had the first bytes of the answer
    row, since = row_of(made), (START + OFFSET) / 1e9
    moments = ("written_time", "headers_time", "first_byte_time", "last_token_time", "completed_time")
    assert [round((row[name] - since) * 1e3) for name in moments] == [99, 99, 99, 110, 120]
    assert row["latency"] == pytest.approx(0.12)


def test_an_answer_of_one_token_has_no_time_per_token() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    row = row_of(exchange((100, delta("a")), (110, FINISH + usage + DONE)))
    assert row["time_per_output_token"] is None
    assert row["inter_token_latencies"] == "[]"


def test_a_failed_answer_keeps_its_stamps_and_has_no_measurement() -> None:
    made = exchange(*READS[:2])
    made.fail("read_timeout", "nothing came for 1 s", START + 1112 * MS)
    row = row_of(made)
    assert (row["success"], row["error_kind"]) == (0, "read_timeout")
    assert (row["latency"], row["first_chunk_latency"], row["time_per_output_token"]) == (None, None, None)
    assert len(unpack(row["chunks"])) == 2


def test_an_exchange_is_the_same_after_travelling() -> None:
    made = exchange(*READS, kernel=[timespec(99)] * 3)
    made.fail("reset", "gone", START)
    assert Exchange.unpacked(made.packed()) == made


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM = [
    ROLE,
    THOUGHT,
    *(delta(f"w{n}" * (n % 7)) for n in range(40)),
    delta('"\n'),
    b": ping\n\n",
    FINISH,
    USAGE,
    DONE,
]


@given(st.lists(st.integers(1, 6), max_size=12), st.lists(st.integers(1, 4_000), max_size=20), st.booleans())
def test_an_answer_gives_the_same_row_whether_its_framing_is_taken_off_before_or_not(
    together: list[int], cuts: list[int], whole: bool
) -> None:
    events, chunked = list(STREAM), b""
    for count in [*together, *[1] * len(events)]:
        piece, events = b"".join(events[:count]), events[count:]
        chunked += b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
    wire = HEAD + chunked + b"0\r\n\r\n" if whole else (HEAD + chunked)[:-7]
    ends = sorted({min(cut, len(wire)) for cut in cuts} | {len(HEAD), len(wire)})
    rows = []
    for take_off in (False, True):
        made = exchange(*((10 + number, b"") for number, _ in enumerate(ends)), kernel=[])
        made.wire, made.ends = bytearray(wire), list(ends)
        if take_off:
            made.unframe()
        rows.append(row_of(made) | {"bytes": made.received})
        arrived = [stamp for stamp, end in zip(made.stamps, made.ends, strict=True) if end > made.begin]
        rows[-1]["first byte"] = arrived[0] if arrived else None
    assert rows[0] == rows[1]
