"""OpenAI chat completions: reasoning, tool calls, several choices, log probabilities."""

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import (
    TEXT,
    Ask,
    Body,
    Dialect,
    Headers,
    Wanted,
    count_content,
    cut,
    fill,
    optional,
    required,
)
from perfkit.simulator.dialects.openai import ChoicesScript, count_choices

_ARGUMENTS = (b'{\\"query\\":\\"', b'\\"}')
"""What stands around the words of a tool call, so that its arguments are JSON; itself escaped for JSON."""


def read(body: Body, headers: Headers) -> Wanted:
    """Read a chat request."""
    _tool_name(body)
    return Wanted(
        count_content(required(body, "messages")),
        limit=body.get("max_completion_tokens") or body.get("max_tokens"),
        stream=body.get("stream") is True,
        choices=count_choices(body),
    )


class ChatScript(ChoicesScript):
    """The answer to one chat request."""

    prefix, kind, chunk_kind, field = "chatcmpl", "chat.completion", "chat.completion.chunk", "delta"

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._tool = _tool_name(ask.body)
        self._finish = "tool_calls" if self._tool else ask.finish
        self._content = self._templates(_tool_delta({"arguments": TEXT}) if self._tool else {"content": TEXT})
        self._thoughts = self._templates({self._shape.reasoning: TEXT}) if ask.reasoning_tokens else []

    def opening(self) -> list[bytes]:
        """Return the role chunks."""
        if not self._ask.simulation.role_chunk:
            return []
        return [self._chunk(choice, self._shape.role) for choice in range(self._ask.choices)]

    def _reasoning(self, first: int, count: int) -> list[bytes]:
        return self._fill(self._thoughts, first, count)

    def _text(self, first: int, count: int) -> list[bytes]:
        return self._call(first, count) if self._tool else self._fill(self._content, first, count)

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
        """Return the finish chunks and what follows them."""
        return self._end(self._shape.last, self._finish)

    def whole(self) -> bytes:
        """Return the ``chat.completion`` object."""
        return self._whole([self._choice(choice) for choice in range(self._ask.choices)])

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
        return {"index": choice, "message": message, "logprobs": None, "finish_reason": self._finish}

    def _call_id(self, choice: int) -> str:
        return f"call-{self._ask.id}-{choice}"

    def _templates(self, delta: dict[str, Json]) -> list[list[bytes]]:
        logprobs = None
        if self._ask.body.get("logprobs"):
            logprobs = {"content": [{"token": TEXT, "logprob": -0.25, "bytes": None, "top_logprobs": []}]}
        return [cut(self._chunk(choice, delta, None, logprobs)) for choice in range(self._ask.choices)]


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
