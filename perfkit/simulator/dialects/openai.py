"""What chat and text completions share: usage, choices, and whose streams they imitate."""

from dataclasses import dataclass
from typing import ClassVar

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import CREATED, Ask, Body, Script, event, fill, optional
from perfkit.simulator.options import Style

_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Shape:
    """How a server's chat and completion streams look.

    ``role`` and ``last`` are the deltas of the role chunk and of the finish chunk; ``usage_in_last`` puts usage into
    the finish chunk, whether it was asked for or not; ``reasoning`` is the field of thoughts.
    """

    role: dict[str, str]
    last: dict[str, str]
    usage_in_last: bool = False
    usage_chunk: bool = True
    done: bool = True
    reasoning: str = "reasoning_content"


_SHAPES: dict[Style, Shape] = {
    "vllm": Shape(role={"role": "assistant", "content": ""}, last={"content": ""}, reasoning="reasoning"),
    "transformers": Shape(role={"role": "assistant"}, last={}, usage_in_last=True, usage_chunk=False, done=False),
    "llama.cpp": Shape(role={"role": "assistant", "content": ""}, last={}, usage_chunk=False),
}


class ChoicesScript(Script):
    """The answer to one chat or completion request: chunks that each bring text of one choice.

    What differs is how answers are called, and where a chunk has its text.
    """

    prefix: ClassVar[str]
    kind: ClassVar[str]
    chunk_kind: ClassVar[str]
    field: ClassVar[str]

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._shape = _SHAPES[ask.simulation.style]
        self._passages = [ask.passage(choice) for choice in range(ask.choices)]

    def _fill(self, templates: list[list[bytes]], first: int, count: int) -> list[bytes]:
        """Return one event per choice."""
        pairs = zip(templates, self._passages, strict=True)
        return [fill(template, passage.tokens(first, count)) for template, passage in pairs]

    def _chunk(self, choice: int, text: Json, finish: str | None = None, logprobs: Json = None, **more: Json) -> bytes:
        choices = [{"index": choice, self.field: text, "logprobs": logprobs, "finish_reason": finish}]
        return event(self._head(self.chunk_kind) | {"choices": choices} | more)

    def _end(self, last: Json, finish: str) -> list[bytes]:
        """Return the finish chunks, the usage chunk and [DONE], as far as this server sends them."""
        in_last = {"usage": _usage(self._ask)} if self._shape.usage_in_last else {}
        events = [self._chunk(choice, last, finish, **in_last) for choice in range(self._ask.choices)]
        if self._shape.usage_chunk and _usage_wanted(self._ask):
            events.append(event(self._head(self.chunk_kind) | {"choices": [], "usage": _usage(self._ask)}))
        if self._shape.done and self._ask.simulation.done:
            events.append(_DONE)
        return events

    def _whole(self, choices: list[dict[str, Json]]) -> bytes:
        return orjson.dumps(self._head(self.kind) | {"choices": choices, "usage": _usage(self._ask)})

    def _head(self, kind: str) -> dict[str, Json]:
        return {"id": f"{self.prefix}-{self._ask.id}", "object": kind, "created": CREATED, "model": self._ask.model}


def _usage(ask: Ask) -> dict[str, Json]:
    completion = ask.output_tokens * ask.choices
    counts: dict[str, Json] = {
        "prompt_tokens": ask.prompt_tokens,
        "total_tokens": ask.prompt_tokens + completion,
        "completion_tokens": completion,
        **ask.prompt_details,
    }
    if ask.reasoning_tokens:
        counts["completion_tokens_details"] = {"reasoning_tokens": ask.reasoning_tokens * ask.choices}
    return counts


def _usage_wanted(ask: Ask) -> bool:
    if ask.simulation.usage == "asked":
        return bool((ask.body.get("stream_options") or {}).get("include_usage"))
    return ask.simulation.usage == "always"


def count_choices(body: Body) -> int:
    """Return ``n``, how many choices are asked for, in a body whose ``stream_options`` are sound.

    Raises
    ------
    ValueError
        ``n`` is not from 1 to 128, or one of the two is of another kind.
    """
    optional(body, "stream_options", dict, {})
    choices = optional(body, "n", int, 1)
    if not 1 <= choices <= 128:
        raise ValueError(f"n must be from 1 to 128, got {choices}")
    return choices
