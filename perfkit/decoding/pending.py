"""Turns answers that wait beside a run file into its rows: those of a run whose recorder, or all of it, was killed."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

from perfkit.apis.binding import bind_api
from perfkit.decoding.clock import RunClock
from perfkit.decoding.exchange import Exchange, Reported
from perfkit.decoding.rows import Decoder, Request
from perfkit.errors import PerfkitError
from perfkit.options.arguments import Arguments
from perfkit.plugins import BoundApi
from perfkit.records import Phase
from perfkit.registry import APIS
from perfkit.runfile.owner import lives
from perfkit.runfile.pending import Record, records, segments, share_of
from perfkit.runfile.record import RunRecord
from perfkit.runfile.writer import Row, Writer
from perfkit.secrets import Scrubber, Trace, TracedScrubber

Api = Callable[[RunRecord], BoundApi | None]
"""Returns what reads the answers of a run; None where it is not to be had."""

_REQUEST: Final = tuple(each.name for each in fields(Request) if each.name != "body")
_BYTES: Final = ("wire", "body", "stamps", "ends", "kernel")
_OTHERS: Final = ("response_headers", "messages", "reported")
_PLAIN: Final = tuple(each.name for each in fields(Exchange) if each.name not in (*_BYTES, *_OTHERS))
_TEXTS: Final = ("error_kind", "error")
_MAYBE: Final = ("written", "headers", "end", "released", "status")
_FLOATS: Final = ("dns", "connect", "tls")
_AT_ONCE: Final = 500
_NONSENSE: Final = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)


class Folded(NamedTuple):
    """What became of the answers that waited: rows added, and those whose API is not to be had."""

    added: int
    left: Mapping[str, tuple[str, int]]
    """By run: the name of the API, and how many."""


def as_record(
    run_id: str,
    worker: int,
    clock: int,
    request: Request,
    body: bytes,
    packed: tuple[Any, ...],
    traces: Sequence[Trace] = (),
) -> Record:
    """Return a finished exchange, as ``Exchange.packed`` gives it, for a file beside the run file."""
    plain = dict(zip(_PACKED, packed, strict=True))
    told: dict[str, Any] = {
        "run": run_id,
        "worker": worker,
        "clock": clock,
        "traces": traces,
        **{name: getattr(request, name) for name in _REQUEST},
        "exchange": {name: plain[name] for name in _PLAIN},
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in plain["response_headers"]],
        "messages": plain["messages"],
        "reported": None if plain["reported"] is None else asdict(plain["reported"]),
    }
    return Record(told, [body, *(plain[name] for name in _BYTES)])


_PACKED: Final = (
    *(each.name for each in fields(Exchange) if each.name not in ("wire", "body", "stamps", "ends")),
    *("wire", "body", "stamps", "ends"),
)
"""The order in which ``Exchange.packed`` has its fields."""


def recover(
    path: str | Path,
    api: Api | None = None,
    scrub: Scrubber | None = None,
    share: tuple[str, int] | None = None,
    beside: str | Path | None = None,
) -> Folded:
    """Add the answers that wait beside a run file to it, those of runs that are still under way left out.

    Parameters
    ----------
    path : path
        The run file.
    api : callable, optional
        As for ``fold``.
    scrub : Scrubber, optional
        Removes the secrets of the run, where they are known; else what the journal told of them does.
    share : (str, int), optional
        The one run and worker whose answers are looked at, as its own process has ended with them.
    beside : path, optional
        The run file that they lie beside, where it is gone and ``path`` has taken its place.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    own = [each for each in segments(beside or path) if share in (None, share_of(each))]
    if not own:
        return Folded(0, {})
    writer = Writer(path)
    try:
        if share is None:
            own = [each for each in own if not _is_under_way(writer, share_of(each)[0])]
        some = {each: list(records(each)) for each in own}
        folded = _folded(writer, [record for each in some.values() for record in each], api or built_in, scrub)
    finally:
        writer.close()
    for each, read in some.items():
        if read and share_of(each)[0] not in folded.left:
            each.unlink(missing_ok=True)
    return folded


def add(path: str | Path, waiting: Iterable[Record], api: Api, scrub: Scrubber | None, *, texts: bool) -> Folded:
    """Add answers that were kept in memory to a run file, those left out that are in it.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    writer = Writer(path, texts=texts)
    try:
        return _folded(writer, waiting, api, scrub)
    finally:
        writer.close()


def _is_under_way(writer: Writer, run_id: str) -> bool:
    record, _ = writer.stored_of(run_id)
    return record is not None and record["status"] == "running" and lives(record)


def fold(path: str | Path, beside: str | Path) -> Folded:
    """Add the answers that wait beside a run file to a copy of it; they stay where they are.

    Only APIs of our own read them, as opening a file runs nobody's code.

    Parameters
    ----------
    path : path
        The copy.
    beside : path
        The run file.

    Raises
    ------
    StorageError
        The copy cannot be written.
    """
    waiting = [record for segment in segments(beside) for record in records(segment)]
    if not waiting:
        return Folded(0, {})
    writer = Writer(path)
    try:
        return _folded(writer, waiting, built_in, None)
    finally:
        writer.close()


def _folded(writer: Writer, waiting: Iterable[Record], api: Api, scrub: Scrubber | None) -> Folded:
    added, left = 0, dict[str, tuple[str, int]]()
    by_run: dict[str, list[Read]] = {}
    for record in waiting:
        if (read := _read(record)) is not None:
            by_run.setdefault(str(record.told.get("run")), []).append(read)
    for run_id, some in by_run.items():
        run, stored = writer.stored_of(run_id)
        missing = {place: each for each in some if (place := _place(each)) not in stored}
        bound = None if run is None else api(RunRecord.of(run))
        if bound is None:
            if missing:
                left[run_id] = "a run that is not in the file" if run is None else str(run.get("api")), len(missing)
            continue
        rows = list(_rows(run_id, bound, missing.values(), scrub))
        for at in range(0, len(rows), _AT_ONCE):
            writer.add_results(rows[at : at + _AT_ONCE])
        added += len(rows)
        if rows and run is not None and run["status"] == "interrupted":
            writer.settle_run(run_id)
    return Folded(added, left)


class Read(NamedTuple):
    """An answer that waited."""

    worker: int
    clock: int
    request: Request
    exchange: Exchange
    traces: tuple[Trace, ...]
    """What was told of the run's secrets."""


