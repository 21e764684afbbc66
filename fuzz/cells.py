"""Run files of strangers: cells mean what they say or are refused, and a file of odd values opens or says why not."""

import contextlib
import io
import json
import pickle
import sqlite3
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path

from hypothesis import strategies as st

import perfkit as pk
from fuzz.claims import JSON_VALUES, Change, Claim, changed, changes, main
from perfkit.errors import CorruptPickle, PerfkitError, UnsafePickle
from perfkit.runfile import chunks
from perfkit.runfile.safe_pickle import decode_cell, encode_cell, loads
from perfkit.runfile.schema import RESULT_NAMES, RUN
from tests.run_files import failure, request, write_run

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text() | st.binary(max_size=300),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=20,
)
OPCODES = [
    bytes([code])
    for code in b"\x80\x95\x8c\x8d\x8e\x8a\x8b\x94]}()tuaesR.0123cioObBCXGJKMIFLNV\x85\x86\x87\x88\x89hjqrQP"
]
OPCODES += [b"\x8c\x02os", b"\x93", b"cposix\nsystem\n", b"\x80\x04", b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f"]
PICKLES = st.tuples(PLAIN, st.integers(2, 5)).map(lambda given: pickle.dumps(given[0], given[1]))


class OnlyData(pickle.Unpickler):
    """The standard library's reader without globals: no safe one, but right about data."""

    def find_class(self, module: str, name: str) -> object:
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: object) -> object:
        raise pickle.UnpicklingError(f"{pid}")


def a_value_comes_back_from_its_cell(value: object) -> None:
    assert repr(decode_cell(encode_cell(value), "cell")) == repr(value)


def a_pickle_means_what_the_standard_library_reads_or_is_refused(given: tuple[bytes, list[Change]]) -> None:
    data = changed(*given)
    try:
        value = loads(data)
    except UnsafePickle:
        return
    assert repr(value) == repr(OnlyData(io.BytesIO(data)).load())


def a_cell_of_any_text_is_a_value_or_is_refused(text: str) -> None:
    try:
        value = decode_cell(text, "cell")
    except UnsafePickle:
        return
    if text[:1] in ("{", "["):
        assert repr(value) == repr(json.loads(text))


def a_blob_of_chunks_is_read_as_it_was_written_or_refused(blob: bytes) -> None:
    try:
        told = chunks.unpack(blob)
    except CorruptPickle:
        return
    assert chunks.pack(told) == blob


VALUES = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.binary(max_size=40)
    | st.sampled_from([-1, 0, 1, 2, 1e308, -1e308, 1e-320, float("inf"), "1", "NaN", "[1]", "{}", "[", '{"a": null}'])
    | st.sampled_from(["\x1b[2J", "\u202e", "steady", "preflight", "running", "cancelled", b"\x01", b"\x02", b"\xff"])
    | JSON_VALUES.map(json.dumps)
    | PLAIN.map(encode_cell)
)
RUN_NAMES = [column.name for column in RUN]


@cache
def _honest() -> bytes:
    """Return a run file with three requests, as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [request(0), request(1, 1.0, gaps=(0.1,) * 9), failure(2, 2.0)]
        path = write_run(Path(folder) / "run.db", rows, run_id="01", tags={"gpu": "a"}, samples={"loop_late": [0.1]})
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA journal_mode = DELETE")
        return path.read_bytes()


LOOKS: tuple[Callable[[pk.Runs], object], ...] = (
    lambda runs: runs.summary(),
    lambda runs: repr(runs),
    lambda runs: runs.percentiles(["ttft", "itl_p95"]),
    lambda runs: runs.failures(),
    lambda runs: runs.chunks,
    lambda runs: runs.decoded(),
    lambda runs: runs.where("ttft > 0.1 and success = 1").requests,
    lambda runs: runs.show("slowest"),
    lambda runs: runs.problems,
    lambda runs: runs.table,
)
"""What somebody does with a file that has been opened."""


def looked_at(path: Path) -> None:
    """Open a file and look at it in each way; what perfkit raises on purpose is no defect."""
    try:
        runs = pk.open(path)
    except PerfkitError:
        return
    for look in LOOKS:
        with contextlib.suppress(PerfkitError):
            look(runs)


def a_file_with_any_value_in_any_column_opens(given: list[tuple[str, str, int, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        path.write_bytes(_honest())
        with contextlib.closing(sqlite3.connect(path)) as db:
            for table, column, row, value in given:
                db.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE rowid = ?", (value, row))
            db.commit()
        looked_at(path)


def a_file_of_any_bytes_opens_or_says_what_is_wrong(made: list[Change]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        path.write_bytes(changed(_honest(), [(place * 7, len(new), new) for place, _, new in made]))
        looked_at(path)


HONEST_BLOB = chunks.pack(chunks.Chunks([100, 250], [chunks.NO_LAG] * 2, [0, 1], [0, 1], [0, 0], [0, 1], [1, -1]))
TABLES = st.tuples(st.just("result"), st.sampled_from([*RESULT_NAMES])) | st.tuples(
    st.just("run"), st.sampled_from([name for name in RUN_NAMES])
)
CLAIMS = (
    Claim(a_value_comes_back_from_its_cell, PLAIN),
    Claim(
        a_pickle_means_what_the_standard_library_reads_or_is_refused,
        st.tuples(PICKLES, changes(OPCODES, 4))
        | st.tuples(st.binary(max_size=30).map(b"\x80\x04".__add__), st.just([])),
    ),
    Claim(
        a_cell_of_any_text_is_a_value_or_is_refused,
        JSON_VALUES.map(json.dumps)
        | st.text(max_size=20)
        | st.builds(
            changed, JSON_VALUES.map(json.dumps).map(str.encode), changes([b"{", b"[", b'"', b"NaN", b","])
        ).map(lambda data: data.decode("utf-8", "replace"))
        | st.binary(max_size=60).map(lambda data: b64encode(b"\x80\x04" + data).decode()),
    ),
    Claim(
        a_blob_of_chunks_is_read_as_it_was_written_or_refused,
        st.builds(changed, st.just(HONEST_BLOB), changes([b"\x01", b"\x02", b"\xff" * 4])) | st.binary(max_size=80),
    ),
    Claim(
        a_file_with_any_value_in_any_column_opens,
        st.lists(
            st.builds(lambda place, row, value: (*place, row, value), TABLES, st.integers(1, 3), VALUES),
            min_size=1,
            max_size=6,
        ),
        cost=40,
    ),
    Claim(
        a_file_of_any_bytes_opens_or_says_what_is_wrong,
        changes([b"\x00" * 8, b"\xff" * 8, b"\x7f", b"CREATE TABLE"], 6),
        cost=20,
    ),
)

if __name__ == "__main__":
    sys.exit(main(CLAIMS))
