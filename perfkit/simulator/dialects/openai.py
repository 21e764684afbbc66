"""What the OpenAI dialects share: usage, and whose streams they imitate."""

from dataclasses import dataclass

from perfkit.records import Json
from perfkit.simulator.dialects.answer import Ask
from perfkit.simulator.options import Style

DONE = b"data: [DONE]\n\n"


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


SHAPES: dict[Style, Shape] = {
    "vllm": Shape(role={"role": "assistant", "content": ""}, last={"content": ""}, reasoning="reasoning"),
    "transformers": Shape(role={"role": "assistant"}, last={}, usage_in_last=True, usage_chunk=False, done=False),
    "llama.cpp": Shape(role={"role": "assistant", "content": ""}, last={}, usage_chunk=False),
}


def usage(ask: Ask) -> dict[str, Json]:
    """Return the usage object of a chat or a completion."""
    completion = ask.output_tokens * ask.choices
    counts: dict[str, Json] = {
        "prompt_tokens": ask.prompt_tokens,
        "total_tokens": ask.prompt_tokens + completion,
        "completion_tokens": completion,
    }
    if ask.simulation.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": min(ask.simulation.cached_tokens, ask.prompt_tokens)}
    if ask.reasoning_tokens:
        counts["completion_tokens_details"] = {"reasoning_tokens": ask.reasoning_tokens * ask.choices}
    return counts


def usage_wanted(ask: Ask) -> bool:
    """True if the stream ends with a usage chunk."""
    if ask.simulation.usage == "asked":
        return bool((ask.body.get("stream_options") or {}).get("include_usage"))
    return ask.simulation.usage == "always"
