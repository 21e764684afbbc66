"""Anthropic messages: typed events, content blocks, usage at both ends."""

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import (
    TEXT,
    Ask,
    Body,
    Dialect,
    Headers,
    ask,
    count_content,
    cut,
    event,
    fill,
    required,
)
from perfkit.simulator.options import Simulation


def read(request: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
    """Read a messages request; ``max_tokens`` is required there."""
    return ask(
        request,
        body,
        simulation,
        prompt_tokens=count_content(required(body, "messages")) + count_content(body.get("system")),
        stream=body.get("stream") is True,
        limit=required(body, "max_tokens"),
    )


class MessageScript:
    """The answer to one messages request: a thinking block, if any, then a text block."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._passage = ask.passage()
        self._text_index = 1 if ask.reasoning_tokens else 0
        self._text = cut(self._delta(self._text_index, {"type": "text_delta", "text": TEXT}))
        self._thinking = cut(self._delta(0, {"type": "thinking_delta", "thinking": TEXT}))

    def opening(self) -> list[bytes]:
        """Return ``message_start``, the start of the first block, and the ping that follows it."""
        message = self._message([], None, 1)
        thinking = {"type": "thinking", "thinking": "", "signature": ""}
        block = thinking if self._ask.reasoning_tokens else {"type": "text", "text": ""}
        return [_typed("message_start", message=message), self._start(0, block), _typed("ping")]

    def token(self, first: int, count: int) -> list[bytes]:
        """Return delta events; where thinking ends, those that close its block and open the text."""
        thinking = min(max(self._ask.reasoning_tokens - first, 0), count)
        if not thinking:
            return [fill(self._text, self._passage.tokens(first, count))]
        events = [fill(self._thinking, self._passage.tokens(first, thinking))]
        if first + thinking == self._ask.reasoning_tokens:
            signature = {"type": "signature_delta", "signature": f"sig_{self._ask.id}"}
            events += [self._delta(0, signature), _typed("content_block_stop", index=0)]
            events.append(self._start(1, {"type": "text", "text": ""}))
        if count > thinking:
            events.append(fill(self._text, self._passage.tokens(first + thinking, count - thinking)))
        return events

    def closing(self) -> list[bytes]:
        """Return the end of the block, ``message_delta`` with the output's usage, ``message_stop``."""
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        return [
            _typed("content_block_stop", index=self._text_index),
            _typed("message_delta", delta=delta, usage={"output_tokens": self._ask.output_tokens}),
            _typed("message_stop"),
        ]

    def whole(self) -> bytes:
        """Return the ``message`` object."""
        reasoning, length = self._ask.reasoning_tokens, self._ask.output_tokens
        content: list[Json] = [{"type": "text", "text": self._passage.text(reasoning, length)}]
        if reasoning:
            thought = {"thinking": self._passage.text(0, reasoning), "signature": f"sig_{self._ask.id}"}
            content.insert(0, {"type": "thinking", **thought})
        return orjson.dumps(self._message(content, self._stop_reason, length))

    @property
    def _stop_reason(self) -> str:
        return "max_tokens" if self._ask.finish == "length" else "end_turn"

    def _message(self, content: list[Json], stop: str | None, output_tokens: int) -> dict[str, Json]:
        cached = min(self._ask.simulation.cached_tokens or 0, self._ask.prompt_tokens)
        return {
            "id": f"msg_{self._ask.id}",
            "type": "message",
            "role": "assistant",
            "model": self._ask.model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {
                "input_tokens": self._ask.prompt_tokens - cached,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": cached,
                "output_tokens": output_tokens,
            },
        }

    def _start(self, index: int, block: dict[str, Json]) -> bytes:
        return _typed("content_block_start", index=index, content_block=block)

    def _delta(self, index: int, delta: dict[str, Json]) -> bytes:
        return _typed("content_block_delta", index=index, delta=delta)


def _typed(kind: str, **payload: Json) -> bytes:
    return event({"type": kind, **payload}, kind)


DIALECT = Dialect("messages", ("/v1/messages",), read, MessageScript)
