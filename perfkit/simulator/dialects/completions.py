"""OpenAI text completions."""

from perfkit.records import Json
from perfkit.simulator.dialects.answer import TEXT, Ask, Body, Dialect, Headers, Wanted, count_content, cut, required
from perfkit.simulator.dialects.openai import ChoicesScript, count_choices


def read(body: Body, headers: Headers) -> Wanted:
    """Read a completion request; several prompts make as many choices."""
    prompt = required(body, "prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return Wanted(
        count_content(prompt),
        limit=body.get("max_tokens"),
        stream=body.get("stream") is True,
        choices=prompts * count_choices(body),
    )


class CompletionScript(ChoicesScript):
    """The answer to one completion request, reasoning not told from text."""

    prefix, kind, chunk_kind, field = "cmpl", "text_completion", "text_completion", "text"

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._templates = [cut(self._chunk(choice, TEXT, None, self._logprobs())) for choice in range(ask.choices)]

    def token(self, first: int, count: int) -> list[bytes]:
        """Return one event per choice."""
        return self._fill(self._templates, first, count)

    def closing(self) -> list[bytes]:
        """Return the finish chunks and what follows them."""
        return self._end("", self._ask.finish)

    def whole(self) -> bytes:
        """Return the ``text_completion`` object."""
        texts = [passage.text(0, self._ask.output_tokens) for passage in self._passages]
        rest = {"logprobs": None, "finish_reason": self._ask.finish}
        return self._whole([{"index": index, "text": text, **rest} for index, text in enumerate(texts)])

    def _logprobs(self) -> Json:
        if self._ask.body.get("logprobs") is None:
            return None
        return {"tokens": [TEXT], "token_logprobs": [-0.25], "top_logprobs": [{}], "text_offset": [0]}


DIALECT = Dialect("completions", ("/v1/completions",), read, CompletionScript)
