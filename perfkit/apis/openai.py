"""OpenAI's chat completions and completions, and the many servers that imitate them."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perfkit.apis.base import DefaultApiPlugin, sampling_fields, with_extras
from perfkit.arguments import Arguments
from perfkit.errors import UsageError
from perfkit.records import Answer, Json, Kind, Message

_CONTENT, _REASONING, _TOOL, _ROLE = Kind.CONTENT, Kind.REASONING, Kind.TOOL, Kind.ROLE


class OpenAI(DefaultApiPlugin):
    """Chat completions; completions when the URL ends with ``/completions``."""

    path = "/v1/chat/completions"

    def __init__(self, param: Arguments) -> None:
        super().__init__(param)
        self.template = read_template(param.query_template)

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a chat body of messages, of a prompt, or of a whole body.

        Examples
        --------
        >>> OpenAI(Arguments(model="qwen", stream=False)).build_request("hi")
        {'messages': [{'role': 'user', 'content': 'hi'}], 'model': 'qwen', 'stream': False}
        """
        param = param or self.param or Arguments()
        if isinstance(messages, dict):
            return finished(messages, param)
        body = filled(self.template, messages, param)
        if self.chats(param):
            body["messages"] = as_messages(messages)
        else:
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


def read_template(template: str | None) -> dict[str, Json]:
    """Read ``query_template``: a JSON object, or ``@file`` holding one.

    Raises
    ------
    UsageError
        The file cannot be read, or it is no JSON object.

    Examples
    --------
    >>> read_template('{"model": "%m", "top_k": 5}')
    {'model': '%m', 'top_k': 5}
    """
    if not template:
        return {}
    try:
        text = Path(template[1:]).expanduser().read_text(encoding="utf-8") if template.startswith("@") else template
        body = json.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read the query template {template[1:]}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"query_template is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise UsageError(f"query_template must be a JSON object, got {text.strip()[:60]!r}")
    return body


def filled(template: dict[str, Json], messages: Any, param: Arguments) -> dict[str, Json]:
    """Return a copy of a template with its ``%m`` and ``%p`` replaced."""
    if not template:
        return {}
    body: dict[str, Json] = json.loads(json.dumps(template))
    DefaultApiPlugin.replace_values(body, param.model or "", as_text(messages))
    return body


def finished(body: dict[str, Json], param: Arguments) -> dict[str, Json]:
    """Return a body with model, stream and the sampling fields that were given; a body's own stream stays."""
    model = {"model": param.model} if param.model else {}
    body = {**body, **model, "stream": body.get("stream", param.stream)}
    if body["stream"]:
        body.setdefault("stream_options", {"include_usage": True})
    return with_extras({**body, **sampling_fields(param)}, param)


def as_messages(messages: Any) -> list[Message]:
    """Return chat messages; a str becomes one of the user.

    Examples
    --------
    >>> as_messages("hi")
    [{'role': 'user', 'content': 'hi'}]
    """
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)


def as_text(messages: Any) -> str:
    r"""Return the text of messages, a blank line between two; a str stays.

    Examples
    --------
    >>> as_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}])
    'Be brief.\n\nhi'
    """
    if isinstance(messages, str):
        return messages
    return "\n\n".join(text_of(message.get("content")) for message in messages)


