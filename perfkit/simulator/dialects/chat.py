"""OpenAI chat completions: reasoning, tool calls, several choices, log probabilities."""

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import (
    CREATED,
    TEXT,
    Ask,
    Body,
    Dialect,
    Headers,
    ask,
    count_choices,
    count_content,
    cut,
    event,
    fill,
    optional,
    required,
)
from perfkit.simulator.dialects.openai import DONE, SHAPES, usage, usage_wanted
from perfkit.simulator.options import Simulation

_ARGUMENTS = (b'{\\"query\\":\\"', b'\\"}')
"""What stands around the words of a tool call, so that its arguments are JSON; itself escaped for JSON."""


def read(request: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
    """Read a chat request.

    Raises
    ------
    ValueError
        A field is missing or of the wrong kind.
    """
    optional(body, "stream_options", dict, {})
    _tool_name(body)
    return ask(
        request,
        body,
        simulation,
        prompt_tokens=count_content(required(body, "messages")),
        stream=body.get("stream") is True,
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        choices=count_choices(body),
    )


class ChatScript:
    """The answer to one chat request."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._shape = SHAPES[ask.simulation.style]
        self._tool = _tool_name(ask.body)
        self._passages = [ask.passage(choice) for choice in range(ask.choices)]
        self._content = self._templates({"content": TEXT} if not self._tool else _tool_delta({"arguments": TEXT}))
        self._reasoning = self._templates({self._shape.reasoning: TEXT}) if ask.reasoning_tokens else []

    def opening(self) -> list[bytes]:
        """Return the role chunks."""
        if not self._ask.simulation.role_chunk:
            return []
        return [self._chunk(choice, self._shape.role) for choice in range(self._ask.choices)]

    def token(self, first: int, count: int) -> list[bytes]:
        """Return one event per choice, two where reasoning turns into content."""
        reasoning = min(max(self._ask.reasoning_tokens - first, 0), count)
        if not reasoning:
            return self._say(first, count)
        events = [
            fill(template, passage.tokens(first, reasoning))
            for template, passage in zip(self._reasoning, self._passages, strict=True)
        ]
        return events + (self._say(first + reasoning, count - reasoning) if count > reasoning else [])

    def _say(self, first: int, count: int) -> list[bytes]:
        if self._tool:
            return self._call(first, count)
        return [
            fill(template, passage.tokens(first, count))
            for template, passage in zip(self._content, self._passages, strict=True)
        ]

    def _call(self, first: int, count: int) -> list[bytes]:
        """The call's name comes with the first token of its arguments."""
        opening, closing = _ARGUMENTS
        begins, ends = first == self._ask.reasoning_tokens, first + count == self._ask.output_tokens
        events: list[bytes] = []
        for choice, (template, passage) in enumerate(zip(self._content, self._passages, strict=True)):
            if begins:
                head = {"id": self._call_id(choice), "type": "function"}
                events.append(self._chunk(choice, _tool_delta({"name": self._tool, "arguments": ""}, head)))
            words = passage.tokens(first, count)
            events.append(fill(template, opening * begins + words + closing * ends))
        return events

    def closing(self) -> list[bytes]:
        """Return the finish chunks, the usage chunk and [DONE], as far as this server sends them."""
        finish = "tool_calls" if self._tool else self._ask.finish
        in_last = {"usage": usage(self._ask)} if self._shape.usage_in_last else {}
        events = [self._chunk(choice, self._shape.last, finish, **in_last) for choice in range(self._ask.choices)]
        if self._shape.usage_chunk and usage_wanted(self._ask):
            events.append(event(self._head() | {"choices": [], "usage": usage(self._ask)}))
        if self._shape.done and self._ask.simulation.done:
            events.append(DONE)
        return events

    def whole(self) -> bytes:
        """Return the ``chat.completion`` object."""
        choices = [self._choice(choice) for choice in range(self._ask.choices)]
        head = self._head() | {"object": "chat.completion"}
        return orjson.dumps(head | {"choices": choices, "usage": usage(self._ask)})

    def _choice(self, choice: int) -> dict[str, Json]:
        reasoning, length = self._ask.reasoning_tokens, self._ask.output_tokens
        message: dict[str, Json] = {"role": "assistant", "content": self._passages[choice].text(reasoning, length)}
        if reasoning:
            message[self._shape.reasoning] = self._passages[choice].text(0, reasoning)
        if self._tool:
            arguments = orjson.dumps({"query": message["content"]}).decode()
            call: dict[str, Json] = {"id": self._call_id(choice), "type": "function"}
            call["function"] = {"name": self._tool, "arguments": arguments}
            message |= {"content": None, "tool_calls": [call]}
        finish = "tool_calls" if self._tool else self._ask.finish
        return {"index": choice, "message": message, "logprobs": None, "finish_reason": finish}

    def _head(self) -> dict[str, Json]:
        identity = f"chatcmpl-{self._ask.id}"
        return {"id": identity, "object": "chat.completion.chunk", "created": CREATED, "model": self._ask.model}

    def _call_id(self, choice: int) -> str:
        return f"call-{self._ask.id}-{choice}"

    def _templates(self, delta: dict[str, Json]) -> list[list[bytes]]:
        logprobs = None
        if self._ask.body.get("logprobs"):
            logprobs = {"content": [{"token": TEXT, "logprob": -0.25, "bytes": None, "top_logprobs": []}]}
        return [cut(self._chunk(choice, delta, None, logprobs)) for choice in range(self._ask.choices)]

    def _chunk(
        self, choice: int, delta: dict[str, Json], finish: str | None = None, logprobs: Json = None, **more: Json
    ) -> bytes:
        choices = [{"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": finish}]
        return event(self._head() | {"choices": choices} | more)


def _tool_name(body: Body) -> str:
    """The tool an answer calls: the first one offered, unless the request forbids calls."""
    tools = optional(body, "tools", list, [])
    if not tools or body.get("tool_choice") == "none":
        return ""
    match tools[0]:
        case {"function": {"name": str(name)}}:
            return name
    raise ValueError("each of 'tools' must have a 'function' with a 'name'")


def _tool_delta(function: dict[str, Json], head: dict[str, Json] | None = None) -> dict[str, Json]:
    return {"tool_calls": [{"index": 0, **(head or {}), "function": function}]}


DIALECT = Dialect("chat", ("/v1/chat/completions",), read, ChatScript)
