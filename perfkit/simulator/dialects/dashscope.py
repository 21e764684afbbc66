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
    Script,
    Wanted,
    count_content,
    cut,
    fill,
    number,
    optional,
)

_TOTAL = "@@TOTAL@@"
PATH = "/api/v1/services/aigc/text-generation/generation"


def read(body: Body, headers: Headers) -> Wanted:
    """Read a generation request: ``input`` has messages or a prompt, ``parameters`` the rest."""
    given = optional(body, "input", dict, {})
    parameters = optional(body, "parameters", dict, {})
    prompt = given.get("messages") or given.get("prompt")
    if not prompt:
        raise ValueError("'input' must have 'messages' or 'prompt'")
    return Wanted(
        count_content(prompt),
        limit=parameters.get("max_tokens"),
        stream=headers.get("x-dashscope-sse", "").lower() == "enable" or headers.get("accept") == "text/event-stream",
    )


class GenerationScript(Script):
    """The answer to one generation request, in the message format or the older text format."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        parameters = ask.body.get("parameters") or {}
        self._passage = ask.passage()
        self._messages = parameters.get("result_format", _default_format(ask.body)) == "message"
        self._incremental = parameters.get("incremental_output") is True
        self._template = _event(self._payload(self._output("null", TEXT), COUNT))
        self._events = 0

    def token(self, first: int, count: int) -> list[bytes]:
        """Return one event: the new text, or all the text so far."""
        start, end = first if self._incremental else 0, first + count
        counted = number(self._template, end).replace(
            b'"%b"' % _TOTAL.encode(), b"%d" % (self._ask.prompt_tokens + end)
        )
        return [self._numbered(fill(cut(counted), self._passage.tokens(start, end - start)))]

    def closing(self) -> list[bytes]:
        """Return the event that carries the finish reason."""
        return [self._numbered(_event(self._last("" if self._incremental else self._all())))]

    def whole(self) -> bytes:
        """Return the answer object."""
        return orjson.dumps(self._last(self._all()))

    def _all(self) -> str:
        return self._passage.text(0, self._ask.output_tokens)

    def _numbered(self, event: bytes) -> bytes:
        self._events += 1
        return b"id:%d\n%b" % (self._events, event)

    def _last(self, text: str) -> dict[str, Json]:
        return self._payload(self._output(self._ask.finish, text), self._ask.output_tokens)

    def _output(self, finish: str, text: str) -> dict[str, Json]:
        if not self._messages:
            return {"finish_reason": finish, "text": text}
        return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}]}

    def _payload(self, output: dict[str, Json], tokens: int | str) -> dict[str, Json]:
        prompt = self._ask.prompt_tokens
        total = prompt + tokens if isinstance(tokens, int) else _TOTAL
        usage = {"input_tokens": prompt, "output_tokens": tokens, "total_tokens": total, **self._ask.prompt_details}
        return {"output": output, "usage": usage, "request_id": f"{self._ask.id}-0000-4000-8000-000000000000"}


def _default_format(body: Body) -> str:
    return "message" if (body.get("input") or {}).get("messages") else "text"


def _event(payload: Json) -> bytes:
    # DashScope puts no space after the colons.
    return b"event:result\n:HTTP_STATUS/200\ndata:%b\n\n" % orjson.dumps(payload)


DIALECT = Dialect("dashscope", (PATH,), read, GenerationScript)
