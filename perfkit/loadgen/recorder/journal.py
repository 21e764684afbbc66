"""Keeps each finished exchange beside the run file until its row is committed: whoever is killed, it is not lost."""

import contextlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from perfkit.decoding.pending import as_record
from perfkit.decoding.rows import Request
from perfkit.loadgen.recorder.requests import Ready
from perfkit.records import Phase
from perfkit.runfile.pending import SEGMENTS, Record, packed, segment, write
from perfkit.secrets import Scrubber, Trace

_TEXTS = 3
"""Parts of a record that may hold a secret: the request's body, what came with its framing, the answer's body."""
SEGMENT = 16 << 20
"""Bytes from which the other segment is written to, once all that it holds is committed."""


def record_of(
    run_id: str,
    worker: int,
    clock: int,
    ready: Ready,
    phase: Phase,
    scheduled: int | None,
    exchange: tuple[Any, ...],
    traces: Sequence[Trace] = (),
) -> Record:
    """Return a finished exchange and its request as a record, secrets included."""
    request = Request(ready.seq, None, ready.error, phase, scheduled, *ready.told)
    return as_record(run_id, worker, clock, request, ready.sent_body, exchange, traces)


class Journal:
    """One worker's answers of one run, in two files that are written in turn.

    Parameters
    ----------
    path : Path
        The run file.
    run_id : str
    worker : int
    clock : int
        Unix time minus ``perf_counter`` of the run, ns.
    scrub : Scrubber
        Secrets are overwritten before anything is appended.
    """

    def __init__(self, path: Path, run_id: str, worker: int, clock: int, scrub: Scrubber) -> None:
        self._run_id, self._worker, self._clock, self._scrub = run_id, worker, clock, scrub
        self._places = [segment(path, run_id, worker, index) for index in range(SEGMENTS)]
        self._files: dict[int, int] = {}
        self._current = self._end = self._appended = self._stored = 0
        self._generation = 1
        self._last = [0] * SEGMENTS
        """The number of the last answer in each segment."""

    def append(self, ready: Ready, phase: Phase, scheduled: int | None, exchange: tuple[Any, ...]) -> None:
        """Write down one exchange.

        Raises
        ------
        OSError
            The disk is full, or its folder is gone.
        """
        scrub = _scrubber(self._scrub.values | set(ready.keys)) if ready.keys else self._scrub
        run = self._run_id, self._worker, self._clock
        record = record_of(*run, ready, phase, scheduled, exchange, scrub.traces)
        if scrub:
            record = _blanked(scrub, record)
        self._choose()
        self._end += write(self._file(), packed(record, self._generation), self._end)
        self._appended += 1
        self._last[self._current] = self._appended

    def stored(self, count: int) -> None:
        """Note how many answers of the run are committed, in the order in which they were appended."""
        self._stored = count

    def close(self) -> None:
        """Remove the files: all answers are committed."""
        self.leave()
        for place in self._places:
            with contextlib.suppress(OSError):
                place.unlink(missing_ok=True)

    def leave(self) -> None:
        """Close the files, and let them lie."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def _choose(self) -> None:
        other = (self._current + 1) % SEGMENTS
        if self._end > SEGMENT and self._last[other] <= self._stored:
            # Over what is there: to cut a file off takes longer than to write it.
            self._current, self._end = other, 0
            self._generation += 1

    def _file(self) -> int:
        if self._current not in self._files:
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._files[self._current] = os.open(self._places[self._current], flags, 0o600)
        return self._files[self._current]


def _blanked(scrub: Scrubber, record: Record) -> Record:
    """Overwrite secrets in a record, so that nothing in it moves."""
    told = orjson.dumps(record.told, default=str)
    blank = scrub.blanked(told)
    texts, stamps = record.parts[:_TEXTS], record.parts[_TEXTS:]
    return Record(orjson.loads(blank) if blank != told else record.told, [*map(scrub.blanked, texts), *stamps])


@lru_cache(maxsize=8)
def _scrubber(values: frozenset[str]) -> Scrubber:
    return Scrubber(values)
