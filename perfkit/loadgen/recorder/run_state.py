"""The recorder's state of the current run, and where its prompts come from."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from time import monotonic, process_time

from perfkit.decoding.clock import RunClock
from perfkit.decoding.rows import Decoder, hidden
from perfkit.loadgen.arrivals import Share
from perfkit.loadgen.choices import Choice, drawn
from perfkit.loadgen.datasets.salt import salting
from perfkit.loadgen.recorder.requests import Maker, MakerOf, Planned, Ready, build, following, plan
from perfkit.loadgen.serialization import unpacked
from perfkit.loadgen.transport.target import Target
from perfkit.options.arguments import Arguments
from perfkit.plugins import BoundApi, bind_api
from perfkit.records import Batch, Prompt
from perfkit.runfile.writer import Row
from perfkit.secrets import Scrubber, keys_in, secrets_in, template_keys

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
    ) -> None:
        self.arguments = arguments
        self.run_id, self.share, self.record = run_id, share, record
        self.commits = Stopwatch()
        self.tickets: dict[int, Planned] = {}
        self.wanted = AHEAD
        self.ended = False
        self.first: Planned | None = None
        """The first request that was made."""
        self.stored = self.failed = self.cancelled = self.cut_off = 0
        self.committed = 0
        """Rows, the preflight's and those that were cut off included."""
        self.events_before = 0
        self.extended = 0.0
        """Seconds by which the load was made longer while it ran."""
        self.beaten = monotonic()
        self.cpu = process_time()
        self.decoder = Decoder(run_id, share.index, api, clock, scrubber(arguments, api))
        self._numbers = count()
        self._with_bodies = api.sends
        number = arguments.number if isinstance(arguments.number, int) else None
        self._plan = plan(
            groups,
            self._makers(api),
            number=number,
            preflight=arguments.preflight,
            share=share,
            salted=salting(arguments.salt, run_id),
        )

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
        made = [self._ticketed(planned) for planned in islice(self._plan, most)]
        self.ended = len(made) < most
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
    """

    def __init__(self, reading: str, want: Callable[[str], None], wait: Callable[[], None]) -> None:
        self._reading, self._want, self._wait = reading, want, wait
        self._waiting: deque[Prompt] = deque()
        self._asked = self._ended = False
        self._failure: Exception | None = None

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
