"""Anthropic's messages API."""

from typing import Any

from perfkit.apis.bodies import BodyApi, as_messages, sampling_fields, with_extras
from perfkit.apis.dialects import ANTHROPIC, read_anthropic
from perfkit.apis.pieces import text_of
from perfkit.options.arguments import Arguments
from perfkit.records import Json, Message
from perfkit.registry import register_api

# The API refuses a body that does not say it.
DEFAULT_MAX_TOKENS = 1024

_NAMES = {"stop": "stop_sequences"}
_FIELDS = ("max_tokens", "temperature", "top_p", "top_k", "stop")


@register_api("anthropic")
class Anthropic(BodyApi):
    """Messages: the system prompt apart, ``max_tokens`` always.

    Examples
    --------
    >>> talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    >>> Anthropic(Arguments(model="claude")).build_request(talk)["system"]
    'Be brief.'
    """

    path = "/v1/messages"
    takes = (*_FIELDS, "query_template")
    read_answer = staticmethod(read_anthropic)

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message has one of the types of this API."""
        kind = message.get("type") if isinstance(message, dict) else None
        return isinstance(kind, str) and kind in ANTHROPIC and not isinstance(message.get("choices"), list)

    def headers(self, param: Arguments) -> dict[str, str]:
        """Return the version, and the key under the name this API wants."""
        key = {"x-api-key": param.api_key} if param.api_key else {}
        return {"anthropic-version": "2023-06-01", **key}

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the messages, and the system prompt beside them."""
        return _split(as_messages(asked))

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with those of the run's fields that this API has."""
        given = sampling_fields(param)
        fields = {_NAMES.get(name, name): given[name] for name in _FIELDS if name in given}
        if isinstance(fields.get("stop_sequences"), str):
            fields["stop_sequences"] = [fields["stop_sequences"]]
        body = {"max_tokens": DEFAULT_MAX_TOKENS, **body, "stream": body.get("stream", param.stream)}
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
