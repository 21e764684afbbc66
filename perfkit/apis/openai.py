"""OpenAI's APIs, and the many servers that imitate them: chat, completions, responses, embeddings."""

from typing import Any
from urllib.parse import urlsplit

from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import as_messages, as_text, finished, from_template, sampling_fields, with_extras
from perfkit.arguments import Arguments
from perfkit.records import Json, Message


class OpenAI(DefaultApiPlugin):
    """Chat completions; completions when the URL ends with ``/completions`` alone."""

    path = "/v1/chat/completions"

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a chat body of messages, of a prompt, or of a whole body.

        Examples
        --------
        >>> OpenAI(Arguments(model="qwen", stream=False)).build_request("hi")
        {'messages': [{'role': 'user', 'content': 'hi'}], 'model': 'qwen', 'stream': False}
        """
        param = param or self.param
        if isinstance(messages, dict):
            return finished(messages, param)
        body, placed = from_template(param.query_template, messages, param.model)
        if not placed and self.chats(param):
            body["messages"] = as_messages(messages)
        elif not placed:
            body["prompt"] = as_text(messages)
        return finished(body, param)

    def chats(self, param: Arguments) -> bool:
        """Say whether bodies carry messages rather than a prompt."""
        path = urlsplit(param.endpoint(self.path)).path
        return path.endswith("/chat/completions") or not path.endswith("/completions")


class Completions(OpenAI):
    """Completions: a prompt in, its continuation out."""

    path = "/v1/completions"

    def chats(self, param: Arguments) -> bool:
        """Bodies carry a prompt."""
        return False


class Responses(DefaultApiPlugin):
    """OpenAI's responses API."""

    path = "/v1/responses"

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body whose ``input`` is the messages or the prompt.

        Examples
        --------
        >>> Responses(Arguments(model="qwen", max_tokens=8)).build_request("hi")
        {'input': 'hi', 'model': 'qwen', 'stream': True, 'max_output_tokens': 8}
        """
        param = param or self.param
        body, placed = from_template(param.query_template, messages, param.model)
        if isinstance(messages, dict):
            body = messages
        elif not placed:
            body["input"] = messages if isinstance(messages, str) else [_as_input(message) for message in messages]
        fields = sampling_fields(param)
        if "max_tokens" in fields:
            fields["max_output_tokens"] = fields.pop("max_tokens")
        model = {"model": param.model} if param.model else {}
        return with_extras({**body, **model, "stream": body.get("stream", param.stream), **fields}, param)


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
            raise ValueError("rerank needs items with query and documents; the dataset 'rerank' yields them")
        return with_extras({**messages, **({"model": param.model} if param.model else {})}, param)
