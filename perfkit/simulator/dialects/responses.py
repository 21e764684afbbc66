"""OpenAI responses: named events with sequence numbers."""

import itertools

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import (
    COUNT,
    CREATED,
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
    number,
    required,
)


def read(body: Body, headers: Headers) -> Wanted:
    """Read a responses request."""
    return Wanted(
        count_content(required(body, "input")) + count_content(body.get("instructions")),
        limit=body.get("max_output_tokens"),
        stream=body.get("stream") is True,
    )


class ResponsesScript(Script):
    """The answer to one responses request: a reasoning item, if any, then a message item."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._passage = ask.passage()
        self._sequence = itertools.count()
        self._status = "incomplete" if ask.finish == "length" else "completed"
        self._message_id, self._reasoning_id = f"msg_{ask.id}", f"rs_{ask.id}"
        self._message_index = 1 if ask.reasoning_tokens else 0
        self._place = {"item_id": self._message_id, "output_index": self._message_index, "content_index": 0}
        thought = {"item_id": self._reasoning_id, "output_index": 0, "summary_index": 0}
        self._text_delta = _event("response.output_text.delta", self._place | {"delta": TEXT}, COUNT)
        self._reasoning_delta = _event("response.reasoning_summary_text.delta", thought | {"delta": TEXT}, COUNT)

    def opening(self) -> list[bytes]:
        """Return the events that announce the response and its first item."""
        started = self._response("in_progress", [])
        announced = [
            self._next("response.created", {"response": started}),
            self._next("response.in_progress", {"response": started}),
        ]
        if not self._ask.reasoning_tokens:
            return announced + self._message_begins()
        item = {"id": self._reasoning_id, "type": "reasoning", "summary": []}
        return [*announced, self._item("response.output_item.added", 0, item)]

    def _reasoning(self, first: int, count: int) -> list[bytes]:
        return [self._delta(self._reasoning_delta, first, count)]

    def _turn(self) -> list[bytes]:
        return [self._item("response.output_item.done", 0, self._reasoning_item()), *self._message_begins()]

    def _text(self, first: int, count: int) -> list[bytes]:
        return [self._delta(self._text_delta, first, count)]

    def closing(self) -> list[bytes]:
        """Return the events that close the message and the response, usage in the last."""
        part = self._part()
        whole = self._response(self._status, self._output())
        return [
            self._next("response.output_text.done", self._place | {"text": part["text"], "logprobs": []}),
            self._next("response.content_part.done", self._place | {"part": part}),
            self._item("response.output_item.done", self._message_index, self._message("completed", [part])),
            self._next(f"response.{self._status}", {"response": whole}),
        ]

    def whole(self) -> bytes:
        """Return the ``response`` object."""
        return orjson.dumps(self._response(self._status, self._output()))

    def _response(self, status: str, output: list[Json]) -> dict[str, Json]:
        ended = status != "in_progress"
        return {
            "id": f"resp_{self._ask.id}",
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "model": self._ask.model,
            "output": output,
            "usage": self._usage() if ended else None,
        }

    def _usage(self) -> dict[str, Json]:
        ask = self._ask
        return {
            "input_tokens": ask.prompt_tokens,
            "input_tokens_details": {"cached_tokens": ask.cached_tokens},
            "output_tokens": ask.output_tokens,
            "output_tokens_details": {"reasoning_tokens": ask.reasoning_tokens},
            "total_tokens": ask.prompt_tokens + ask.output_tokens,
        }

    def _output(self) -> list[Json]:
        message = self._message("completed", [self._part()])
        return [self._reasoning_item(), message] if self._ask.reasoning_tokens else [message]

    def _part(self) -> dict[str, Json]:
        text = self._passage.text(self._ask.reasoning_tokens, self._ask.output_tokens)
        return {"type": "output_text", "text": text, "annotations": []}

    def _message(self, status: str, content: list[Json]) -> dict[str, Json]:
        identity = {"id": self._message_id, "type": "message", "role": "assistant"}
        return identity | {"status": status, "content": content}

    def _reasoning_item(self) -> dict[str, Json]:
        text = self._passage.text(0, self._ask.reasoning_tokens)
        return {"id": self._reasoning_id, "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}

    def _message_begins(self) -> list[bytes]:
        empty = {"type": "output_text", "text": "", "annotations": []}
        return [
            self._item("response.output_item.added", self._message_index, self._message("in_progress", [])),
            self._next("response.content_part.added", self._place | {"part": empty}),
        ]

    def _item(self, kind: str, index: int, item: dict[str, Json]) -> bytes:
        return self._next(kind, {"output_index": index, "item": item})

    def _next(self, kind: str, payload: dict[str, Json]) -> bytes:
        return _event(kind, payload, next(self._sequence))

    def _delta(self, template: bytes, first: int, count: int) -> bytes:
        return fill(cut(number(template, next(self._sequence))), self._passage.tokens(first, count))


def _event(kind: str, payload: dict[str, Json], sequence: int | str) -> bytes:
    return event({"type": kind, **payload, "sequence_number": sequence}, kind)


DIALECT = Dialect("responses", ("/v1/responses",), read, ResponsesScript)
