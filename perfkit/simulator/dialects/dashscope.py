"""DashScope text generation: streams on a header, cumulative text unless told otherwise, usage in every event."""

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import (
    COUNT,
    TEXT,
    Ask,
    Body,
    Dialect,
    Headers,
    ask,
    count_content,
    cut,
    fill,
    number,
    optional,
)
from perfkit.simulator.options import Simulation

PATH = "/api/v1/services/aigc/text-generation/generation"


def read(request: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
    """Read a generation request: ``input`` has messages or a prompt, ``parameters`` the rest.

    Raises
    ------
    ValueError
        There is neither.
    """
    given = optional(body, "input", dict, {})
    parameters = optional(body, "parameters", dict, {})
    prompt = given.get("messages") or given.get("prompt")
    if not prompt:
        raise ValueError("'input' must have 'messages' or 'prompt'")
    return ask(
        request,
        body,
        simulation,
        prompt_tokens=count_content(prompt),
        stream=headers.get("x-dashscope-sse", "").lower() == "enable" or headers.get("accept") == "text/event-stream",
        limit=parameters.get("max_tokens"),
    )


class GenerationScript:
    """The answer to one generation request, in the message format or the older text format."""

    def __init__(self, ask: Ask) -> None:
        parameters = ask.body.get("parameters") or {}
        self._ask = ask
        self._passage = ask.passage()
        self._messages = parameters.get("result_format", _default_format(ask.body)) == "message"
        self._incremental = parameters.get("incremental_output") is True
        self._template = self._event(_payload(ask, self._output("null", TEXT), COUNT))
        self._events = 0

    def opening(self) -> list[bytes]:
        """Return nothing."""
        return []

    def token(self, first: int, count: int) -> list[bytes]:
        """Return one event: the new text, or all the text so far."""
        start = first if self._incremental else 0
        return [self._numbered(self._passage.tokens(start, first + count - start), first + count)]

    def closing(self) -> list[bytes]:
        """Return the event that carries the finish reason."""
        text = "" if self._incremental else self._passage.text(0, self._ask.output_tokens)
        payload = _payload(self._ask, self._output(self._ask.finish, text), self._ask.output_tokens)
        self._events += 1
        return [b"id:%d\n%b" % (self._events, self._event(payload))]

    def whole(self) -> bytes:
        """Return the answer object."""
        text = self._passage.text(0, self._ask.output_tokens)
        return orjson.dumps(_payload(self._ask, self._output(self._ask.finish, text), self._ask.output_tokens))

    def _numbered(self, text: bytes, tokens: int) -> bytes:
        self._events += 1
        counted = number(self._template, tokens).replace(b'"@@TOTAL@@"', b"%d" % (self._ask.prompt_tokens + tokens))
        return b"id:%d\n%b" % (self._events, fill(cut(counted), text))

    def _output(self, finish: str, text: str) -> dict[str, Json]:
        if not self._messages:
            return {"finish_reason": finish, "text": text}
        return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}]}

    def _event(self, payload: Json) -> bytes:
        # DashScope puts no space after the colons.
        return b"event:result\n:HTTP_STATUS/200\ndata:%b\n\n" % orjson.dumps(payload)


def _default_format(body: Body) -> str:
    return "message" if (body.get("input") or {}).get("messages") else "text"


def _payload(ask: Ask, output: dict[str, Json], tokens: int | str) -> dict[str, Json]:
    total = ask.prompt_tokens + tokens if isinstance(tokens, int) else "@@TOTAL@@"
    usage: dict[str, Json] = {"input_tokens": ask.prompt_tokens, "output_tokens": tokens, "total_tokens": total}
    if ask.simulation.cached_tokens is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": min(ask.simulation.cached_tokens, ask.prompt_tokens)}
    return {"output": output, "usage": usage, "request_id": f"{ask.id}-0000-4000-8000-000000000000"}


DIALECT = Dialect("dashscope", (PATH,), read, GenerationScript)
