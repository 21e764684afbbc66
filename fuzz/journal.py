"""Answers that wait beside a run file: what was written comes back the same, and what was changed is not believed."""

import sys
import tempfile
from array import array
from pathlib import Path

import orjson
from hypothesis import strategies as st

import perfkit as pk
from fuzz.claims import CUTS, JSON_VALUES, Change, Claim, changed, changes, main, pieces_of, replaced
from fuzz.sse import BODIES, KINDS
from perfkit.decoding.clock import RunClock
from perfkit.decoding.exchange import Exchange
from perfkit.decoding.pending import as_record, built_in, recover
from perfkit.decoding.rows import Decoder, Request
from perfkit.runfile.pending import PARTS, Record, packed, records, segment
from perfkit.runfile.record import RunRecord
from perfkit.runfile.schema import RESULT_NAMES
from perfkit.runfile.writer import Row, Writer
from perfkit.secrets import Scrubber
from tests.measured import stored
from tests.run_files import request
from tests.scripted import LAST, chunk

RUN = "r"
CLOCK = 1_700_000_000_000_000_000
ARGUMENTS = '{"url": "http://127.0.0.1:1", "model": "m"}'
ASKED = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'

NUMBERS = st.integers(-(2**63), 2**64 - 1)  # what the writer of JSON can write
TOLD = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    max_size=4,
)
RECORDS = st.builds(Record, TOLD, st.lists(st.binary(max_size=20), min_size=PARTS, max_size=PARTS))


def bytes_of(some: list[Record], generation: int = 1) -> bytes:
    return b"".join(piece for each in some for piece in packed(each, generation))


def read(content: bytes) -> list[Record]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        return list(records(Path(file.name)))


def what_was_written_is_read_again(given: tuple[list[Record], list[Record]]) -> None:
    new, old = given
    content = bytes_of(new, 2)
    assert read(content + bytes_of(old, 1)) == new or not new


def changed_bytes_give_the_first_of_the_records_or_none(given: tuple[list[Record], list[Change]]) -> None:
    written, made = given
    found = read(changed(bytes_of(written), made))
    # A change may put one whole record in the place of others; it never makes one.
    assert all(each in written for each in found)
    if all(len(new) == gone for _, gone, new in made):
        assert found == written[: len(found)]


def answer(body: bytes, kind: bytes, cuts: list[int]) -> Exchange:
    """Return an exchange that came over the wire in pieces."""
    wire = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % kind
    wire += b"".join(map(chunk, pieces_of(body, cuts))) + LAST
    made = Exchange(start=10**9, written=10**9 + 5, headers=10**9 + 7, status=200)
    made.response_headers = [(b"Content-Type", kind), (b"X-Odd", b"\xe9\xff")]
    made.wire = bytearray(wire)
    made.ends = [*dict.fromkeys([len(wire) // 3, 2 * len(wire) // 3, len(wire)])]
    made.stamps = [2 * 10**9 + at for at in range(len(made.ends))]
    made.end = made.stamps[-1]
    return made


def a_run_with(folder: Path, content: bytes) -> Path:
    """Return a file of a run that was killed, with one row, and what waits beside it."""
    path = folder / "run.db"
    writer = Writer(path)
    given: Row = {"api": "openai", "arguments": ARGUMENTS, "source": "perfkit", "status": "running", "start_time": 1.0}
    writer.begin_run({"run_id": RUN, "name": "run", **given})
    writer.add_results([{**dict.fromkeys(RESULT_NAMES), **request(0), "run_id": RUN}])
    writer.close()
    segment(path, RUN, 0, 0).write_bytes(content)
    return path


def an_answer_that_waited_becomes_the_row_that_it_would_have_been(given: tuple[bytes, bytes, list[int]]) -> None:
    body, kind, cuts = given
    # A new one, as it learns from each answer how many characters a token has.
    api = built_in(RunRecord.of({"api": "openai", "arguments": ARGUMENTS}))
    assert api is not None
    asked = Request(1, orjson.loads(ASKED), scheduled=10**9)
    straight = Decoder(RUN, 0, api, RunClock(CLOCK), Scrubber(())).row(asked, answer(body, kind, cuts))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        record = as_record(RUN, 0, CLOCK, asked, ASKED, answer(body, kind, cuts).packed())
        path, straightly = a_run_with(Path(folder), bytes_of([record])), a_run_with(Path(other), b"")
        assert recover(path).added == 1
        writer = Writer(straightly)
        writer.add_results([straight])
        writer.close()
        waited, stored_at_once = (stored(each, "SELECT * FROM result WHERE seq = 1") for each in (path, straightly))
    assert waited == stored_at_once


HONEST = as_record(
    RUN, 0, CLOCK, Request(1, None), ASKED, answer(b'data: {"choices":[]}\n\n', b"text/event-stream", []).packed()
)
STRANGE = (
    JSON_VALUES
    | st.sampled_from([[], {}, [[1, 2]], "x", -1, 2**63, 2**64, 1e308, {"text": None}, ["\ud800"], "preflight"])
    | st.sampled_from([0, 1, 2**31, 2**62])
)
PART = st.sampled_from([b"", b"\xff" * 8, b"\x80" * 24, b"[" * 2000, b"null", b"{}", b'{"a": 1e999}'])
PART |= st.binary(max_size=40) | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5).map(
    lambda numbers: array("q", numbers).tobytes()
)


def whatever_a_stranger_wrote_the_file_opens(
    given: tuple[list[tuple[int, object]], list[tuple[int, bytes]], list[Change]],
) -> None:
    values, parts, made = given
    told: object = orjson.loads(orjson.dumps(HONEST.told))
    for place, value in values:
        told = replaced(told, place + 1, value)
    pieces = list(HONEST.parts)
    for place, part in parts:
        pieces[place % PARTS] = part
    try:
        content = bytes_of([Record(told, pieces)])  # type: ignore[arg-type]
    except TypeError:  # a text or a number that nobody can write
        return
    with tempfile.TemporaryDirectory() as folder:
        path = a_run_with(Path(folder), changed(content, made))
        runs = pk.open(path)
        assert len(runs.requests) in (1, 2)
        runs.summary()
        runs.decoded()
        assert recover(path).added in (0, 1)
        assert len(pk.open(path).requests) in (1, 2)


CLAIMS = (
    Claim(
        what_was_written_is_read_again, st.tuples(st.lists(RECORDS, max_size=4), st.lists(RECORDS, max_size=2)), cost=2
    ),
    Claim(
        changed_bytes_give_the_first_of_the_records_or_none,
        st.tuples(st.lists(RECORDS, max_size=4), changes([b"pfk\x02", b"\x01\x00\x00\x00", b"\xff" * 4])),
        cost=2,
    ),
    Claim(an_answer_that_waited_becomes_the_row_that_it_would_have_been, st.tuples(BODIES, KINDS, CUTS), cost=20),
    Claim(
        whatever_a_stranger_wrote_the_file_opens,
        st.tuples(
            st.lists(st.tuples(st.integers(0, 80), STRANGE), max_size=3),
            st.lists(st.tuples(st.integers(0, 5), PART), max_size=2),
            st.just([]),
        ),
        cost=40,
    ),
)

if __name__ == "__main__":
    sys.exit(main(CLAIMS))
