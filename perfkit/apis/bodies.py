"""Request bodies: the fields that Arguments give, templates, whole bodies, and what all built-in APIs share."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from perfkit.apis.base import ApiPluginBase, DefaultApiPlugin
from perfkit.apis.pieces import text_of
from perfkit.arguments import Arguments
from perfkit.errors import UsageError
from perfkit.records import Json, Message

BODY_FIELDS = (
    *("max_tokens", "min_tokens", "temperature", "top_p", "top_k"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty"),
    *("logprobs", "seed", "stop", "stop_token_ids"),
)


def sampling_fields(param: Arguments) -> dict[str, Json]:
    """Return the sampling fields that were given, under the names OpenAI's APIs use.

    Examples
    --------
    >>> sampling_fields(Arguments(max_tokens=8, temperature=0.0))
    {'max_tokens': 8, 'temperature': 0.0}
    """
    fields = {name: getattr(param, name) for name in BODY_FIELDS if getattr(param, name) is not None}
    if param.n_choices is not None:
        fields["n"] = param.n_choices
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def with_extras(body: dict[str, Json], param: Arguments) -> dict[str, Json]:
    """Return the body with ``extra_args`` and ``parameters`` merged in, these winning."""
    extras: Mapping[str, Json] = {**param.extra_args, **param.parameters}
    return {**body, **extras}


@lru_cache(maxsize=8)
def _template_text(template: str) -> str:
    return Path(template[1:]).expanduser().read_text(encoding="utf-8") if template.startswith("@") else template


def read_template(template: str) -> dict[str, Json]:
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
    try:
        text = _template_text(template)
        body = json.loads(text)
    except OSError as error:
        raise UsageError(f"cannot read the query template {template[1:]}: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"query_template is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise UsageError(f"query_template must be a JSON object, got {text.strip()[:60]!r}")
    return body


def from_template(template: str | None, asked: Any, model: str | None) -> tuple[dict[str, Json], bool]:
    """Fill a template: ``%m`` becomes the model, ``%p`` the prompt.

    Returns
    -------
    (dict, bool)
        The body, empty without a template, and whether the prompt is in it.

    Examples
    --------
    >>> from_template('{"model": "%m", "input": {"text": "say %p"}}', "hi", "qwen")
    ({'model': 'qwen', 'input': {'text': 'say hi'}}, True)
    """
    if not template:
        return {}, False
    body = read_template(template)
    placed = "%p" in json.dumps(body)
    ApiPluginBase.replace_values(body, model or "", as_text(asked) if placed else "")
    return body, placed


def apart(given: Any) -> tuple[Any, dict[str, Json]]:
    """Separate what is asked from the other fields, if a whole body is given.

    Returns
    -------
    (list, str or None, dict)
        None when the body holds neither messages nor a prompt.

    Examples
    --------
    >>> apart("hi"), apart({"prompt": "hi", "max_tokens": 5})
    (('hi', {}), ('hi', {'max_tokens': 5}))
    """
    if not isinstance(given, dict):
        return given, {}
    name = next((name for name in ("messages", "prompt") if name in given), None)
    return (given[name] if name else None), {field: value for field, value in given.items() if field != name}


class BodyApi(DefaultApiPlugin):
    """An API whose body is what is asked, under one field or another, with the run's fields around it.

    Subclasses say where a prompt stands (``asking``) and what goes with it (``finished``). A template that has
    ``%p`` says it by itself; the fields of a whole body stay, and those that the run gives win over them.
    """

    def __init__(self, param: Arguments | None = None) -> None:
        super().__init__(param)
        from_template(self.param.query_template, "", None)  # so that a bad one is told before anything is sent

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make the body of messages, of a prompt, or of a whole body."""
        param = param or self.param
        asked, fields = apart(messages)
        body, placed = from_template(param.query_template, asked, param.model)
        if asked is not None and not placed:
            body.update(self.asking(asked, param))
        return self.finished({**body, **fields, **({"model": param.model} if param.model else {})}, param)

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the field or fields that ask."""
        return {"messages": as_messages(asked)}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with all other fields."""
        body = {**body, "stream": body.get("stream", param.stream)}
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
    items = messages if isinstance(messages, list) else ()
    return "\n\n".join(text_of(item.get("content") if isinstance(item, dict) else item) for item in items)


def prompt_of(body: Mapping[str, Json]) -> str:
    """Return the text that a body asks with, in whichever field it stands.

    Examples
    --------
    >>> prompt_of({"messages": [{"role": "user", "content": "hi"}]})
    'hi'
    """
    held = body.get("input", body)
    if not isinstance(held, dict):
        return as_text(held)
    return as_text(next((held[name] for name in _ASKING if held.get(name)), ""))


_ASKING = ("messages", "prompt", "input_text", "query")
_SHOWN = 4000
"""Characters of a prompt that a row keeps as ``prompt_text``."""


def prompt_columns(body: Mapping[str, Json]) -> dict[str, Json]:
    """Return the columns of a row that tell its prompt: all of it hashed, and what the user said last.

    Examples
    --------
    >>> asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
    >>> prompt_columns({"messages": asked})
    {'prompt_hash': '726b58959927f5b7', 'prompt_text': 'hi'}
    >>> prompt_columns({})
    {}
    """
    text = prompt_of(body)
    if not text:
        return {}
    held = body["input"] if isinstance(body.get("input"), dict) else body
    said = held["messages"] if isinstance(held.get("messages"), list) else []
    users = [each for each in said if isinstance(each, dict) and each.get("role") == "user"]
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return {"prompt_hash": digest, "prompt_text": (as_text(users[-1:]) or text)[:_SHOWN]}
