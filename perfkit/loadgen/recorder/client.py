"""The event loop's end of the recorder channel: ready requests come in, finished exchanges go out."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Protocol

from perfkit import errors
from perfkit.decoding.exchange import Exchange
from perfkit.errors import PerfkitError, WorkerLost
from perfkit.loadgen.arrivals import Share
from perfkit.loadgen.recorder.journal import Journal, record_of
from perfkit.loadgen.recorder.priority import LOOK_EVERY, PriorityController
from perfkit.loadgen.recorder.process import Message
from perfkit.loadgen.recorder.requests import Mark, Ready
from perfkit.loadgen.recorder.run_state import AHEAD, TICKETS, Counted, Kept, Restart, Sent
from perfkit.options.arguments import Arguments
from perfkit.records import Batch, Phase, Pumped
from perfkit.runfile.pending import Record
from perfkit.runfile.writer import Row
from perfkit.secrets import Scrubber
from perfkit.validity.evidence import Evidence

AT_ONCE = 16
"""Answers handed over before the loop looks again for what has come."""
AFTER_A_BURST = 0.004
"""Seconds from the first of some answers until any is handed over: users who were served together send again first."""
HELD_AT_MOST = 30_000_000
"""Nanoseconds from which an answer waits no longer: whoever kills the loop takes what it holds with it."""


DEATHS = 3
"""Recorders in a row that may die without getting on until the run ends."""
GONE = "the process that stores results exited unexpectedly"


class LoopChannel(Protocol):
    """The loop's end of the channel: sending never blocks, messages are handed to a callback."""

    def send(self, message: Message) -> None:
        """Send a message, or keep it until the channel takes it."""

    @property
    def waiting(self) -> int:
        """Bytes that the recorder has not taken yet."""

    def close(self) -> None:
        """Hang up."""


class Successor(Protocol):
    """Starts another recorder where one has died."""

    async def ended(self) -> str:
        """Wait until the one that has died is gone; return how it ended."""

    async def start(self) -> LoopChannel:
        """Start another one; return the channel to it."""


