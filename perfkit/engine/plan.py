"""The plan of a run: its prompts made into requests, numbered, ready to be sent."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import NamedTuple

from perfkit.apis.base import as_json
from perfkit.errors import PluginFailure
from perfkit.plugins import BoundApi
from perfkit.records import Json, Phase, Prompt


@dataclass(slots=True)
class Planned:
    """One request of the plan: ``data`` is the whole of it as bytes.

    ``error`` says why it cannot be sent (the plugin raised); such a request becomes a failed row.
    """

    seq: int | None
    prompt: Prompt
    body: dict[str, Json] | None
    data: bytes
    error: str | None = None
    phase: Phase = "steady"
    scheduled: int | None = None


class Ready(NamedTuple):
    """What the loop needs of a planned request: its ticket (the desk keeps the rest), number, bytes and due time.

    ``body`` is there only for plugins that send by themselves; ``due`` only in recorded traces (s after the start).
    """

    ticket: int
    seq: int | None
    data: bytes
    due: float | None
    error: str | None
    body: dict[str, Json] | None


def plan(
    prompts: Iterable[Prompt],
    api: BoundApi,
    request: Callable[[bytes], bytes],
    *,
    number: int | None = None,
    preflight: bool = False,
) -> Iterator[Planned]:
    """Make requests of prompts, numbered from 0; what the plugin skips gets no number.

    Parameters
    ----------
    prompts : iterable of Prompt
    api : BoundApi
        Builds the bodies.
    request : callable
        Makes the whole request of a body's bytes.
    number : int, optional
        End after this many, the preflight request not counted.
    preflight : bool
        Yield a request of its own phase first.
    """
    requests = _built(prompts, api, request)
    if preflight:
        first, requests = _with_preflight(requests)
        if first is not None:
            yield first
    for seq, planned in enumerate(islice(requests, number)):
        planned.seq = seq
        yield planned


def _built(prompts: Iterable[Prompt], api: BoundApi, request: Callable[[bytes], bytes]) -> Iterator[Planned]:
    for prompt in prompts:
        try:
            body = api.build(prompt)
        except PluginFailure as error:
            yield Planned(None, prompt, None, b"", error=str(error))
        else:
            if body is not None:
                yield Planned(None, prompt, body, request(as_json(body)))


def _with_preflight(requests: Iterator[Planned]) -> tuple[Planned | None, Iterator[Planned]]:
    """Take the preflight request off a plan, and return it and the plan that remains.

    Its prompt moves to the end of the plan, so that a run which does not use up its dataset sends no prompt that
    the server has just seen. Conversations and traces keep their order.
    """
    first = next(requests, None)
    if first is None:
        return None, iter(())
    ordered = first.prompt.session_id is not None or first.prompt.due is not None
    remaining = chain([first], requests) if ordered else chain(requests, [first])
    return replace(first, phase="preflight"), remaining
