"""OpenAI's APIs, and the many servers that imitate them: chat, completions, responses, embeddings, rerank."""

from typing import Any
from urllib.parse import urlsplit

from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import BodyApi, as_text, sampling_fields, with_extras
from perfkit.arguments import Arguments
from perfkit.errors import UsageError
from perfkit.records import Json, Message


class Completions(BodyApi):
    """Completions: a prompt in, its continuation out.

    Examples
    --------
    >>> Completions(Arguments(model="qwen", stream=False)).build_request("Once upon")
    {'prompt': 'Once upon', 'model': 'qwen', 'stream': False}
    """

    path = "/v1/completions"

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the prompt: text, or token ids as they are."""
        chat = isinstance(asked, list) and all(isinstance(item, dict) for item in asked)
        return {"prompt": as_text(asked) if chat else asked}


class OpenAI(Completions):
    """Chat completions; completions when the URL ends with ``/completions`` alone.

    Examples
    --------
    >>> OpenAI(Arguments(model="qwen", stream=False)).build_request("hi")
    {'messages': [{'role': 'user', 'content': 'hi'}], 'model': 'qwen', 'stream': False}
    """

    path = "/v1/chat/completions"

    def __init__(self, param: Arguments | None = None) -> None:
        super().__init__(param)
        path = urlsplit(self.param.endpoint(self.path)).path
        self._completes = path.endswith("/completions") and not path.endswith("/chat/completions")

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return messages, or the prompt where the URL wants one."""
        return super().asking(asked, param) if self._completes else BodyApi.asking(self, asked, param)


class Responses(BodyApi):
    """OpenAI's responses API.

    Examples
    --------
    >>> Responses(Arguments(model="qwen", max_tokens=8)).build_request("hi")
    {'input': 'hi', 'model': 'qwen', 'stream': True, 'max_output_tokens': 8}
    """

    path = "/v1/responses"

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


class Embeddings(DefaultApiPlugin):
    """Embeddings of a text, or of a list of texts."""

    path = "/v1/embeddings"

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body whose ``input`` is the text, or the list of texts.

        Examples
        --------
        >>> Embeddings(Arguments(model="bge")).build_request(["a", "b"])
        {'input': ['a', 'b'], 'model': 'bge'}
        """
        param = param or self.param
        body = {"input": _texts(messages)} if not isinstance(messages, dict) else messages
        return with_extras({**body, **({"model": param.model} if param.model else {})}, param)


def _texts(messages: Any) -> str | list[str]:
    many = isinstance(messages, list) and all(isinstance(item, str) for item in messages)
    return messages if many else as_text(messages)


class Rerank(DefaultApiPlugin):
    """Rerank: a query and the documents to put in order. The dataset yields both as one dict."""

    path = "/v1/rerank"

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
        return with_extras({**messages, **({"model": param.model} if param.model else {})}, param)
