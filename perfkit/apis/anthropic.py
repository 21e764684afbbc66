"""Anthropic's messages API."""

from typing import Any

from perfkit.apis.answers import text_of
from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import as_messages, from_template, sampling_fields, with_extras
from perfkit.arguments import Arguments
from perfkit.records import Json, Message

# The API refuses a body that does not say it.
DEFAULT_MAX_TOKENS = 1024

_NAMES = {"stop": "stop_sequences"}
_FIELDS = ("max_tokens", "temperature", "top_p", "top_k", "stop")


class Anthropic(DefaultApiPlugin):
    """Messages: the system prompt apart, ``max_tokens`` always."""

    path = "/v1/messages"

    def headers(self, param: Arguments) -> dict[str, str]:
        """Return the version, and the key under the name this API wants."""
        key = {"x-api-key": param.api_key} if param.api_key else {}
        return {"anthropic-version": "2023-06-01", **key}

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body of messages, of a prompt, or of a whole body.

        Examples
        --------
        >>> body = Anthropic(Arguments(model="claude")).build_request(
        ...     [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}])
        >>> body["system"], body["messages"], body["max_tokens"]
        ('Be brief.', [{'role': 'user', 'content': 'hi'}], 1024)
        """
        param = param or self.param
        body, placed = from_template(param.query_template, messages, param.model)
        if isinstance(messages, dict):
            body = messages
        elif not placed:
            body.update(_split(as_messages(messages)))
        given = sampling_fields(param)
        fields = {_NAMES.get(name, name): given[name] for name in _FIELDS if name in given}
        if isinstance(fields.get("stop_sequences"), str):
            fields["stop_sequences"] = [fields["stop_sequences"]]
        model = {"model": param.model} if param.model else {}
        body = {"max_tokens": DEFAULT_MAX_TOKENS, **body, **model, "stream": body.get("stream", param.stream)}
        return with_extras({**body, **fields}, param)


def _split(messages: list[Message]) -> dict[str, Json]:
    system = "\n\n".join(text_of(message.get("content")) for message in messages if message.get("role") == "system")
    asked = [_as_blocks(message) for message in messages if message.get("role") != "system"]
    return {"system": system, "messages": asked} if system else {"messages": asked}


def _as_blocks(message: Message) -> Message:
    """Return a chat message with its images as this API's blocks."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [_as_block(part) for part in content]}


def _as_block(part: dict[str, Json]) -> dict[str, Json]:
    if part.get("type") != "image_url":
        return part
    url = part["image_url"]["url"]
    if not url.startswith("data:"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