def _place(read: Read) -> tuple[int | None, bool]:
    """Return what tells an answer from the others of its run: its number, and whether it is of the preflight."""
    return read.request.seq, read.request.phase == "preflight"


def built_in(record: RunRecord) -> BoundApi | None:
    """Return the API of a run if it is one of ours, without a plugin or a tokenizer of the file's choosing."""
    arguments = {name: value for name, value in record.arguments.items() if name not in ("tokenizer_path", "db")}
    name = record.get("api")
    if arguments.get("parser") or arguments.get("plugins") or name not in APIS or name in APIS.own:
        return None
    with contextlib.suppress(PerfkitError, TypeError, ValueError):
        return bind_api(APIS[str(name)], Arguments.from_record(arguments))
    return None


def _rows(run_id: str, api: BoundApi, waiting: Iterable[Read], scrub: Scrubber | None) -> Iterator[Row]:
    decoders: dict[tuple[Any, ...], Decoder] = {}
    for each in waiting:
        key = each.worker, each.clock, each.traces
        if (decoder := decoders.get(key)) is None:
            known = scrub or TracedScrubber(each.traces)
            decoder = decoders[key] = Decoder(run_id, each.worker, api, RunClock(each.clock), known)
        # A stranger's record may say what no server does.
        with contextlib.suppress(*_NONSENSE):
            yield decoder.row(each.request, each.exchange)


def _read(record: Record) -> Read | None:
    """Return the worker, clock, request and exchange of a record; None where a stranger has written it."""
    told: dict[str, Any] = record.told
    worker, clock, plain = told.get("worker"), told.get("clock"), told.get("exchange")
    if not isinstance(worker, int) or not isinstance(clock, int) or not isinstance(plain, dict):
        return None
    try:
        body = _body(record.parts[0])
        of_request: dict[str, Any] = {name: told.get(name) for name in _REQUEST}
        request = Request(body=body, **of_request)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told["headers"]]
        reported = None if told.get("reported") is None else Reported(**told["reported"])
        packed = {**{name: plain[name] for name in _PLAIN}, "kernel": bytearray(record.parts[5])}
        packed |= {"response_headers": headers, "messages": told.get("messages"), "reported": reported}
        packed |= dict(zip(_BYTES[:4], record.parts[1:5], strict=True))
        if not _is_well_formed(packed, request, worker, clock):
            return None
        traces = tuple((int(length), int(check)) for length, check in told.get("traces", ()))
        exchange = Exchange.unpacked(tuple(packed[name] for name in _PACKED))
        return Read(worker, clock, request, exchange, traces)
    except _NONSENSE:
        return None


def _body(sent: bytes) -> Any:
    """Return the body of a request; None where a plugin has encoded it in a way of its own."""
    with contextlib.suppress(ValueError):
        return json.loads(sent)
    return None


def _is_well_formed(packed: Mapping[str, Any], request: Request, worker: int, clock: int) -> bool:
    numbers: list[Any] = [worker, clock]
    numbers += [packed[name] for name in _PLAIN if name not in (*_TEXTS, *_FLOATS)]
    numbers += [request.seq, request.scheduled, request.row, request.turn, request.cycle]
    texts = [*(packed[name] for name in _TEXTS), request.error, request.request_id, request.session_id, request.model]
    texts += [request.kind, *(request.own_headers.values() if isinstance(request.own_headers, dict) else ())]
    messages = packed["messages"]
    return (
        all(value is None or (isinstance(value, int) and abs(value) < 2**63) for value in numbers)
        and all(packed[name] is not None for name in _PLAIN if name not in (*_TEXTS, *_FLOATS, *_MAYBE))
        and packed["target"] >= 0
        and all(value is None or isinstance(value, str) for value in texts)
        and all(packed[name] is None or isinstance(packed[name], (int, float)) for name in _FLOATS)
        and (messages is None or (isinstance(messages, list) and all(isinstance(each, str) for each in messages)))
        and (request.body is None or isinstance(request.body, dict))
        and (request.own_headers is None or isinstance(request.own_headers, dict))
        and request.phase in get_args(Phase)
    )
