"""OpenAI's APIs, and the many servers that imitate them: chat, completions, responses, embeddings, rerank."""

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from perfkit.apis.answers import read_choices
from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import BodyApi, messages_text, sampling_fields, with_extras, with_model
from perfkit.apis.dialects import read_list, read_response
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from perfkit.records import Json, Message
from perfkit.registry import register_api


@register_api(["completions", "openai_completions"])
class Completions(BodyApi):
    """Completions: a prompt in, its continuation out.

    Examples
    --------
    >>> Completions(Arguments(model="qwen", stream=False)).build_request("Once upon")
    {'prompt': 'Once upon', 'model': 'qwen', 'stream': False}
    """

    path = "/v1/completions"
    read_answer = staticmethod(read_choices)

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the prompt: text, or token ids as they are."""
        chat = isinstance(asked, list) and all(isinstance(item, dict) for item in asked)
        return {"prompt": messages_text(asked) if chat else asked}


@register_api(["openai", "openai_chat", "chat"])
class OpenAI(Completions):
    """Chat completions; completions when the URL ends with ``/completions`` alone.

    Examples
    --------
    >>> OpenAI(Arguments(model="qwen", stream=False)).build_request("hi")
    {'messages': [{'role': 'user', 'content': 'hi'}], 'model': 'qwen', 'stream': False}
    """

    path = "/v1/chat/completions"

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message has choices, as those of completions have, too."""
        return isinstance(message, dict) and isinstance(message.get("choices"), list)

    def __init__(self, param: Arguments | None = None) -> None:
        super().__init__(param)
        path = urlsplit(self.param.endpoint(self.path)).path
        self._completes = path.endswith("/completions") and not path.endswith("/chat/completions")

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return messages, or the prompt where the URL wants one."""
        return super().asking(asked, param) if self._completes else BodyApi.asking(self, asked, param)


@register_api(["responses", "openai_responses", "openai_response"])
class Responses(BodyApi):
    """OpenAI's responses API.

    Examples
    --------
    >>> Responses(Arguments(model="qwen", max_tokens=8)).build_request("hi")
    {'input': 'hi', 'model': 'qwen', 'stream': True, 'max_output_tokens': 8}
    """

    path = "/v1/responses"
    read_answer = staticmethod(read_response)

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message is an event of the responses API, or its whole answer."""
        if not isinstance(message, dict) or isinstance(message.get("choices"), list):
            return False
        kind = message.get("type")
        return (isinstance(kind, str) and kind.startswith("response.")) or message.get("object") == "response"

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the input: text, or messages with this API's content parts."""
        return {"input": asked if isinstance(asked, str) else [_as_input(message) for message in asked]}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with the run's fields; the longest answer has another name here."""
        body = {**body, "stream": body.get("stream", param.stream), **sampling_fields(param)}
        if "max_tokens" in body:
            body["max_output_tokens"] = body.pop("max_tokens")
        return with_extras(body, param)


_INPUT_TYPES = {"text": "input_text", "image_url": "input_image"}


def _as_input(message: Message) -> Message:
    """Return a chat message with its content parts under the names that the responses API uses."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts = [{**part, "type": _INPUT_TYPES.get(part["type"], part["type"])} for part in content]
    for part in parts:
        if isinstance(part.get("image_url"), dict):
            part["image_url"] = part["image_url"]["url"]
    return {**message, "content": parts}


@register_api(["embeddings", "embedding", "openai_embedding"])
class Embeddings(DefaultApiPlugin):
    """Embeddings of a text, or of a list of texts."""

    path = "/v1/embeddings"
    answers_with = "embeddings"
    read_answer = staticmethod(read_list)

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message is a list of embeddings under ``data`` or ``embeddings``, and has no text."""
        held = (message.get("data") or message.get("embeddings")) if isinstance(message, dict) else None
        if not isinstance(held, list) or message.keys() & {"choices", "output", "type"}:
            return False
        return isinstance(held[0], list) or (isinstance(held[0], dict) and "embedding" in held[0])

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body whose ``input`` is the text, or the list of texts.

        Examples
        --------
        >>> Embeddings(Arguments(model="bge")).build_request(["a", "b"])
        {'input': ['a', 'b'], 'model': 'bge'}
        """
        param = param or self.param
        body = {"input": _texts(messages)} if not isinstance(messages, dict) else messages
        return with_extras(with_model(body, param.model_name), param)


def _texts(messages: Any) -> str | list[str]:
    many = isinstance(messages, list) and all(isinstance(item, str) for item in messages)
    return messages if many else messages_text(messages)


_SCORED = frozenset({"index", "relevance_score", "score"})
"""Fields of a document that was put in order; results of other kinds, as a moderation's, have none of them."""


@register_api(["rerank", "openai_rerank"])
class Rerank(DefaultApiPlugin):
    """Rerank: a query and the documents to put in order. The dataset yields both as one dict."""

    path = "/v1/rerank"
    answers_with = "a ranking"
    example: ClassVar[Mapping[str, str]] = {"dataset": "rerank"}
    read_answer = staticmethod(read_list)

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message is a list of documents' scores under ``results``, and has no text."""
        held = message.get("results") if isinstance(message, dict) else None
        if not isinstance(held, list) or message.keys() & {"choices", "output", "type", "data", "embeddings"}:
            return False
        return all(isinstance(each, dict) and not _SCORED.isdisjoint(each) for each in held[:1])

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body of a dict with ``query`` and ``documents``.

        Examples
        --------
        >>> Rerank(Arguments(model="bge")).build_request({"query": "a", "documents": ["b", "c"]})
        {'query': 'a', 'documents': ['b', 'c'], 'model': 'bge'}
        """
        param = param or self.param
        if not isinstance(messages, dict) or not {"query", "documents"} <= messages.keys():
            raise UsageError("the API rerank needs items with query and documents; the dataset 'rerank' yields them")
        return with_extras(with_model(messages, param.model_name), param)
