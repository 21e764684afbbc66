"""Decodes and stores, on a thread of its own: the loop that measures never touches sqlite."""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, time

from perfkit.engine.decode import Decoder
from perfkit.engine.lookahead import Planned
from perfkit.errors import StorageError
from perfkit.store.writer import Row, Writer
from perfkit.transport.exchange import Exchange

COMMIT_ROWS = 64
COMMIT_EVERY = 0.1
HEARTBEAT_EVERY = 1.0

Order = Callable[["Sink"], None]


class Sink:
    """Takes exchanges in, commits rows: whenever nothing waits, after 64 rows, and at least every 100 ms.

    Parameters
    ----------
    path : Path
        The run file; opened at once, so that a file that cannot be written fails before the first request.

    Raises
    ------
    StorageError
        The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.stored = 0
        self.failed = 0
        self.failure: StorageError | None = None
        self.told_to_stop = False
        self.writer: Writer | None = None
        self.run_id: str | None = None
        self._rows: list[Row] = []
        self._queue: SimpleQueue[Order | None] = SimpleQueue()
        self._opened = threading.Event()
        self._beaten = 0.0
        self._thread = threading.Thread(target=self._work, args=(path,), name="perfkit-sink")
        self._thread.start()
        self._opened.wait()
        if self.failure is not None:
            raise self.failure

    @property
    def backlog(self) -> int:
        """Number of exchanges that wait."""
        return self._queue.qsize()

    def put(self, decoder: Decoder, planned: Planned, exchange: Exchange) -> None:
        """Hand over an exchange; returns at once."""
        self._queue.put(lambda sink: sink._rows.append(decoder.row(planned, exchange)))

    def write(self, order: Callable[[Writer], None]) -> None:
        """Hand over something else to write; returns at once."""
        self._queue.put(lambda sink: sink._apply(order))

    def flush(self) -> None:
        """Wait until everything handed over so far is committed."""
        done = threading.Event()

        def order(sink: "Sink") -> None:
            sink._commit()
            done.set()

        self._queue.put(order)
        done.wait()

    def close(self) -> None:
        """Commit what is left, fold the journal and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _apply(self, order: Callable[[Writer], None]) -> None:
        if self.writer is not None and self.failure is None:
            order(self.writer)

    def _work(self, path: Path) -> None:
        try:
            self.writer = Writer(path)
        except StorageError as error:
            self.failure = error
            return
        finally:
            self._opened.set()
        working = True
        while working:
            working = self._take(self._queue.get())
            until = monotonic() + COMMIT_EVERY
            while working and len(self._rows) < COMMIT_ROWS and monotonic() < until:
                try:
                    working = self._take(self._queue.get_nowait())
                except Empty:
                    break
            self._commit()
        self.writer.close()

    def _take(self, order: Order | None) -> bool:
        """Carry out one order; False when there will be no more."""
        if order is None:
            return False
        try:
            order(self)
        except StorageError as error:
            self.failure = self.failure or error
        return True

    def _commit(self) -> None:
        rows, self._rows = self._rows, []
        if self.writer is None or not rows:
            return
        try:
            self.writer.add_results(rows)
            if self.run_id is not None and monotonic() - self._beaten > HEARTBEAT_EVERY:
                self._beaten = monotonic()
                self.writer.update_run(self.run_id, heartbeat=time())
                self.told_to_stop = self.told_to_stop or self.writer.told_to_stop(self.run_id)
        except StorageError as error:
            self.failure = self.failure or error
            return
        counted = [row for row in rows if row["phase"] != "preflight"]
        self.stored += len(counted)
        self.failed += sum(not row["success"] for row in counted)
