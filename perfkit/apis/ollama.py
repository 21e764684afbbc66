"""Ollama's own APIs, which stream one JSON object a line."""

from typing import Any

from perfkit.apis.bodies import BODY_FIELDS, BodyApi, as_messages, merged, messages_text, sampling_fields
from perfkit.apis.pieces import add_finish, add_text, call_text, text_of
from perfkit.apis.usage import read_usage
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Kind, Message
from perfkit.registry import register_api

_OPTIONS = {"max_tokens": "num_predict", "repetition_penalty": "repeat_penalty"}
_COUNTS = {"prompt_eval_count": "prompt_tokens", "eval_count": "completion_tokens"}


@register_api(["ollama", "ollama_chat"])
class Ollama(BodyApi):
    """Chat: messages at the top, everything of sampling under ``options``.

    Examples
    --------
    >>> Ollama(Arguments(model="qwen", max_tokens=8, parameters={"num_ctx": 4096})).build_request("hi")["options"]
    {'num_predict': 8, 'num_ctx': 4096}
    """

    path = "/api/chat"

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the messages, their images beside the text."""
        return {"messages": [_with_images(message) for message in as_messages(asked)]}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with the run's fields and ``parameters`` among its options."""
        held = {name: body[name] for name in BODY_FIELDS if name in body} | sampling_fields(param)
        options: dict[str, Json] = {
            **(body.get("options") or {}),
            **{_OPTIONS.get(name, name): value for name, value in held.items()},
        }
        options = merged(options, param.parameters)
        around = {name: value for name, value in body.items() if name not in BODY_FIELDS}
        around = {**around, "stream": body.get("stream", param.stream)}
        return merged({**around, **({"options": options} if options else {})}, param.extra_args)

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message is a piece of a chat, or its end."""
        return isinstance(message, dict) and "done" in message and isinstance(message.get("message"), dict)

    @staticmethod
    def read_answer(message: Message, answer: Answer) -> None:
        """Read one line of a chat, or the whole answer."""
        part = message["message"]
        add_text(answer, Kind.REASONING, part.get("thinking"))
        add_text(answer, Kind.CONTENT, part.get("content"))
        for call in part.get("tool_calls") or ():
            answer.chunk(Kind.TOOL, call_text(call.get("function") or {}, "arguments"))
        _read_end(message, answer)


@register_api("ollama_generate")
class OllamaGenerate(Ollama):
    """Generate: one prompt in place of messages.

    Examples
    --------
    >>> OllamaGenerate(Arguments(model="qwen", stream=False)).build_request("hi")
    {'prompt': 'hi', 'model': 'qwen', 'stream': False}
    """

    path = "/api/generate"

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the prompt, and the images beside it."""
        images = [image for message in as_messages(asked) for image in _images(message.get("content"))]
        return {"prompt": messages_text(asked), **({"images": images} if images else {})}

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message is a piece of a generated text, or its end."""
        return isinstance(message, dict) and "done" in message and isinstance(message.get("response"), str)

    @staticmethod
    def read_answer(message: Message, answer: Answer) -> None:
        """Read one line of a generated text, or the whole answer."""
        add_text(answer, Kind.REASONING, message.get("thinking"))
        add_text(answer, Kind.CONTENT, message["response"])
        _read_end(message, answer)


def _read_end(message: Message, answer: Answer) -> None:
    """Note counts and reason of the last message: no other has them."""
    if not message["done"]:
        return
    answer.done = True
    # A prompt that was in the cache as a whole is not counted by older servers: unknown then.
    read_usage({name: message[count] for count, name in _COUNTS.items() if message.get(count) is not None}, answer)
    add_finish(answer, message.get("done_reason") or "stop")


def _with_images(message: Message) -> Message:
    """Return a chat message whose content is text, with its images as this API takes them."""
    images = _images(message.get("content"))
    if not isinstance(message.get("content"), list):
        return message
    return {**message, "content": text_of(message["content"]), **({"images": images} if images else {})}


def _images(content: Json) -> list[str]:
    """Return the images of a content as base64: this API takes no URL."""
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    urls = [part["image_url"]["url"] for part in parts if part.get("type") == "image_url"]
    return [url.partition(";base64,")[2] or url for url in urls]
