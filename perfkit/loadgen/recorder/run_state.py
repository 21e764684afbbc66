"""The recorder's state of the current run, and where its prompts come from."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from time import monotonic, process_time
from typing import NamedTuple

from perfkit.decoding.clock import RunClock
from perfkit.decoding.response import Tally
from perfkit.decoding.rows import Decoder, Request, hidden
from perfkit.loadgen.arrivals import Share
from perfkit.loadgen.choices import Choice, drawn
from perfkit.loadgen.datasets.salt import salting
from perfkit.loadgen.recorder.requests import Maker, MakerOf, Mark, Planned, Ready, build, following, plan
from perfkit.loadgen.serialization import packed, unpacked
from perfkit.loadgen.transport.target import Target
from perfkit.options.arguments import Arguments
from perfkit.plugins import BoundApi, bind_api
from perfkit.records import CANCELLED, CUT_OFF, Batch, Phase, Prompt
from perfkit.runfile.writer import Row
from perfkit.secrets import Scrubber, keys_in, secrets_in, template_keys

TICKETS = 2**40
"""Requests that one recorder can number: those of the next one begin there."""
AHEAD = 1000
"""Requests kept ready at the loop."""
SLICE = 25
"""Requests made between two looks at what has come in."""


def scrubber(arguments: Arguments, api: BoundApi) -> Scrubber:
    """Return what removes the secrets of a run."""
    keys = [key for name in ("extra_args", "parameters") for key in keys_in(getattr(arguments, name))]
    keys += [*template_keys(arguments.query_template or ""), *secrets_in(arguments.proxy or "", {})]
    keys += [key for url in arguments.urls for key in secrets_in(url, {})]
    return Scrubber(secrets_in(api.url, api.headers, arguments.api_key, *keys))


def _for_each_url(api: BoundApi, urls: Sequence[str | None]) -> list[Maker]:
    """Return what makes an API's requests for each of several URLs, or for the first where that is decided later."""
    several = len(api.arguments.urls) > 1
    each = [api if url is None or not several else api.at(url) for url in urls]
    frames = [Target.of(one.url, dict(one.headers)).request for one in each]
    return [
        Maker(api, frame, None if several and url is None else at)
        for at, (frame, url) in enumerate(zip(frames, urls, strict=True))
    ]


@dataclass(slots=True)
class Stopwatch:
    """Longest of the times that were taken, in seconds: ``with`` takes one."""

    longest: float = 0.0
    _began: float = 0.0

    def __enter__(self) -> None:
        self._began = monotonic()

    def __exit__(self, *_: object) -> None:
        self.longest = max(self.longest, monotonic() - self._began)


class Counted(NamedTuple):
    """What the rows of a run that are committed have shown: whoever goes on with the run begins with it."""

    taken: int
    """Messages of the loop that need not be said again."""
    committed: int
    stored: int
    failed: int
    cancelled: int
    cut_off: int
    events_before: int
    tally: Tally
    longest_commit: float
    cpu: float
    said: tuple[str, ...]


class Kept(NamedTuple):
    """Prompts of the driver that are not all sent yet."""

    batches: tuple[Batch, ...]
    used: int
    """How many prompts came between the first batch and the others: they were sent, and are gone."""
    asked: bool
    """The driver was asked for more."""


class Restart(NamedTuple):
    """What a recorder needs to know that goes on with a run which another one has begun."""

    number: int
    """How many recorders the run has had."""
    mark: Mark | None
    """How far its plan had come, as far as the loop has the requests."""
    counted: Counted | None
    wanted: int
    """Requests that the loop has room for."""
    extended: float
    prompts: Kept
    """Of an iterable that is read once."""


class Sent(NamedTuple):
    """A request that another recorder had made, as the loop has it."""

    seq: int | None
    position: int
    error: str | None
    body: bytes
    told: tuple[object, ...]
    rest: bytes

    @classmethod
    def of(cls, ready: Ready, *, answered: bool) -> "Sent":
        """Return it; ``answered`` tells that the turn which follows has been made."""
        return cls(ready.seq, ready.position, ready.error, ready.sent_body, ready.told, b"" if answered else ready.rest)

    def request(self, phase: Phase, scheduled: int | None) -> Request:
        """Return what its row tells of it; what a plugin has encoded in a way of its own is not told."""
        try:
            body = json.loads(self.body) if self.body else None
        except ValueError:
            body = None
        return Request(self.seq, body if isinstance(body, dict) else None, self.error, phase, scheduled, *self.told)  # type: ignore[arg-type]


