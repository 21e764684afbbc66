"""Builds the requests of a run ahead of time, numbered and ready to send."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple

from perfkit.decoding.rows import Request
from perfkit.errors import PluginFailure
from perfkit.loadgen.arrivals import WHOLE, Share
from perfkit.loadgen.datasets.salt import Salted
from perfkit.loadgen.datasets.shapes import is_header
from perfkit.plugins import BoundApi
from perfkit.records import Json, Phase, Prompt

Frame = Callable[[bytes, dict[str, str]], bytes]
"""Makes the whole request of a body's bytes and the headers that belong to them."""


class Maker(NamedTuple):
    """What makes a request of a prompt: an API, bound to a model, and what frames its body for a target."""

    api: BoundApi
    frame: Frame
    target: int | None = 0
    """Which of the URLs it goes to; None: whichever has the fewest requests in flight."""


MakerOf = Callable[[int], Maker]
"""Which of several makes the requests of a conversation, or of a prompt alone, by its place among the arrivals."""


class Mark(NamedTuple):
    """How far a plan has come: the prompts that it has used up, its next number, and its next place."""

    drawn: int = 0
    seq: int = 0
    position: int = 0


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
    position: int = 0
    """Where it stands among the arrivals: conversations count once."""
    maker: Maker | None = None
    """What made it, and makes the turns that follow."""
    turns: tuple[Prompt, ...] = ()
    """Of a conversation: the turns that follow, asked after this one's answer."""
    group: Sequence[Prompt] = ()
    """The prompts that sending it uses up: all of a conversation's with its first turn, none with later ones."""
    mark: Mark | None = None
    """How far the plan has come with it; None for a later turn."""

    def request(self) -> Request:
        """Return what its row tells of it."""
        prompt = self.prompt
        return Request(
            self.seq,
            self.body,
            self.error,
            self.phase,
            self.scheduled,
            prompt.row,
            prompt.request_id,
            prompt.session_id,
            prompt.turn,
            prompt.cycle,
            self.maker.api.arguments.model_name if self.maker is not None else None,
            prompt.headers,
            prompt.kind,
        )


class Ready(NamedTuple):
    """What the loop needs of a planned request: its ticket (the recorder keeps the rest), number, place and bytes.

    ``body`` is there only for plugins that send by themselves; ``due`` only in recorded traces (s after the start).
    ``delay`` is the think time before it (s) where it has one of its own.
    ``more`` says that the conversation goes on: the recorder makes its next turn of this one's answer.
    ``target`` is which of the URLs it goes to, None where that is decided when it is sent.
    ``cancel_after`` is when its client closes the connection (s after it was sent), None for one that stays.
    ``told`` is ``Request.besides``, and ``keys`` are the secrets in its own body: for the journal.
    ``rest`` is what the recorder needs to go on with its conversation, for one that has not made it.
    """

    ticket: int
    seq: int | None
    position: int
    data: bytes
    due: float | None
    delay: float | None
    error: str | None
    body: dict[str, Json] | None
    more: bool
    cancel_after: float | None
    told: tuple[Any, ...] = ()
    keys: tuple[str, ...] = ()
    target: int | None = 0
    rest: bytes = b""

    @property
    def sent_body(self) -> bytes:
        """Its body as it is sent; of a plugin that sends by itself, what JSON can tell of it."""
        return self.data.partition(b"\r\n\r\n")[2] if self.body is None else _plain(self.body)


def _plain(body: Any) -> bytes:
    return json.dumps(body, default=lambda value: f"<{type(value).__name__}>", skipkeys=True).encode()


