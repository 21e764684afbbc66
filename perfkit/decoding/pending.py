"""Turns answers that wait beside a run file into its rows: those of a run whose recorder, or all of it, was killed."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from perfkit.runfile.pending import Record, records, run_of, segments
from perfkit.runfile.record import RunRecord
from perfkit.runfile.writer import Row, Writer
from perfkit.secrets import Scrubber

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


class Folded(NamedTuple):
    """What became of the answers that waited: rows added, and those whose API is not to be had."""

    added: int
    left: Mapping[str, tuple[str, int]]
    """By run: the name of the API, and how many."""


def as_record(run_id: str, worker: int, clock: int, request: Request, body: bytes, packed: tuple[Any, ...]) -> Record:
    """Return a finished exchange, as ``Exchange.packed`` gives it, for a file beside the run file."""
    plain = dict(zip(_PACKED, packed, strict=True))
    told: dict[str, Any] = {
        "run": run_id,
        "worker": worker,
        "clock": clock,
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
    path: str | Path, api: Api | None = None, run_id: str | None = None, beside: str | Path | None = None
) -> Folded:
    """Add the answers that wait beside a run file to it, those of runs that are still under way left out.

    Parameters
    ----------
    path : path
        The run file.
    api : callable, optional
        As for ``fold``.
    run_id : str, optional
        The one run to be looked at, whoever writes it.
    beside : path, optional
        The run file that they lie beside, where it is gone and ``path`` has taken its place.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    known = {each: name for each in segments(beside or path) if (name := run_of(each)) == (run_id or name)}
    if not known:
        return Folded(0, {})
    writer = Writer(path)
    try:
        waiting = {name for name in known.values() if run_id or not _lives(writer, name)}
        some = {each: name for each, name in known.items() if name in waiting}
        folded = _folded(writer, [record for each in some for record in records(each)], api or built_in)
    finally:
        writer.close()
    for each, name in some.items():
        if name not in folded.left:
            each.unlink(missing_ok=True)
    return folded


def _lives(writer: Writer, run_id: str) -> bool:
    record, _ = writer.stored_of(run_id)
    return record is not None and lives(record)


def fold(path: str | Path, api: Api | None = None, beside: str | Path | None = None) -> Folded:
    """Add the answers that wait beside a run file to it; they stay where they are.

    Parameters
    ----------
    path : path
        The run file, or a copy of it.
    api : callable, optional
        Default: APIs of our own alone, as opening a file runs nobody's code.
    beside : path, optional
        The run file that they lie beside, where ``path`` is a copy.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    waiting = [record for segment in segments(beside or path) for record in records(segment)]
    if not waiting:
        return Folded(0, {})
    writer = Writer(path)
    try:
        return _folded(writer, waiting, api or built_in)
    finally:
        writer.close()


def _folded(writer: Writer, waiting: Iterable[Record], api: Api) -> Folded:
    added, left = 0, dict[str, tuple[str, int]]()
    by_run: dict[str, list[Record]] = {}
    for record in waiting:
        by_run.setdefault(str(record.told.get("run")), []).append(record)
    for run_id, some in by_run.items():
        run, stored = writer.stored_of(run_id)
        if run is None:
            continue
        bound = api(RunRecord.of(run))
        read = filter(None, map(_read, some))
        missing = {place: each for each in read if (place := _place(each)) not in stored}
        if bound is None:
            if missing:
                left[run_id] = str(run.get("api")), len(missing)
            continue
        rows = list(_rows(run_id, bound, missing.values()))
        for at in range(0, len(rows), _AT_ONCE):
            writer.add_results(rows[at : at + _AT_ONCE])
        added += len(rows)
    return Folded(added, left)


Read = tuple[int, int, Request, Exchange]
"""An answer: the worker that it came to, its clock, the request, and what came."""


def _place(read: Read) -> tuple[int | None, bool]:
    """Return what tells an answer from the others of its run: its number, and whether it is of the preflight."""
    return read[2].seq, read[2].phase == "preflight"


def built_in(record: RunRecord) -> BoundApi | None:
    """Return the API of a run if it is one of ours, without a plugin or a tokenizer of the file's choosing."""
    arguments = {name: value for name, value in record.arguments.items() if name not in ("tokenizer_path", "db")}
    name = record.get("api")
    if arguments.get("parser") or arguments.get("plugins") or name not in APIS or name in APIS.own:
        return None
    with contextlib.suppress(PerfkitError, TypeError, ValueError):
        return bind_api(APIS[str(name)], Arguments.from_mapping(arguments))
    return None


def _rows(run_id: str, api: BoundApi, waiting: Iterable[Read]) -> Iterator[Row]:
    decoders: dict[tuple[int, int], Decoder] = {}
    for worker, clock, request, exchange in waiting:
        if (decoder := decoders.get((worker, clock))) is None:
            decoder = decoders[worker, clock] = Decoder(run_id, worker, api, RunClock(clock), Scrubber([]))
        yield decoder.row(request, exchange)


def _read(record: Record) -> Read | None:
    """Return the worker, clock, request and exchange of a record; None where a stranger has written it."""
    told: dict[str, Any] = record.told
    worker, clock, plain = told.get("worker"), told.get("clock"), told.get("exchange")
    if not isinstance(worker, int) or not isinstance(clock, int) or not isinstance(plain, dict):
        return None
    try:
        body = json.loads(record.parts[0]) if record.parts[0] else None
        of_request: dict[str, Any] = {name: told.get(name) for name in _REQUEST}
        request = Request(body=body, **of_request)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told["headers"]]
        reported = None if told.get("reported") is None else Reported(**told["reported"])
        packed = {**{name: plain[name] for name in _PLAIN}, "kernel": bytearray(record.parts[5])}
        packed |= {"response_headers": headers, "messages": told.get("messages"), "reported": reported}
        packed |= dict(zip(_BYTES[:4], record.parts[1:5], strict=True))
        if not _is_well_formed(packed, request, worker, clock):
            return None
        return worker, clock, request, Exchange.unpacked(tuple(packed[name] for name in _PACKED))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
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