class RunState:
    """The run under way, as the recorder sees it: its plan, the requests that are out, and what has been stored.

    Parameters
    ----------
    arguments : Arguments
        Of one point.
    run_id : str
    api : BoundApi
        Makes the bodies.
    groups : iterator of sequences of Prompt
        Prompts, and conversations.
    clock : RunClock
    share : Share
        Which part of the plan is this worker's.
    record : dict
        The run's row.
    restart : Restart, optional
        Another recorder has begun it.
    """

    def __init__(
        self,
        arguments: Arguments,
        run_id: str,
        api: BoundApi,
        groups: Iterator[Sequence[Prompt]],
        clock: RunClock,
        share: Share,
        record: Row,
        restart: Restart | None = None,
    ) -> None:
        self.arguments = arguments
        self.run_id, self.share, self.record = run_id, share, record
        self.commits = Stopwatch()
        self.tickets: dict[int, Planned] = {}
        self.restarted = restart is not None
        self.wanted = AHEAD if restart is None else restart.wanted
        self.ended = False
        self.mark = None if restart is None else restart.mark
        """How far the plan has come."""
        self.may_be_stored = self.restarted
        """Answers that come now may have been committed, and nobody could say so any more."""
        self.first: Planned | None = None
        """The first request that was made."""
        self.stored = self.failed = self.cancelled = self.cut_off = 0
        self.committed = 0
        """Rows, the preflight's and those that were cut off included."""
        self.events_before = 0
        self.taken = 0
        """Messages of the loop that say what is to be kept."""
        self.extended = 0.0 if restart is None else restart.extended
        """Seconds by which the load was made longer while it ran."""
        self.beaten = self.looked = monotonic()
        self.cpu = process_time()
        self.decoder = Decoder(run_id, share.index, api, clock, scrubber(arguments, api))
        self._numbers = count(TICKETS * (restart.number if restart else 0))
        self._with_bodies = api.sends
        number = arguments.number if isinstance(arguments.number, int) else None
        self._maker_of = self._makers(api)
        self._plan = plan(
            groups,
            self._maker_of,
            number=number,
            preflight=arguments.preflight,
            share=share,
            salted=salting(arguments.salt, run_id),
            mark=self.mark,
        )
        if restart is not None and restart.counted is not None:
            self._go_on_from(restart.counted)

    def _go_on_from(self, counted: Counted) -> None:
        self.taken, self.committed, self.stored, self.failed, self.cancelled, self.cut_off = counted[:6]
        self.events_before, self.commits.longest = counted.events_before, counted.longest_commit
        self.decoder = replace(self.decoder, tally=counted.tally)
        self.cpu -= counted.cpu

    def counted(self, said: Sequence[str]) -> Counted:
        """Return what the rows that are committed have shown, and what is said of the run."""
        counts = (self.taken, self.committed, self.stored, self.failed, self.cancelled, self.cut_off)
        cpu = process_time() - self.cpu
        return Counted(*counts, self.events_before, self.decoder.tally, self.commits.longest, cpu, tuple(said))

    def count(self, rows: Sequence[Row]) -> None:
        """Count rows that are committed."""
        loaded = [row for row in rows if row["phase"] != "preflight"]
        # What the order to stop cut off says nothing about the server: neither an answer nor a failure.
        counted = [row for row in loaded if row["error_kind"] != CUT_OFF]
        self.cut_off += len(loaded) - len(counted)
        self.stored += len(counted)
        cancelled = sum(row["error_kind"] == CANCELLED for row in counted)
        self.cancelled += cancelled
        self.failed += sum(not row["success"] for row in counted) - cancelled
        self.committed += len(rows)

    def _makers(self, api: BoundApi) -> MakerOf:
        """Return what makes the requests: each of several models has one by weight, each of several URLs its turn."""
        arguments, models, urls = self.arguments, self.arguments.models, self.arguments.urls
        if len(models) == len(urls) == 1:
            (only,) = _for_each_url(api, [None])
            return lambda position: only
        by_load = arguments.balance == "least-in-flight"
        bound = [
            # What they sign with is scrubbed like the run's.
            replace(bind_api(type(api.api), arguments.replace(model=name)), keys=api.keys)
            for name, _ in models
        ]
        makers = [_for_each_url(each, [None] if by_load else urls) for each in bound]
        choice = Choice(
            [(each, weight) for each, (_, weight) in zip(makers, models, strict=True)], arguments.prompt_seed, "model"
        )

        def maker_of(position: int) -> Maker:
            having = choice.of(position)
            return having[position % len(having)]

        return maker_of

    def next_requests(self, most: int) -> list[Ready]:
        """Make up to ``most`` requests; fewer when the plan ends, which sets ``ended``."""
        found = list(islice(self._plan, most))
        self.ended = len(found) < most
        planned = [each for each in found if each is not None]
        made = [self._ticketed(each) for each in planned]
        self.mark = planned[-1].mark if planned else self.mark
        self.first = self.first or next((planned for planned in self.tickets.values() if planned.body), None)
        self.wanted -= len(made)
        return made

    def follow_up(self, planned: Planned, output: str | None) -> Ready | None:
        """Make the next turn of a conversation; None when the answer failed, which ends it."""
        if output is None:
            return None
        made = build(following(planned, output), planned.maker) if planned.maker is not None else None
        if made is None:
            return None
        made.seq = None if planned.seq is None else planned.seq + 1
        made.turns = planned.turns[1:]
        return self._ticketed(made)

    def planned_of(self, sent: Sent) -> Planned:
        """Return a request that another recorder had made, as far as its conversation goes on."""
        prompt, turns = unpacked(sent.rest) if sent.rest else (Prompt(""), ())
        maker = self._maker_of(sent.position)
        return Planned(sent.seq, prompt, None, b"", position=sent.position, maker=maker, turns=turns)

    def unsent(self) -> list[Sequence[Prompt]]:
        """Return the prompts and conversations whose requests were made and not sent."""
        return [planned.group for planned in self.tickets.values() if planned.group]

    def _ticketed(self, planned: Planned) -> Ready:
        ticket = next(self._numbers)
        self.tickets[ticket] = planned
        body = planned.body if self._with_bodies else None
        ready = Ready(
            ticket,
            planned.seq,
            planned.position,
            planned.data,
            planned.prompt.due,
            planned.prompt.delay,
            planned.error,
            body,
            bool(planned.turns),
            self._cancel_after(planned.seq),
            planned.request().besides,
            (*keys_in(planned.body or {}), *hidden(planned.prompt.headers or {}), *self.decoder.api.keys),
            planned.maker.target if planned.maker is not None else 0,
            packed((planned.prompt, planned.turns)) if planned.turns else b"",
        )
        planned.data = b""  # the loop has it now
        return ready

    def _cancel_after(self, seq: int | None) -> float | None:
        """Return when the client of a request leaves (s); None for one that stays, and for the preflight request."""
        share, seed = self.arguments.cancel, self.arguments.arrival_seed
        if not share or seq is None or drawn(seed, "cancel", seq) >= share:
            return None
        return self.arguments.cancel_after