def plan(
    groups: Iterator[Sequence[Prompt]],
    maker_of: MakerOf,
    *,
    number: int | None = None,
    preflight: bool = False,
    share: Share = WHOLE,
    salted: Salted = lambda prompt, _: prompt,
    mark: Mark | None = None,
) -> Iterator[Planned | None]:
    """Make requests of prompts, numbered from 0; from ``mark`` on, where another recorder had come so far.

    What the plugin skips gets no number, unless several workers share the plan: then its number is left out, so that
    all of them count alike. Of a conversation the first turn is made here and carries the others, whose numbers are
    kept for them. No more is taken of ``groups`` than is needed. None stands for prompts that are passed over.
    """
    if preflight:
        first, groups = _with_preflight(groups, maker_of(0), salted)
        if first is not None and share.index == 0 and mark is None:
            first.mark = Mark()
            yield first
    drawn, (end, seq, position) = 0, mark or Mark()
    while drawn < end and (passed := next(groups, None)) is not None:
        drawn += len(passed)
        yield None
    while (number is None or seq < number) and (group := next(groups, None)) is not None:
        drawn += len(group)
        planned = build(salted(group[0], position), maker_of(position)) if share.mine(position) else None
        if planned is not None:
            planned.seq, planned.position, planned.group = seq, position, group
            planned.turns = tuple(group[1 : None if number is None else number - seq])
            planned.mark = Mark(drawn, seq + len(group), position + 1)
            yield planned
        if planned is not None or share.count > 1:
            seq += len(group)
            position += 1


def conversations(prompts: Iterable[Prompt]) -> Iterator[list[Prompt]]:
    """Yield prompts apart, and those in a row that share a ``session_id`` together: the turns of one conversation."""
    for session_id, turns in groupby(prompts, key=attrgetter("session_id")):
        if session_id is not None:
            yield list(turns)
        else:
            for prompt in turns:
                yield [prompt]


def build(prompt: Prompt, maker: Maker) -> Planned | None:
    """Make the request of one prompt, None if the plugin skips it."""
    api = maker.api
    try:
        body = api.build(prompt)
        if body is None or api.sends:
            if prompt.headers:
                raise PluginFailure("a plugin that sends by itself sends no headers of single records; leave them out")
            return None if body is None else Planned(None, prompt, body, b"", maker=maker)
        data, headers = api.encode(body)
        if prompt.headers:
            headers = {**_checked(prompt.headers), **headers}
    except PluginFailure as error:
        return Planned(None, prompt, None, b"", error=str(error), maker=maker)
    return Planned(None, prompt, body, maker.frame(data, headers), maker=maker)


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Refuse what cannot stand in the head of a request: a dataset of a person's own may give anything."""
    for name, value in headers.items():
        if not (isinstance(name, str) and isinstance(value, str) and is_header(name, value)):
            raise PluginFailure(f"the header {str(name)[:40]!r} of a prompt must have a name and a text on one line")
    return headers


def following(planned: Planned, output: str) -> Prompt:
    """Return the next turn of a conversation: all that was said, the answer, and what is new."""
    turn = planned.turns[0]
    talk = [*_said(planned.prompt.content), {"role": "assistant", "content": output}, *_said(turn.content)]
    # A turn that is a body (it limits its own answer) stays one.
    content = {**turn.content, "messages": talk} if isinstance(turn.content, dict) else talk
    # Records that are a turn each may not say which.
    return replace(turn, content=content, turn=max(turn.turn, planned.prompt.turn + 1))


def _said(content: Json) -> list[Json]:
    if isinstance(content, dict):
        content = content.get("messages", content.get("prompt", ""))
    return content if isinstance(content, list) else [{"role": "user", "content": content}]


def _with_preflight(
    groups: Iterator[Sequence[Prompt]], maker: Maker, salted: Salted
) -> tuple[Planned | None, Iterator[Sequence[Prompt]]]:
    """Make the preflight request of the first prompt; return it, and all prompts.

    Its prompt moves to the end, so that a run which does not use up its dataset sends no prompt that the server has
    just seen. Conversations and traces keep their order.
    """
    for group in groups:
        first = group[0]
        planned = build(salted(first, None), maker)
        if planned is None:
            continue
        planned.phase = "preflight"
        if first.session_id is not None or first.due is not None:
            return planned, chain([group], groups)
        return planned, chain(groups, [group])
    return None, groups
