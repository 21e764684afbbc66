"""Bodies built ahead, on a thread, so that nothing is built when a request is due."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

from perfkit.apis.base import as_json
from perfkit.errors import PerfkitError, PluginFailure
from perfkit.plugins import BoundApi
from perfkit.records import Json, Phase, Prompt

AHEAD = 1000


@dataclass(slots=True)
class Planned:
    """One request of the plan, ready to be sent: ``data`` is the whole of it as bytes.

    ``error`` says why it cannot be sent (the plugin raised); such a request becomes a failed row.
    """

    seq: int | None
    prompt: Prompt
    body: dict[str, Json] | None
    data: bytes
    error: str | None = None
    phase: Phase = "steady"
    scheduled: int | None = None


def plan(prompts: Iterable[Prompt], api: BoundApi, request: Callable[[bytes], bytes]) -> Iterator[Planned]:
    """Make requests of prompts, numbered from 0; what the plugin skips gets no number.

    Parameters
    ----------
    prompts : iterable of Prompt
    api : BoundApi
        Builds the bodies.
    request : callable
        Makes the whole request of a body's bytes.
    """
    seq = 0
    for prompt in prompts:
        try:
            body = api.build(prompt)
        except PluginFailure as error:
            yield Planned(seq, prompt, None, b"", error=str(error))
        else:
            if body is None:
                continue
            yield Planned(seq, prompt, body, request(as_json(body)))
        seq += 1


def with_preflight(requests: Iterator[Planned]) -> tuple[Planned | None, Iterator[Planned]]:
    """Take the preflight request off a plan, and return it and the plan that remains.

    Its prompt moves to the end of the plan, so that a run which does not use up its dataset sends no prompt that
    the server has just seen. Conversations and traces keep their order.
    """
    first = next(requests, None)
    if first is None:
        return None, iter(())
    preflight = replace(first, seq=None, phase="preflight")
    if first.prompt.session_id is not None or first.prompt.due is not None:
        return preflight, chain([first], requests)
    return preflight, _renumbered(chain(requests, [first]))


def _renumbered(requests: Iterator[Planned]) -> Iterator[Planned]:
    for seq, planned in enumerate(requests):
        planned.seq = seq
        yield planned


class LookAhead:
    """Keeps up to ``ahead`` requests ready, refilling on a thread when half are gone.

    Parameters
    ----------
    requests : iterator of Planned
        Only that thread iterates it.
    number : int, optional
        Stop after this many.
    ahead : int
        Requests kept ready.
    """

    def __init__(self, requests: Iterator[Planned], number: int | None = None, ahead: int = AHEAD) -> None:
        self.exhausted = False
        self.failure: PerfkitError | None = None
        self.taken = 0
        self.starved = 0
        self._requests = islice(requests, number)
        self._ready: deque[Planned] = deque()
        self._ahead = ahead
        self._low = threading.Event()
        self._low.set()
        self._full = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._fill, name="perfkit-lookahead", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._ready)

    def wait_full(self, timeout: float) -> bool:
        """Wait until it is full or the plan ends, at most ``timeout`` seconds; tell whether it is."""
        return self._full.wait(timeout)

    def take(self) -> Planned | None:
        """Return the next request, or None when none is ready: the plan has ended, or see ``exhausted``."""
        try:
            planned = self._ready.popleft()
        except IndexError:
            if not self.exhausted:
                self.starved += 1
            return None
        self.taken += 1
        if len(self._ready) < self._ahead // 2 and not self._low.is_set():
            self._low.set()
        return planned

    @property
    def ended(self) -> bool:
        """True when every request has been taken."""
        return self.exhausted and not self._ready

    def close(self) -> None:
        """Stop building."""
        self._closed = True
        self._low.set()

    def _fill(self) -> None:
        try:
            while not self._closed:
                self._low.wait()
                self._low.clear()
                if not self._top_up():
                    break
        except PerfkitError as error:  # a dataset that breaks ends the plan; the engine tells
            self.failure = error
        finally:
            self.exhausted = True
            self._full.set()

    def _top_up(self) -> bool:
        """Build until full; tell whether there may be more."""
        while len(self._ready) < self._ahead and not self._closed:
            planned = next(self._requests, None)
            if planned is None:
                return False
            self._ready.append(planned)
        self._full.set()
        return True
