"""Anthropic messages: typed events, content blocks, usage at both ends."""

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import (
    TEXT,
    Ask,
    Body,
    Dialect,
    Headers,
    Script,
    Wanted,
    count_content,
    cut,
    event,
    fill,
    required,
)


def read(body: Body, headers: Headers) -> Wanted:
    """Read a messages request; ``max_tokens`` is required there."""
    return Wanted(
        count_content(required(body, "messages")) + count_content(body.get("system")),
        limit=required(body, "max_tokens"),
        stream=body.get("stream") is True,
    )


class MessageScript(Script):
    """The answer to one messages request: a thinking block, if any, then a text block."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._passage = ask.passage()
        self._signature = f"sig_{ask.id}"
        self._stop_reason = "max_tokens" if ask.finish == "length" else "end_turn"
        self._text_index = 1 if ask.reasoning_tokens else 0
        self._text_delta = cut(self._delta(self._text_index, {"type": "text_delta", "text": TEXT}))
        self._thinking_delta = cut(self._delta(0, {"type": "thinking_delta", "thinking": TEXT}))

    def opening(self) -> list[bytes]:
        """Return ``message_start``, the start of the first block, and the ping that follows it."""
        message = self._message([], None, 1)
        thinking = {"type": "thinking", "thinking": "", "signature": ""}
        block = thinking if self._ask.reasoning_tokens else {"type": "text", "text": ""}
        return [_typed("message_start", message=message), self._start(0, block), _typed("ping")]

    def _reasoning(self, first: int, count: int) -> list[bytes]:
        return [fill(self._thinking_delta, self._passage.tokens(first, count))]

    def _turn(self) -> list[bytes]:
        signed = self._delta(0, {"type": "signature_delta", "signature": self._signature})
        return [signed, _typed("content_block_stop", index=0), self._start(1, {"type": "text", "text": ""})]

    def _text(self, first: int, count: int) -> list[bytes]:
        return [fill(self._text_delta, self._passage.tokens(first, count))]

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
            thought = {"thinking": self._passage.text(0, reasoning), "signature": self._signature}
            content.insert(0, {"type": "thinking", **thought})
        return orjson.dumps(self._message(content, self._stop_reason, length))

    def _message(self, content: list[Json], stop: str | None, output_tokens: int) -> dict[str, Json]:
        cached = self._ask.cached_tokens
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