class Pump:
    """One reading of the driver's prompts, which come over the channel in batches that the recorder asks for.

    Parameters
    ----------
    reading : str
        Its name; the driver begins anew for each.
    want : callable
        Asks the driver for a batch of a reading.
    wait : callable
        Waits until the driver has said something.
    kept : Kept, optional
        What another recorder had been given of them.
    """

    def __init__(
        self, reading: str, want: Callable[[str], None], wait: Callable[[], None], kept: Kept | None = None
    ) -> None:
        self._reading, self._want, self._wait = reading, want, wait
        self._waiting: deque[Prompt] = deque()
        self._asked = self._ended = False
        self._failure: Exception | None = None
        if kept is not None:
            for number, batch in enumerate(kept.batches):
                self.add(batch)
                self._waiting += [Prompt("")] * (kept.used if number == 0 else 0)  # passed over
            self._asked = kept.asked

    def enough(self) -> bool:
        """Tell whether a slice can be made without waiting; ask for more when it cannot."""
        if self._ended or len(self._waiting) > SLICE:
            return True
        self._ask()
        return False

    def add(self, batch: Batch) -> None:
        """Take a batch, unless it is of an earlier reading."""
        if batch.reading != self._reading:
            return
        self._waiting += unpacked(batch.packed)
        self._asked, self._ended, self._failure = False, batch.last, batch.failure

    def __iter__(self) -> Iterator[Prompt]:
        while True:
            while not self._waiting and not self._ended:  # skipped and dealt prompts can use up more than a slice
                self._ask()
                self._wait()
            if not self._waiting:
                if self._failure is not None:
                    raise self._failure
                return
            yield self._waiting.popleft()

    def _ask(self) -> None:
        if not self._asked:
            self._asked = True
            self._want(self._reading)