class RecorderClient:
    """What the loop knows of the recorder: requests that are ready, and what has been stored.

    Parameters
    ----------
    want_prompts : callable, optional
        Called when the recorder wants more prompts from the driver's iterable, with the name of their reading.
    stand : callable, optional
        Lets a recorder that gives way to everybody go first (True), or not (False).
    remark : callable, optional
        Called with a sentence about the dataset, or a plugin.
    moved : callable, optional
        Called with the path of the file that takes the place of the run file where that is gone.
    successor : Successor, optional
        Starts another recorder where one has died; without it the run ends.
    pumped : {"again", "once"}, optional
        Prompts come from the driver's iterable.
    """

    def __init__(
        self,
        want_prompts: Callable[[str], None] | None = None,
        stand: Callable[[bool], None] | None = None,
        remark: Callable[[str], None] | None = None,
        moved: Callable[[str], None] | None = None,
        successor: Successor | None = None,
        pumped: Pumped | None = None,
    ) -> None:
        self.stored = self.failed = 0
        self.last_error: str | None = None
        self.failure: PerfkitError | None = None
        self._gone = False
        self.told_to_stop = False
        self.extended = 0.0
        """Seconds by which the load goes on for longer than it was given."""
        self.may_extend: Callable[[], bool] = lambda: False
        """Tells whether the load can go on for longer: none of it has ended yet."""
        self.ahead = 0
        """Nanoseconds by which the clock here is ahead of the one that the run file's times are on."""
        self._starved = self._empty_since = 0
        self.changed = asyncio.Event()
        """Set whenever the recorder has said something that someone may wait for."""
        self._channel: LoopChannel | None = None
        self.path: Path | None = None
        """The run file."""
        self._opened: str | None = None
        """The same as it was given."""
        self._report_moved = moved or (lambda path: None)
        self.waits_beside: Path | None = None
        """The run file beside which answers of the last run may wait: nobody has said that all are committed."""
        self.copy: Path | None = None
        """The file that has taken the place of the run file, which is gone."""
        self.begun: tuple[str, int] | None = None
        """The last run, and the number of this worker."""
        self.scrub: Scrubber | None = None
        """Removes its secrets."""
        self._journal: Journal | None = None
        self.restarts = 0
        """How often another recorder took the place of one that had died, in the last run."""
        self.lost = False
        """The recorder has died, and no other one has taken its place."""
        self._successor, self._pumped = successor, pumped
        self._starting: asyncio.Task[None] | None = None
        self._number = 0
        """Of the recorder, in this run."""
        self._deaths = 0
        """Recorders in a row that died without getting on."""
        self._starts_up = self._owed = self._wanted = False
        """What this recorder has yet to do, or it has not got on: to go on, to store an answer, to make a request."""
        self._run: tuple[Any, ...] | None = None
        """What the run under way began with."""
        self._said: deque[Message] = deque()
        """What another recorder is to be told again: answers above all, until they are committed."""
        self._taken = 0
        """How much of it is no longer in it."""
        self._followed: set[int] = set()
        """Tickets of answers in it whose next turn has come."""
        self._counted: Counted | None = None
        self._mark: Mark | None = None
        self._batches: list[Batch] = []
        self._used_prompts = 0
        self._prompts_asked = False
        self._want_prompts = want_prompts
        self._priority = PriorityController(stand) if stand is not None else None
        self._heard = self._delivered = 0
        self._held: deque[tuple[int, Ready, Phase, int | None, Exchange]] = deque()
        """Answers that are not handed over yet, and since when."""
        self._ready: deque[Ready] = deque()
        self._asked = 0
        self._exhausted = False
        self._follow_ups: dict[int, Ready | None] = {}
        self._answers: deque[tuple[asyncio.Future[None], Message]] = deque()
        """Answers that are waited for, and what was asked."""
        self._words: dict[str, Callable[..., None]] = {
            "requests": self._on_requests,
            "follow up": self._on_follow_up,
            "stored": self._on_stored,
            "failure": self._on_failure,
            "stop": self._on_stop,
            "extend": self._on_extend,
            "remark": remark or (lambda sentence: None),
            "moved": self._on_moved,
            "want prompts": self._on_want_prompts,
            "opened": self._on_answer,
            "goes on": self._on_goes_on,
            "ahead": self._on_ahead,
            "flushed": self._on_answer,
            "finished": self._on_finished,
        }

    def connect(self, channel: LoopChannel) -> None:
        """Say which channel it is."""
        self._channel = channel

    def stand_by(self, stand: Callable[[bool], None] | None) -> None:
        """Say what lets another recorder go first, or not."""
        if self._priority is not None and stand is not None:
            self._priority.change(stand)

    # Requests.

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def full(self) -> bool:
        """True when everything asked for has come."""
        return self._exhausted or self._asked <= 0

    @property
    def ended(self) -> bool:
        """True when every request of the plan has been taken."""
        return self._exhausted and not self._ready

    @property
    def left(self) -> int | None:
        """How many requests, or conversations, the plan still has; None while that is not known."""
        return len(self._ready) if self._exhausted else None

    def due_within(self, offset: float) -> int | None:
        """Count the requests of a recorded trace that are due by then (s of its time); None where none is recorded."""
        if not self._ready or self._ready[0].due is None:
            return None
        return sum(1 for _ in takewhile(lambda ready: (ready.due or 0) <= offset, self._ready))

    def take(self) -> Ready | None:
        """Return the next request, or None when none is ready: the plan has ``ended``, or the recorder is behind."""
        if not self._ready:
            if not self._exhausted:
                self._empty_since = self._empty_since or perf_counter_ns()
            return None
        if not self._exhausted and len(self._ready) + self._asked <= AHEAD // 2:
            wanted = AHEAD - len(self._ready) - self._asked
            self._asked += wanted
            self._send("more", wanted)
        return self._ready.popleft()

    @property
    def starved(self) -> float:
        """Seconds of this run during which a request was wanted and none was ready."""
        waiting = perf_counter_ns() - self._empty_since if self._empty_since else 0
        return (self._starved + waiting) / 1e9

    async def follow_up(self, ready: Ready, stopped: Callable[[], bool]) -> Ready | None:
        """Return the next turn of a conversation once its answer was read; None when it has ended."""
        while ready.ticket not in self._follow_ups and self.failure is None and not stopped():
            await self.wait_for_change()
        return self._follow_ups.pop(ready.ticket, None)

    async def wait_for_change(self, limit: float | None = None) -> None:
        """Wait until the recorder has said something, for at most so many seconds."""
        self.changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self.changed.wait()

    # What the loop tells.

    async def open(self, path: str) -> None:
        """Open the run file."""
        await self._ask("open", path)
        self.path, self._opened = Path(path).absolute(), path

    async def compare_clocks(self) -> None:
        """Learn ``ahead`` anew."""
        await self._ask("ahead")

    def begin(
        self,
        arguments: Arguments,
        run_id: str,
        clock_offset: int,
        share: Share,
        more: Row,
        scrub: Scrubber | None = None,
    ) -> None:
        """Begin a run: the recorder stores its record and makes its requests.

        With ``scrub``, which removes its secrets, its answers are kept beside the run file until they are committed.
        """
        self._hand_over_all()
        self.stored = self.failed = self._delivered = self._starved = self._empty_since = 0
        self._ready.clear()
        self._follow_ups.clear()
        self._asked, self._exhausted, self.last_error, self.extended = AHEAD, False, None, 0.0
        self.begun, self.scrub = (run_id, share.index), scrub
        self._run = (arguments, run_id, clock_offset, share, more)
        self._said.clear()
        self._followed.clear()
        self._taken, self._counted, self._mark, self.restarts, self._number = 0, None, None, 0, 0
        if scrub is not None and self.path is not None:
            self._journal = Journal(self.path, run_id, share.index, clock_offset, scrub)
        self._send("begin", *self._run)

    def deliver(self, ready: Ready, phase: Phase, scheduled: int | None, exchange: Exchange) -> None:
        """Hand over a finished exchange; returns at once.

        When many answers end together, what is to be sent and read goes first: at 1,024 streams that end and begin
        anew at once, 0.8 to 6.8 % of the chunks shared a read with the next one before, and 0.01 to 2.7 % since.
        """
        self._delivered += phase != "preflight"
        self._held.append((perf_counter_ns(), ready, phase, scheduled, exchange))
        if ready.more:
            self._hand_over_all()  # a user waits for what is made of it
        elif len(self._held) == 1:
            asyncio.get_running_loop().call_later(AFTER_A_BURST, self._hand_over)

    def _hand_over(self) -> None:
        """Hand over some of the answers held; the others when the loop has read what came meanwhile."""
        old = perf_counter_ns() - HELD_AT_MOST
        for number in range(len(self._held)):
            if number >= AT_ONCE and self._held[0][0] > old:
                asyncio.get_running_loop().call_soon(self._hand_over)
                return
            self._hand_over_one()

    def _hand_over_all(self) -> None:
        while self._held:
            self._hand_over_one()

    def _hand_over_one(self) -> None:
        _, ready, phase, scheduled, exchange = self._held.popleft()
        packed = exchange.packed()
        if self._journal is not None:
            try:
                self._journal.append(ready, phase, scheduled, packed)
            except OSError as error:
                self._journal.leave()
                self._journal = None
                self.remark(f"answers are not kept beside the run file any more ({error}): a kill may cost some")
        self._tell(("done", ready, phase, scheduled, packed))

    def samples(self, rows: list[tuple[float, str, float]]) -> None:
        """Hand over samples: Unix time, name, value."""
        self._tell(("samples", rows))

    def remark(self, sentence: str) -> None:
        """Hand over a sentence to be kept with the run."""
        self._tell(("remark", sentence))

    def _tell(self, message: Message) -> None:
        """Hand over what is to be kept, and keep it until that is so."""
        self._said.append(message)
        self._say(message)

    def _say(self, message: Message) -> None:
        if message[0] != "done":
            self._send(*message)
            return
        _, ready, *what = message
        if ready.ticket >= self._number * TICKETS:
            self._send("done", ready.ticket, *what)
        else:  # of a request that this recorder has not made
            self._send("done", ready.ticket, *what, Sent.of(ready, answered=ready.ticket in self._followed))

    def prompts(self, batch: Batch) -> None:
        """Pass on prompts of the driver's iterable."""
        if self._pumped == "once":
            self._prompts_asked = False
            self._batches.append(batch)
        self._send("prompts", batch)

    async def flush(self) -> None:
        """Wait until everything handed over so far is committed."""
        self._hand_over_all()
        await self._ask("flush")

    async def finish(self, fields: Row, evidence: Evidence) -> None:
        """Close the run's record."""
        self._hand_over_all()
        await self._ask("finish", fields, evidence)

    async def look_after(self) -> None:
        """Adjust the recorder's priority every 100 ms until cancelled."""
        if self._priority is None:
            return
        try:
            while True:
                due = perf_counter_ns() + int(LOOK_EVERY * 1e9)
                await asyncio.sleep(LOOK_EVERY)
                lag = (perf_counter_ns() - due) / 1e9
                owes = self._delivered > self.stored or bool(self._empty_since)
                self._priority.look(lag, self._heard, delivered=self._delivered, stored=self.stored, owes=owes)
        finally:
            self._priority.end()

    @property
    def waiting(self) -> int:
        """Bytes on their way to the recorder."""
        return self._channel.waiting if self._channel else 0

    def close(self) -> None:
        """Hang up: the recorder commits and ends."""
        if self._starting is not None:
            self._starting.cancel()
        self._hand_over_all()
        if self._channel is not None:
            self._channel.close()
        if self._journal is not None:
            self._journal.leave()
            self.waits_beside = self.path

    def _send(self, *message: Any) -> None:
        # A recorder that cannot write the file still puts what has ended into its spill file.
        if self._channel is not None and not self._gone:
            self._channel.send(message)

    async def _ask(self, *message: Any) -> None:
        """Send a message and wait for its answer."""
        if self.failure is not None:
            raise self.failure
        answer = asyncio.get_running_loop().create_future()
        self._answers.append((answer, message))
        self._send(*message)
        await answer

    # What the recorder says.

    def on_message(self, message: Message) -> None:
        """Take a message of the recorder."""
        self._words[message[0]](*message[1:])
        self._heard += 1
        self.changed.set()

    def on_end(self) -> None:
        """Note that the recorder is gone, and start another one."""
        self._gone = True
        if self.failure is not None or self._successor is None:
            self._give_up(f"{GONE}; what it stored is kept")
            return
        self._starting = asyncio.get_running_loop().create_task(self._restart(self._successor))

    def _give_up(self, why: str) -> None:
        self.lost = True
        self._on_failure("WorkerLost", why)
        self.changed.set()

    async def _restart(self, successor: Successor) -> None:
        """Start another recorder, and tell it where to go on."""
        self._deaths = self._deaths + 1 if self._starts_up or self._owed or self._wanted else 1
        how = await successor.ended()
        if self._deaths >= DEATHS:
            self._give_up(
                f"{GONE} {DEATHS} times in a row without getting on ({how}): something in this run ends it every time, "
                "such as a plugin; what had come is kept"
            )
            return
        try:
            channel = await successor.start()
        except OSError as error:
            self._give_up(f"{GONE} ({how}), and no other can be started: {error}; what had come is kept")
            return
        self._number += 1
        self._starts_up = True
        self.connect(channel)
        if self._opened is None:
            self._gone = False
            self._ask_again()
            return
        run = None
        if self._run is not None:
            self.restarts += 1
            self._asked = max(0, AHEAD - len(self._ready))
            kept = Kept(tuple(self._batches), self._used_prompts, self._prompts_asked)
            run = (*self._run, Restart(self._number, self._mark, self._counted, self._asked, self.extended, kept))
        self._owed, self._wanted = any(each[0] == "done" for each in self._said), run is not None and not self.full
        channel.send(("go on", self._opened, run))

    def _on_goes_on(self) -> None:
        """Tell a recorder that has taken the place of another one what that had not stored."""
        self._gone = self._starts_up = False
        for message in self._said:
            self._say(message)
        self._ask_again()
        if self.restarts:
            self._words["remark"](self.said_of_restarts)

    def unstored(self) -> list[Record]:
        """Return the answers that no recorder has told to be committed."""
        if self._run is None:
            return []
        _, run_id, clock, share, _ = self._run
        return [record_of(run_id, share.index, clock, *message[1:]) for message in self._said if message[0] == "done"]

    @property
    def said_of_restarts(self) -> str:
        """What is kept with a run whose recorder has died."""
        times = "once" if self.restarts == 1 else f"{self.restarts} times"
        return (
            f"the process that stores results died and was started again {times}: no answer is lost, and requests that "
            "were due meanwhile may have been late, which the verdict takes into account"
        )

    def _ask_again(self) -> None:
        for _, message in self._answers:
            self._send(*message)

    def _on_requests(self, requests: list[Ready], ended: bool, mark: Mark | None = None) -> None:
        self._mark = mark or self._mark
        self._wanted = False
        self._drop_prompts()
        if self._empty_since and (requests or ended):
            # That there are no more is learnt late, and keeps nobody waiting for a request.
            self._starved += perf_counter_ns() - self._empty_since if requests else 0
            self._empty_since = 0
        self._ready += requests
        self._asked -= len(requests)
        self._exhausted = ended

    def _drop_prompts(self) -> None:
        """Forget prompts whose requests have all come; the first batch may hold one that was put off."""
        while self._mark is not None and len(self._batches) > 1:
            used = self._used_prompts + self._batches[1].count
            if self._batches[0].count + used > self._mark.drawn:
                return
            self._used_prompts = used
            del self._batches[1]

    def _on_follow_up(self, ticket: int, ready: Ready | None) -> None:
        self._follow_ups[ticket] = ready
        self._followed.add(ticket)

    def _on_stored(
        self, stored: int, failed: int, error: str | None, committed: int, counted: Counted | None = None
    ) -> None:
        self.stored, self.failed = stored, failed
        if counted is not None:
            self._counted, self._owed = counted, False
            while self._taken < counted.taken and self._said:
                message = self._said.popleft()
                self._taken += 1
                if message[0] == "done":
                    self._followed.discard(message[1].ticket)
        if self._journal is not None:
            self._journal.stored(committed)
        self.last_error = error or self.last_error

    def _on_failure(self, kind: str, text: str) -> None:
        known: type[PerfkitError] = getattr(errors, kind, WorkerLost)
        self.failure = self.failure or known(text)
        while self._answers:
            answer, _ = self._answers.popleft()
            if not answer.done():
                answer.set_exception(self.failure)

    def _on_stop(self) -> None:
        self.told_to_stop = True

    def _on_extend(self, seconds: float) -> None:
        if self.may_extend():
            self.extended = seconds
            self._tell(("extended", seconds))

    def _on_moved(self, path: str) -> None:
        self.copy = Path(path)
        self._report_moved(path)

    def _on_want_prompts(self, reading: str) -> None:
        self._prompts_asked = True
        if self._want_prompts is not None:
            self._want_prompts(reading)

    def _on_answer(self) -> None:
        answer, _ = self._answers.popleft() if self._answers else (None, ())  # a failure has answered them all
        if answer is not None and not answer.done():
            answer.set_result(None)

    def _on_ahead(self, ahead: int) -> None:
        self.ahead = ahead
        self._on_answer()

    def _on_finished(self, stored: int, failed: int) -> None:
        self.stored, self.failed = stored, failed
        self._run = None
        self._said.clear()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._on_answer()
