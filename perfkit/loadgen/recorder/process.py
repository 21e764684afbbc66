"""The recorder beside the loop: makes requests before they are due, reads and files answers after they have ended.

It works in a process of its own (a thread where there is none), so that nothing it does, and no user's plugin, can
hold the interpreter while a chunk arrives: measured with both on one interpreter, a 200 us answer to decode made
other chunks up to 10 ms late. It alone stores rows: in the run file, or on another machine through the driver. When
the loop's end of the channel closes, it commits what it has and ends.
"""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from time import monotonic, perf_counter_ns, process_time, time
from typing import Any, Protocol

from perfkit.decoding.clock import RunClock
from perfkit.decoding.exchange import BODY, WIRE, Exchange
from perfkit.errors import MISTAKES, PerfkitError, StorageError, UsageError
from perfkit.loadgen.arrivals import Share
from perfkit.loadgen.datasets import open_dataset, prompts
from perfkit.loadgen.recorder.requests import conversations
from perfkit.loadgen.recorder.run_record import run_row
from perfkit.loadgen.recorder.run_remarks import RunRemarks
from perfkit.loadgen.recorder.run_state import SLICE, Pump, Restart, RunState, Sent
from perfkit.options.arguments import Arguments
from perfkit.plugins import bind_api
from perfkit.records import Batch, Phase, Prompt, Pumped
from perfkit.runfile.remote import RemoteStore
from perfkit.runfile.writer import Row, Writer
from perfkit.validity.calibrated_rate import as_calibrated
from perfkit.validity.evidence import STORED, Evidence, fraction
from perfkit.validity.verdict import verdict

COMMIT_ROWS = 64
COMMIT_BYTES = WAITING_BYTES = 2**21
"""Of rows until they are committed, and of answers that wait to be read here: the loop has those that follow."""
COMMIT_EVERY = 0.05
"""Seconds that a row may wait for others: a commit for each answer would cost more than reading it."""
HEARTBEAT_EVERY = 1.0
LOOK_EVERY = 0.5
"""Seconds between two looks whether the run file is there: within a second the load must be over that nobody keeps."""
TAKEN_AT_ONCE = 256
"""Messages taken in between two steps."""
URGENT = frozenset({"more", "prompts"})
SAID_AGAIN = frozenset({"done", "samples", "remark", "extended"})
"""What the loop says to the next recorder if this one dies before it has told that it is stored."""

Message = tuple[Any, ...]
"""A word and what belongs to it."""
OpenStore = Callable[[str], Writer | RemoteStore]


class Channel(Protocol):
    """The recorder's end of the channel to the loop."""

    def receive(self, wait: float | None) -> Message | None:
        """Return the next message, None when none has come within ``wait`` seconds; ``wait=None`` waits on."""

    def send(self, message: Message) -> None:
        """Send a message to the loop; one that is gone hears nothing, and ``receive`` says so in the end."""