def text_of(content: Json) -> str:
    """Return the text of a message's content: a str, or a list of content parts.

    Examples
    --------
    >>> text_of([{"type": "text", "text": "what is "}, {"type": "image_url"}, {"type": "text", "text": "this?"}])
    'what is this?'
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return ""


def read_openai(message: Message, answer: Answer, event: str = "") -> None:
    """Note in an answer what one message of a chat or completions API carries.

    Parameters
    ----------
    message : dict
        A decoded SSE payload, or the body of an answer not streamed.
    answer : Answer
        Gains pieces, counts, finish reason, error.
    event : str
        SSE event name; ``"error"`` makes the message an error.

    Examples
    --------
    >>> answer = Answer()
    >>> read_openai({"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}, answer)
    >>> answer.output_text
    'Hi'
    """
    # Nearly every message of a stream is one piece of text: it is recognised with a handful of look-ups.
    choices = message.get("choices")
    if choices and answer.message and len(choices) == 1 and not message.get("usage"):
        choice = choices[0]
        delta = choice.get("delta")
        if delta and len(delta) == 1 and not choice.get("finish_reason"):
            text = delta.get("content")
            if text and text.__class__ is str:
                answer.pieces.append((_CONTENT, choice.get("index", 0), text, answer.message))
                return
    _read_any(message, answer, event)


def _read_any(message: Message, answer: Answer, event: str) -> None:
    if answer.server_request_id is None and isinstance(message.get("id"), str):
        answer.server_request_id = message["id"]
    error = error_text(message, event)
    if error is not None:
        answer.error = error
        answer.chunk(Kind.ERROR)
        return
    before = len(answer.pieces)
    for choice in message.get("choices") or ():
        _read_choice(choice, answer)
    usage = message.get("usage")
    if isinstance(usage, dict):
        read_usage(usage, answer)
    if len(answer.pieces) == before:
        answer.chunk(Kind.USAGE if usage else Kind.OTHER)


def _read_choice(choice: dict[str, Json], answer: Answer) -> None:
    index = choice.get("index") or 0
    part = choice.get("delta") or choice.get("message") or {}
    reasoning = part.get("reasoning_content") or part.get("reasoning")
    text = text_of(part.get("content")) or choice.get("text") or part.get("refusal")
    finish = choice.get("finish_reason")
    before = len(answer.pieces)
    if reasoning:
        answer.chunk(_REASONING, reasoning, index)
    if text:
        answer.chunk(_CONTENT, text, index)
    for call in part.get("tool_calls") or ():
        answer.chunk(_TOOL, _tool_text(call), index)
    if finish:
        answer.finish_reason = answer.finish_reason or finish
        answer.chunk(Kind.FINISH, "", index)
    if len(answer.pieces) == before:
        answer.chunk(_ROLE if part.get("role") else Kind.OTHER, "", index)


def _tool_text(call: dict[str, Json]) -> str:
    function = call.get("function") or {}
    return f"{function.get('name') or ''}{function.get('arguments') or ''}"


def read_usage(usage: dict[str, Json], answer: Answer) -> None:
    """Note the counts of a usage object, whichever of the common names it uses.

    Examples
    --------
    >>> answer = Answer()
    >>> read_usage({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}, answer)
    >>> answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens
    (9, 2, 8)
    """
    prompt_details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    output_details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    found = {
        "prompt_tokens": _first_count(usage, "prompt_tokens", "input_tokens"),
        "completion_tokens": _first_count(usage, "completion_tokens", "output_tokens"),
        "cached_tokens": _first_count({**usage, **prompt_details}, "cached_tokens", "prompt_cache_hit_tokens"),
        "reasoning_tokens": _first_count({**usage, **output_details}, "reasoning_tokens"),
    }
    for name, count in found.items():
        if count is not None:
            setattr(answer, name, count)


def _first_count(usage: dict[str, Json], *names: str) -> int | None:
    return next((usage[name] for name in names if isinstance(usage.get(name), int)), None)


def error_text(message: Message, event: str = "") -> str | None:
    """Return the error that a message carries, None if it carries none.

    Examples
    --------
    >>> error_text({"error": {"message": "out of memory", "type": "server_error"}})
    'out of memory'
    >>> error_text({"choices": []}) is None
    True
    """
    error = message.get("error")
    if not error and message.get("object") != "error" and event != "error":
        return None
    while isinstance(error, dict) and (error.get("message") or error.get("error")):
        error = error.get("message") or error.get("error")
    return error if isinstance(error, str) else str(message.get("message") or error or json.dumps(message))
