"""Reads what servers publish while a job runs, once a second, and stores it beside the requests.

A thread a page, in the driver's process, or in one that stands for it: never in one that measures or records. A page
that cannot be read is told once, asked for less and less often, and costs the run nothing.
"""

import os
import sqlite3
import sys
import threading
from collections import ChainMap
from collections.abc import Callable
from time import monotonic, time
from typing import Any

from perfkit.errors import PerfkitError, StorageError
from perfkit.loadgen.scraping.page import MOST_SERIES, NothingPublished, Page, Readable, Series
from perfkit.runfile.published import TOOK, UP, ServerSample, add_samples, write_apart
from perfkit.runfile.safe_file import is_logged, writing

EVERY = 1.0
"""Seconds between two looks at a page."""
LONGEST_PAUSE = 16.0
"""Seconds between two looks at one that cannot be read; the pause doubles up to it."""
PATIENCE = 0.5
"""Seconds that a look waits for others who write the file; the next one tries again."""
PARTING = 3.0
"""Seconds that the last look may hold up the end of a job."""

_UP, _TOOK = (Series(name, (), "gauge") for name in (UP, TOOK))


class Scraper:
    """Reads pages from its start to the end of the job.

    Every run is given what was published before its load and after it, however short it was, so that counters can be
    told apart at its ends.

    Parameters
    ----------
    pages : list of Readable
    tell : callable
        Takes a sentence that a person should read.
    """

    def __init__(self, pages: list[Readable], tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._path: str | None = None
        self._run_id: str | None = None
        self._begun: set[str] = set()
        self._pending: list[ServerSample] = []
        self._is_logged = False
        self._numbers: dict[tuple[str, ...], int] = {}
        self._readers = [PageReader(page, self._take, tell) for page in pages]

    def start(self) -> None:
        """Begin."""
        for reader in self._readers:
            reader.start()

    def hear(self, event: dict[str, Any]) -> None:
        """Take an event of the worker: where the file is, which run is under way, that all has ended."""
        if event["event"] in ("file", "moved"):
            self._path = event["path"]
        elif event["event"] == "ended":
            self._finish()
        elif "run_id" in event and event["run_id"] not in self._begun:  # a slow worker's last word of an earlier run
            self._run_id = event["run_id"]
            self._begun.add(self._run_id)
            self._look_now()
        elif event["event"] == "run":  # a run has ended
            self._look_now()

    def _look_now(self) -> None:
        for reader in self._readers:
            reader.look_now()

    def _finish(self) -> None:
        """Wait for the looks that are wanted, and store the rest."""
        until = monotonic() + PARTING
        for reader in self._readers:
            reader.end()
        for reader in self._readers:
            if reader.is_alive():
                reader.join(max(0.0, until - monotonic()))
        with self._lock:
            rest, self._pending = self._pending, []
        if rest and self._path is not None:
            try:
                write_apart(self._path, rest)
            except StorageError as error:
                self._tell(f"{len(rest):,} values that the server published were not stored: {error}")

    def _take(self, reader: "PageReader", page: Page | None) -> None:
        with self._lock:
            self._pending += reader.samples(self._run_id, page)
            self._write()

    def _write(self) -> None:
        """Write what is pending, unless the job has ended; what cannot be written is tried again with the next page."""
        if self._path is None or not self._pending:
            return
        new: dict[tuple[str, ...], int] = {}
        try:
            was_logged, self._is_logged = self._is_logged, is_logged(self._path)
            if was_logged and not self._is_logged:
                return  # its journal is folded: see write_apart
            with writing(self._path, PATIENCE) as file:
                later = add_samples(file, self._pending, ChainMap(new, self._numbers))
        except (PerfkitError, sqlite3.Error):
            return
        self._numbers |= new
        self._pending = later


class PageReader(threading.Thread):
    """Reads one page, and makes rows of what has changed on it."""

    def __init__(
        self, page: Readable, take: Callable[["PageReader", Page | None], None], tell: Callable[[str], None]
    ) -> None:
        super().__init__(name="perfkit-scrape", daemon=True)
        self._page, self._take, self._tell = page, take, tell
        self._wake = threading.Event()
        self._over = self._told = self._full = False
        self._is_up = self._wanted = True
        self._run_id: str | None = None
        self._last: Page | None = None
        self._written: dict[str, dict[Series, float | None]] = {}
        """What was last written of each series: of the run under way, and of the one before."""

    def look_now(self) -> None:
        """Do not wait for the next second, if there is anything to see."""
        if self._is_up:
            self._wanted = True
            self._wake.set()

    def end(self) -> None:
        """End after the look that is wanted, if one is."""
        self._over = True
        self._wake.set()

    def run(self) -> None:
        """Read until the end."""
        if sys.platform == "linux":
            # Of this thread alone, so that a load on a small machine is not disturbed by it.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        pause = EVERY
        while True:
            self._wake.clear()
            if self._over and not self._wanted:
                return
            begun, self._wanted = monotonic(), False
            page = self._read()
            self._is_up = page is not None
            self._take(self, page)
            pause = EVERY if self._is_up else min(2 * pause, LONGEST_PAUSE)
            self._wake.wait(max(0.0, begun + pause - monotonic()))

    def _read(self) -> Page | None:
        try:
            return self._page.read()
        except NothingPublished as error:
            if not self._told:
                self._told = True
                rest = "for now the run goes on without it" if self._last else "the run goes on without it"
                self._tell(f"cannot read what the server publishes at {self._page.shown}: {error}; {rest}")
            return None

    def samples(self, run_id: str | None, page: Page | None) -> list[ServerSample]:
        """Return the rows that a look makes, given the run under way."""
        before, self._last = self._last, page or self._last
        if run_id is None:
            return []
        rows: list[ServerSample] = []
        if run_id != self._run_id:
            # What was published before the load began it began with; what after the last one ended, that ended with.
            if self._run_id is not None:
                rows += self._rows(self._run_id, page)
            self._written = {run_id: {}}
            rows += self._rows(run_id, before) if before else []
            self._run_id = run_id
        return rows + self._rows(run_id, page)

    def _rows(self, run_id: str, page: Page | None) -> list[ServerSample]:
        written = self._written[run_id]
        at = page.time if page else time()
        always = {_UP: 1.0, _TOOK: page.took} if page else {_UP: 0.0}
        found: dict[Series, float | None] = {**always}
        if page is not None:
            found |= {
                series: value for series, value in page.values.items() if self._has_changed(written, series, value)
            }
            gone = written.keys() - page.values.keys() - always.keys()
            found |= {series: None for series in gone if written[series] is not None}
        written |= found
        return [ServerSample(run_id, self._page.shown, *series, at, value) for series, value in found.items()]

    def _has_changed(self, written: dict[Series, float | None], series: Series, value: float) -> bool:
        if series in written:
            known = written[series]
            return known != value and not (known != known and value != value)
        if len(written) < MOST_SERIES:
            return True
        if not self._full:
            self._full = True
            self._tell(f"{self._page.shown} keeps publishing new series; those beyond {MOST_SERIES:,} are not stored")
        return False
