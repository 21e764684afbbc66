"""OpenAI text completions."""

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


def read(request: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
    """Read a completion request; several prompts make as many choices.

    Raises
    ------
    ValueError
        A field is missing or of the wrong kind.
    """
    optional(body, "stream_options", dict, {})
    prompt = required(body, "prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return ask(
        request,
        body,
        simulation,
        prompt_tokens=count_content(prompt),
        stream=body.get("stream") is True,
        limit=body.get("max_tokens"),
        choices=prompts * count_choices(body),
    )


class CompletionScript:
    """The answer to one completion request."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._shape = SHAPES[ask.simulation.style]
        self._passages = [ask.passage(choice) for choice in range(ask.choices)]
        self._templates = [cut(self._chunk(choice, TEXT, None, self._logprobs())) for choice in range(ask.choices)]

    def opening(self) -> list[bytes]:
        """Return nothing: text completions have no role."""
        return []

    def token(self, first: int, count: int) -> list[bytes]:
        """Return one event per choice."""
        return [
            fill(template, passage.tokens(first, count))
            for template, passage in zip(self._templates, self._passages, strict=True)
        ]

    def closing(self) -> list[bytes]:
        """Return the finish chunks, the usage chunk and [DONE], as far as this server sends them."""
        in_last = {"usage": usage(self._ask)} if self._shape.usage_in_last else {}
        events = [self._chunk(choice, "", self._ask.finish, **in_last) for choice in range(self._ask.choices)]
        if self._shape.usage_chunk and usage_wanted(self._ask):
            events.append(event(self._head() | {"choices": [], "usage": usage(self._ask)}))
        if self._shape.done and self._ask.simulation.done:
            events.append(DONE)
        return events

    def whole(self) -> bytes:
        """Return the ``text_completion`` object."""
        texts = [passage.text(0, self._ask.output_tokens) for passage in self._passages]
        choices = [
            {"index": index, "text": text, "logprobs": None, "finish_reason": self._ask.finish}
            for index, text in enumerate(texts)
        ]
        return orjson.dumps(self._head() | {"choices": choices, "usage": usage(self._ask)})

    def _logprobs(self) -> Json:
        if self._ask.body.get("logprobs") is None:
            return None
        return {"tokens": [TEXT], "token_logprobs": [-0.25], "top_logprobs": [{}], "text_offset": [0]}

    def _head(self) -> dict[str, Json]:
        identity = f"cmpl-{self._ask.id}"
        return {"id": identity, "object": "text_completion", "created": CREATED, "model": self._ask.model}

    def _chunk(self, choice: int, text: str, finish: str | None = None, logprobs: Json = None, **more: Json) -> bytes:
        choices = [{"index": choice, "text": text, "logprobs": logprobs, "finish_reason": finish}]
        return event(self._head() | {"choices": choices} | more)


DIALECT = Dialect("completions", ("/v1/completions",), read, CompletionScript)
