"""The API of Hugging Face's text-embeddings-inference, whose answers are bare lists."""

from collections.abc import Mapping
from typing import Any

from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import messages_text, with_extras
from perfkit.apis.usage import read_usage
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Kind
from perfkit.registry import register_api


@register_api("tei")
class TextEmbeddings(DefaultApiPlugin):
    """Embeddings of a text, or of a list of texts.

    Examples
    --------
    >>> TextEmbeddings(Arguments(extra_args={"truncate": True})).build_request(["a", "b"])
    {'inputs': ['a', 'b'], 'truncate': True}
    """

    path = "/embed"
    needs_model = False
    answers_with = "embeddings"

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body whose ``inputs`` is the text, or the list of texts."""
        if isinstance(messages, dict):
            return with_extras(messages, param or self.param)
        many = isinstance(messages, list) and all(isinstance(item, str) for item in messages)
        return with_extras({"inputs": messages if many else messages_text(messages)}, param or self.param)

    def read_headers(self, headers: Mapping[str, str], answer: Answer) -> None:
        """Note how many tokens were embedded."""
        if "x-compute-tokens" in headers:
            read_usage({"prompt_tokens": headers["x-compute-tokens"]}, answer)

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether an answer is a list of lists of numbers, or of scored documents or labels."""
        if not isinstance(message, list) or not message:
            return False
        first = message[0]
        return (isinstance(first, list) and bool(first)) or (isinstance(first, dict) and "score" in first)

    @staticmethod
    def read_answer(message: Json, answer: Answer) -> None:
        """Note that the answer is whole; it has no text, and no tokens were generated."""
        answer.chunk(Kind.CONTENT)
        answer.done = True
        answer.completion_tokens = 0
