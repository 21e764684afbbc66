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
    ask,
    count_content,
    cut,
    event,
    fill,
    number,
    required,
)
from perfkit.simulator.options import Simulation


def read(request: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
    """Read a responses request."""
    return ask(
        request,
        body,
        simulation,
        prompt_tokens=count_content(required(body, "input")) + count_content(body.get("instructions")),
        stream=body.get("stream") is True,
        limit=body.get("max_output_tokens"),
    )


class ResponsesScript:
    """The answer to one responses request: a reasoning item, if any, then a message item."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._passage = ask.passage()
        self._sequence = itertools.count()
        message, reasoning = {"output_index": self._message_index}, {"output_index": 0, "summary_index": 0}
        self._text_delta = self._template(
            "response.output_text.delta", message | {"item_id": f"msg_{ask.id}", "content_index": 0, "delta": TEXT}
        )
        self._reasoning_delta = self._template(
            "response.reasoning_summary_text.delta", reasoning | {"item_id": f"rs_{ask.id}", "delta": TEXT}
        )

    def opening(self) -> list[bytes]:
        """Return the events that announce the response and its first item."""
        started = self._response("in_progress", [])
        announced = [
            self._event("response.created", {"response": started}),
            self._event("response.in_progress", {"response": started}),
        ]
        return announced + (self._reasoning_begins() if self._ask.reasoning_tokens else self._message_begins())

    def token(self, first: int, count: int) -> list[bytes]:
        """Return delta events; where reasoning ends, those that close its item and open the message."""
        reasoning = min(max(self._ask.reasoning_tokens - first, 0), count)
        if not reasoning:
            return [self._delta(self._text_delta, first, count)]
        events = [self._delta(self._reasoning_delta, first, reasoning)]
        if first + reasoning == self._ask.reasoning_tokens:
            events += [self._item("response.output_item.done", 0, self._reasoning_item()), *self._message_begins()]
        if count > reasoning:
            events.append(self._delta(self._text_delta, first + reasoning, count - reasoning))
        return events

    def closing(self) -> list[bytes]:
        """Return the events that close the message and the response, usage in the last."""
        place = {"item_id": f"msg_{self._ask.id}", "output_index": self._message_index, "content_index": 0}
        part = self._part()
        whole = self._response(self._status, self._output())
        return [
            self._event("response.output_text.done", place | {"text": part["text"], "logprobs": []}),
            self._event("response.content_part.done", place | {"part": part}),
            self._item("response.output_item.done", self._message_index, self._message("completed", [part])),
            self._event(f"response.{self._status}", {"response": whole}),
        ]

    def whole(self) -> bytes:
        """Return the ``response`` object."""
        return orjson.dumps(self._response(self._status, self._output()))

    @property
    def _status(self) -> str:
        return "incomplete" if self._ask.finish == "length" else "completed"

    @property
    def _message_index(self) -> int:
        return 1 if self._ask.reasoning_tokens else 0

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
            "input_tokens_details": {"cached_tokens": min(ask.simulation.cached_tokens or 0, ask.prompt_tokens)},
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
        identity = f"msg_{self._ask.id}"
        return {"id": identity, "type": "message", "role": "assistant", "status": status, "content": content}

    def _reasoning_item(self) -> dict[str, Json]:
        text = self._passage.text(0, self._ask.reasoning_tokens)
        return {"id": f"rs_{self._ask.id}", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}

    def _reasoning_begins(self) -> list[bytes]:
        item = {"id": f"rs_{self._ask.id}", "type": "reasoning", "summary": []}
        return [self._item("response.output_item.added", 0, item)]

    def _message_begins(self) -> list[bytes]:
        place = {"item_id": f"msg_{self._ask.id}", "output_index": self._message_index, "content_index": 0}
        empty = {"type": "output_text", "text": "", "annotations": []}
        return [
            self._item("response.output_item.added", self._message_index, self._message("in_progress", [])),
            self._event("response.content_part.added", place | {"part": empty}),
        ]

    def _item(self, kind: str, index: int, item: dict[str, Json]) -> bytes:
        return self._event(kind, {"output_index": index, "item": item})

    def _event(self, kind: str, payload: dict[str, Json]) -> bytes:
        return event({"type": kind, **payload, "sequence_number": next(self._sequence)}, kind)

    def _template(self, kind: str, payload: dict[str, Json]) -> bytes:
        return event({"type": kind, **payload, "sequence_number": COUNT}, kind)

    def _delta(self, template: bytes, first: int, count: int) -> bytes:
        return fill(cut(number(template, next(self._sequence))), self._passage.tokens(first, count))


DIALECT = Dialect("responses", ("/v1/responses",), read, ResponsesScript)