class Recorder:
    """Serves one sweep.

    Parameters
    ----------
    channel : Channel
        To the loop.
    api_class : type
        The API plugin.
    pumped : {"again", "once"}, optional
        Prompts come over the channel, from the driver's iterable; of one that is read once a run goes on where the
        one before it ended.
    open_store : callable
        Opens the run file.
    """

    def __init__(
        self, channel: Channel, api_class: type, pumped: Pumped | None = None, open_store: OpenStore = Writer
    ) -> None:
        self._channel, self._api_class, self._pumped, self._open_store = channel, api_class, pumped, open_store
        self._pump: Pump | None = None
        self._rest: Iterator[Sequence[Prompt]] = iter(())
        """Of prompts that are read once: those that no run has sent."""
        self._writer: Writer | RemoteStore | None = None
        self._run: RunState | None = None
        self._rows: list[Row] = []
        self._row_bytes = 0
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._hung_up = False
        self._oldest = 0.0
        self._told_to_stop = False
        self._remarks = RunRemarks(lambda sentence: channel.send(("remark", sentence)), api_class)
        self._problem: PerfkitError | None = None
        """What went wrong first."""
        self._words: dict[str, Callable[..., None]] = {
            "open": self._open,
            "ahead": self._ahead,
            "begin": self._begin,
            "go on": self._go_on,
            "prompts": self._prompts,
            "more": self._more,
            "done": self._done,
            "samples": self._samples,
            "extended": self._extended,
            "remark": self._remarks.keep,
            "flush": self._flush,
            "finish": self._finish,
        }

    def work(self) -> None:
        """Serve until the loop hangs up; then commit, mark a run still under way interrupted, and fold the file."""
        try:
            while self._waiting or not self._hung_up:
                self._take_in(self._patience())
                if self._waiting:
                    self._handle(self._waiting.popleft())
                full = len(self._rows) >= COMMIT_ROWS or self._row_bytes >= COMMIT_BYTES
                if full or (self._rows and self._due_in() <= 0):
                    self._guarded(self._commit)
                if self._run is not None and self._look_in() <= 0:
                    self._guarded(self._look)
                # Turn about, so that answers that wait to be read keep no user from the next request.
                if self._can_prepare():
                    self._guarded(self._prepare)
        except EOFError:
            pass
        finally:  # a fault of ours, too, must not cost the rows that are here
            self._guarded(self._leave)
            self._remarks.stop()

    def _patience(self) -> float | None:
        """Return how long the recorder may wait for the loop's next word: until something is due, or for ever."""
        if self._waiting or self._can_prepare():
            return 0.0
        due = [self._due_in()] if self._rows else []
        due += [self._look_in()] if self._run is not None else []
        return max(0.0, min(due)) if due else None

    def _take_in(self, wait: float | None) -> None:
        """Take in what the loop has said; orders for requests and prompts overtake answers that wait to be read."""
        for _ in range(TAKEN_AT_ONCE):
            if self._waiting_bytes >= WAITING_BYTES:
                return
            try:
                message = None if self._hung_up else self._channel.receive(wait=wait)
            except EOFError:
                self._hung_up = True
                return
            if message is None:
                return
            if message[0] in URGENT:
                self._handle(message)
            else:
                self._waiting.append(message)
                self._waiting_bytes += _answer_bytes(message)
            wait = 0.0

    def _take_in_prompts(self) -> None:
        """Wait for what the loop says next: what a plan does that has run out of prompts in the middle of a slice."""
        self._take_in(None)
        if self._hung_up:
            raise EOFError

    def _handle(self, message: Message) -> None:
        if message[0] in SAID_AGAIN and self._run is not None:
            self._run.taken += 1
        if message[0] == "done":
            self._waiting_bytes -= _answer_bytes(message)
            # In place of what it is made of: an answer may be large, and is let go of as soon as it was read.
            message = (*message[:4], Exchange.unpacked(message[4]), *message[5:])
        self._guarded(self._words[message[0]], *message[1:])

    def _guarded(self, step: Callable[..., None], *content: Any) -> None:
        """Do a step; what goes wrong is told to the loop, which decides."""
        try:
            step(*content)
        except PerfkitError as error:
            self._problem = self._problem or error
            self._channel.send(("failure", type(error).__name__, str(error)))

    # What the loop says.

    def _open(self, path: str) -> None:
        self._writer = self._open_store(path)
        self._channel.send(("opened",))

    def _ahead(self) -> None:
        self._channel.send(("ahead", self._store.ahead()))

    def _go_on(self, path: str, begun: Message | None) -> None:
        """Take the place of a recorder that has died, in the run that it had begun where there is one."""
        self._writer = self._open_store(path)
        self._writer.ahead()
        if begun is not None:
            self._begin(*begun)
        self._channel.send(("goes on",))

    def _begin(
        self,
        arguments: Arguments,
        run_id: str,
        clock_offset: int,
        share: Share,
        more: Row,
        restart: Restart | None = None,
    ) -> None:
        self._remarks.begin(restart.counted.said if restart and restart.counted else ())
        api = bind_api(self._api_class, arguments)
        urls = [api.url] if len(arguments.urls) == 1 else [api.at(url).url for url in arguments.urls]
        row = {**run_row(arguments, run_id=run_id, urls=urls, model=arguments.model_name), **more}
        if share.index == 0:  # the first worker speaks for all
            begin = self._store.begin_run if restart is None else self._store.go_on_with_run
            begin({**row, "clock_offset": clock_offset})
        groups: Iterator[Sequence[Prompt]]
        if api.generation == "llmuses":
            if len(arguments.models) > 1:
                raise UsageError(f"this plugin makes its bodies by itself: give one model, got {arguments.model_name}")
            if arguments.salt != "none":
                raise UsageError(f"this plugin makes its bodies by itself, and salts none; got salt={arguments.salt!r}")
            groups = conversations(Prompt(body, row=row) for row, body in enumerate(api.bodies(arguments)))
        elif self._pumped is None:
            groups = conversations(self._dataset(arguments, share, row))
        else:
            groups = self._pumped_groups(run_id, restart)
        self._run = RunState(arguments, run_id, api, groups, RunClock(clock_offset), share, row, restart)

    def _dataset(self, arguments: Arguments, share: Share, row: Row) -> Iterator[Prompt]:
        """Read the dataset, and note in the run's record which file it is."""
        dataset = open_dataset(arguments)
        self._remarks.dataset = dataset.remarks if share.index == 0 else None
        row["dataset_hash"] = dataset.hash
        if share.index == 0 and dataset.hash is not None:
            self._store.update_run(str(row["run_id"]), dataset_hash=dataset.hash)
        yield from prompts(arguments, dataset)

    def _pumped_groups(self, run_id: str, restart: Restart | None) -> Iterator[Sequence[Prompt]]:
        """Return the driver's prompts: from their beginning, or what earlier runs have left of those read once."""
        if self._pump is None or self._pumped == "again":
            reading = f"{run_id}+{restart.number}" if restart is not None and self._pumped == "again" else run_id
            kept = restart.prompts if restart is not None and self._pumped == "once" else None
            self._pump = Pump(
                reading, lambda reading: self._channel.send(("want prompts", reading)), self._take_in_prompts, kept
            )
            self._rest = conversations(self._pump)
        return self._rest

    def _prompts(self, batch: Batch) -> None:
        if self._pump is not None:
            self._pump.add(batch)
            self._remarks.pumped = batch.remarks

    def _more(self, wanted: int) -> None:
        self._current.wanted += wanted

    def _done(
        self, ticket: int, phase: Phase, scheduled: int | None, exchange: Exchange, sent: Sent | None = None
    ) -> None:
        run = self._current
        if sent is None:
            planned = run.tickets.pop(ticket)
            planned.phase, planned.scheduled = phase, scheduled
            request = planned.request()
        else:
            planned, request = run.planned_of(sent), sent.request(phase, scheduled)
        row = run.decoder.row(request, exchange)
        # Those that another recorder has committed are the first that the loop says again.
        run.may_be_stored = run.may_be_stored and self._store.has_result(run.run_id, request.seq)
        if run.may_be_stored:
            run.count([row])
            self._tell_stored([row])
        else:
            if not self._rows:
                self._oldest = monotonic()
            self._rows.append(row)
            self._row_bytes += len(str(row["response_messages"] or "")) + len(str(row["output_text"] or ""))
        if phase == "preflight":  # before the load: no part of its event rate
            run.events_before = run.decoder.tally.tokens
            run.decoder.tally.compressed.clear()
        if planned.turns:
            answered = str(row["output_text"] or "") if row["success"] else None
            self._channel.send(("follow up", ticket, run.follow_up(planned, answered)))

    def _samples(self, rows: list[tuple[float, str, float]]) -> None:
        run_id, worker = self._current.run_id, self._current.share.index
        self._store.add_samples((run_id, worker, moment, name, value) for moment, name, value in rows)
        self._beat()  # answers may be minutes apart

    def _extended(self, more: float) -> None:
        """Note that the load goes on for longer: the loop has found that it can."""
        run = self._run
        if run is not None and run.arguments.duration is not None:
            self._store.update_run(run.run_id, duration=run.arguments.duration + more)
            self._remarks.keep(f"the load was extended while it ran, by {more:g} s in all")

    def _flush(self) -> None:
        self._commit()
        self._channel.send(("flushed",))

    def _finish(self, fields: Row, seen: Evidence) -> None:
        """Close a run: what the loop knows and what the answers showed make its verdict."""
        run = self._current
        self._commit()
        if run.restarted and self._store.has_ended(run.run_id, run.share.index, run.share.count):
            self._end_run(run)  # another recorder has died between its last commit and its last word
            return
        self._samples([(time(), "desk_cpu_seconds", process_time() - run.cpu)])
        evidence = self._with_answers(run, fields, seen)
        known = [(name, getattr(evidence, name)) for name in STORED]
        self._samples([(time(), name, value) for name, value in known if value is not None])
        told = verdict(evidence)
        self._keep_remarks(run)
        self._store.merge_run(
            run.run_id,
            {
                **fields,
                "heartbeat": time(),
                "dataset_hash": run.record.get("dataset_hash"),
                "succeeded": run.stored - run.failed - run.cancelled,
                "failed": run.failed,
                "cancelled": run.cancelled,
                "verdict": told.level if run.stored else None,
                "reasons": json.dumps(told.reasons, ensure_ascii=False),
            },
            *(run.share.index, run.share.count),
        )
        self._end_run(run)

    def _end_run(self, run: RunState) -> None:
        if self._pumped == "once":
            self._rest = chain(run.unsent(), self._rest)
        self._run = None
        self._channel.send(("finished", run.stored, run.failed))

    def _with_answers(self, run: RunState, fields: Row, seen: Evidence) -> Evidence:
        """Return what was seen of the client, with what the answers and the run's own record say."""
        tally, repeats = run.decoder.tally, self._store.cached_repeats(run.run_id)
        is_alone = run.share.count == 1  # of several workers, one may fail where others do not
        events = tally.tokens - run.events_before
        return replace(
            seen,
            commit=run.commits.longest or None,
            connect_failures=fraction(tally.unconnected, seen.requests or 0),
            failed=fraction(run.failed, run.stored - run.cancelled) if is_alone else None,
            censored_first=fraction(tally.first_censored, tally.first),
            censored_gaps=fraction(tally.gaps_censored, tally.gaps),
            gaps=tally.gaps,
            calibrated=as_calibrated(events, fields.get("start_time"), fields.get("end_time")),
            governor=json.loads(str(run.record["host"])).get("governor"),
            **(repeats.evidence if repeats else {}),
        )

    def _leave(self) -> None:
        if self._writer is None:
            return
        self._commit()
        # Of a fault here the loop decides: another recorder may go on with the run.
        if self._hung_up and self._run is not None and not self._taken_back(self._run):
            run = self._run
            fields: Row = {"status": "interrupted", "end_time": run.decoder.clock.unix(perf_counter_ns())}
            fields["problem"] = str(self._problem) if self._problem else None
            succeeded = run.stored - run.failed - run.cancelled
            counts = {"succeeded": succeeded, "failed": run.failed, "cancelled": run.cancelled}
            counts["sent"] = run.stored + run.cut_off
            self._keep_remarks(run)
            self._writer.merge_run(run.run_id, {**fields, **counts}, run.share.index, run.share.count)
        self._writer.close()

    def _taken_back(self, run: RunState) -> bool:
        """Take back a run that a mistake ended before anything came; of several workers the driver does."""
        return isinstance(self._problem, MISTAKES) and run.share.count == 1 and self._store.discard_run(run.run_id)

    # What the recorder does meanwhile.

    def _can_prepare(self) -> bool:
        run = self._run
        if run is None or run.ended or run.wanted <= 0 or self._hung_up:
            return False
        return self._pump is None or self._pump.enough()

    def _prepare(self) -> None:
        run = self._current
        is_first = run.first is None
        requests = run.next_requests(min(SLICE, run.wanted))
        if is_first and run.first is not None and run.share.index == 0:
            self._remarks.say_of_options(run.arguments, run.first.body or {})
        self._remarks.say_of_dataset()
        if requests or run.ended:
            self._channel.send(("requests", requests, run.ended, run.mark))

    def _commit(self) -> None:
        rows, self._rows, self._row_bytes = self._rows, [], 0
        if rows:
            run = self._current
            with run.commits:
                self._store.add_results(rows)
            run.count(rows)
            self._tell_stored(rows)
        self._beat()

    def _tell_stored(self, rows: list[Row]) -> None:
        run = self._current
        counted = run.counted(self._remarks.said)
        self._channel.send(("stored", run.stored, run.failed, _first_error(rows), run.committed, counted))

    def _keep_remarks(self, run: RunState) -> None:
        sentences = self._remarks.end(run.decoder.tally.compressed)
        if sentences and run.share.index == 0:  # of several workers the first speaks for all
            self._store.update_run(run.run_id, remarks=json.dumps(sentences, ensure_ascii=False))

    def _beat(self) -> None:
        """Show once a second that the run lives, and look whether its file holds an order to stop."""
        run = self._run
        if run is None or monotonic() - run.beaten < HEARTBEAT_EVERY:
            return
        run.beaten = monotonic()
        self._store.update_run(run.run_id, heartbeat=time())
        stop, more = self._store.orders(run.run_id)
        if more != run.extended and run.arguments.duration is not None:
            run.extended = more
            self._channel.send(("extend", more))
        if stop and not self._told_to_stop:
            self._told_to_stop = True
            self._channel.send(("stop",))

    def _look(self) -> None:
        """Look whether the run file is there; if not, all goes into another one."""
        self._current.looked = monotonic()
        if (copy := self._store.check_file()) is not None:
            self._channel.send(("moved", copy))
            raise StorageError(f"the run file was deleted or replaced during the run; what was measured is in {copy}")

    def _look_in(self) -> float:
        """Return in how many seconds to look whether the run file is there."""
        return self._current.looked + LOOK_EVERY - monotonic()

    def _due_in(self) -> float:
        """Return in how many seconds the rows at hand are to be committed."""
        return self._oldest + COMMIT_EVERY - monotonic()

    @property
    def _store(self) -> Writer | RemoteStore:
        if self._writer is None:
            raise StorageError("no run file is open")
        return self._writer

    @property
    def _current(self) -> RunState:
        if self._run is None:
            raise StorageError("no run is under way")
        return self._run


def _answer_bytes(message: Message) -> int:
    """Return how large the answer in a message is: what came with its framing, and its body."""
    return len(message[4][WIRE]) + len(message[4][BODY]) if message[0] == "done" else 0


def _first_error(rows: list[Row]) -> str | None:
    return next((str(row["error"]) for row in rows if row["error"]), None)
