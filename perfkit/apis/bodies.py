"""Request bodies: the fields that Arguments give, templates, whole bodies, and what all built-in APIs share."""

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

from perfkit.apis.base import ApiPluginBase, DefaultApiPlugin
from perfkit.apis.pieces import text_of
from perfkit.errors import UsageError
from perfkit.options.arguments import WIRE, Arguments
from perfkit.records import Json, ListedModel, Message
from perfkit.secrets import read_text

BODY_FIELDS = tuple(WIRE.values())
"""Fields of a body in OpenAI's dialect that an option stands for."""


def sampling_fields(param: Arguments) -> dict[str, Json]:
    """Return the sampling fields that were given, under the names OpenAI's APIs use.

    Examples
    --------
    >>> sampling_fields(Arguments(max_tokens=8, temperature=0.0, n_choices=2))
    {'max_tokens': 8, 'temperature': 0.0, 'n': 2}
    """
    fields = {wire: getattr(param, name) for name, wire in WIRE.items()}
    return {
        wire: list(value) if isinstance(value, tuple) else value for wire, value in fields.items() if value is not None
    }


def refuse_unsent(param: Arguments, sends: str, takes: Collection[str]) -> None:
    """Refuse an option of the body that an API would not send.

    Examples
    --------
    >>> refuse_unsent(Arguments(top_k=5), "texts", ("max_tokens",))
    Traceback (most recent call last):
    perfkit.errors.UsageError: top_k is not sent by this API, which sends texts; leave it out, or pass it in extra_args
    """
    for name in (*WIRE, "query_template"):
        if name not in takes and getattr(param, name) is not None:
            raise UsageError(
                f"{name} is not sent by this API, which sends {sends}; leave it out, or pass it in extra_args"
            )


def unsent(param: Arguments, body: Mapping[str, Json]) -> list[str]:
    """Return the options of the body that were given and are in no field of one that an API made.

    Examples
    --------
    >>> unsent(Arguments(temperature=0.5, max_tokens=8), {"input": "hi", "config": {"maxOutputTokens": 8}})
    ['temperature']
    """
    names, _ = _names_and_leaves(body)
    put = {*param.extra_args, *param.parameters}
    values = _names_and_leaves({name: value for name, value in body.items() if name not in put})[1]
    given = {name: getattr(param, name) for name in WIRE if getattr(param, name) is not None}
    left = [
        name
        for name, value in given.items()
        if WIRE[name] not in names and not all(_leaf(each) in values for each in _each(value))
    ]
    template = read_template(param.query_template) if param.query_template else {}
    held = [_names_and_leaves(value)[1] for name, value in template.items() if name not in names]
    return left + ["query_template"] * any(_constants(leaves) - values for leaves in held)


def _constants(leaves: set[str]) -> set[str]:
    """Return what a template says by itself: neither a place for something else, nor a null that leaves a field out."""
    return {leaf for leaf in leaves if leaf != "None" and "%m" not in leaf and "%p" not in leaf}


def _names_and_leaves(body: Json) -> tuple[set[str], set[str]]:
    """Return the names of all fields of a body, and what its leaves are."""
    names: set[str] = set()
    values: set[str] = set()
    waiting = [body]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            names.update(value)
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        else:
            values.add(_leaf(value))
    return names, values


def _each(value: Any) -> Collection[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _leaf(value: Any) -> str:
    return f"{float(value):g}" if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)


def with_extras(body: dict[str, Json], param: Arguments) -> dict[str, Json]:
    """Return the body with ``extra_args`` and ``parameters`` merged in, these winning; null leaves a field out.

    Examples
    --------
    >>> with_extras({"model": "m", "stream_options": {}}, Arguments(extra_args={"stream_options": None, "top_k": 5}))
    {'model': 'm', 'top_k': 5}
    """
    return merged(body, {**param.extra_args, **param.parameters})


def least_tokens(body: Mapping[str, Json]) -> int | None:
    """Return how many tokens a body says that its answer must have at least; None where the model may end it earlier.

    Examples
    --------
    >>> least_tokens({"max_tokens": 64, "ignore_eos": True}), least_tokens({"max_tokens": 64, "min_tokens": 8, "n": 2})
    (64, 16)
    >>> least_tokens({"parameters": {"min_new_tokens": 5}}), least_tokens({"max_tokens": 64}) is None
    (5, True)
    """
    if _FIXING.isdisjoint(body):
        return None
    fields = {**body, **{name: value for inner in _INNER for name, value in _object(body.get(inner)).items()}}
    least = [fields.get(name) for name in _LEAST]
    if fields.get("ignore_eos") is True:
        least += [next((fields[name] for name in _MOST if fields.get(name)), None)]
    known = [number for number in least if isinstance(number, int) and number > 0]
    choices = fields.get("n")
    return max(known) * (choices if isinstance(choices, int) and choices > 0 else 1) if known else None


_INNER = ("parameters", "sampling_params", "options", "nvext", "extra_body")
_LEAST = ("min_tokens", "min_new_tokens", "min_completion_tokens")
_FIXING = frozenset({"ignore_eos", *_LEAST, *_INNER})
_MOST = ("max_completion_tokens", "max_tokens", "max_new_tokens", "max_output_tokens", "n_predict", "num_predict")


def _object(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, dict) else {}


def merged(body: Mapping[str, Json], extras: Mapping[str, Json]) -> dict[str, Json]:
    """Return the body with other fields merged in, these winning; a null among them leaves a field out."""
    both = {**body, **extras}
    return {name: value for name, value in both.items() if value is not None or name not in extras}


def with_model(body: dict[str, Json], model: str | None) -> dict[str, Json]:
    """Return the body with a model: the one that was given wins over its own, the one that the server listed does not.

    Examples
    --------
    >>> with_model({"model": "lora-a"}, "qwen"), with_model({"model": "lora-a"}, ListedModel("qwen"))
    ({'model': 'qwen'}, {'model': 'lora-a'})
    """
    if not model or (isinstance(model, ListedModel) and body.get("model")):
        return body
    return {**body, "model": str(model)}


@lru_cache(maxsize=8)
def _template_text(template: str) -> str:
    return read_text(template[1:], "the query template ") if template.startswith("@") else template


def read_template(template: str) -> dict[str, Json]:
    """Read ``query_template``: a JSON object, or ``@file`` holding one.

    Examples
    --------
    >>> read_template('{"model": "%m", "top_k": 5}')
    {'model': '%m', 'top_k': 5}
    """
    try:
        text = _template_text(template)
        body = json.loads(text)
    except ValueError as error:
        raise UsageError(f"query_template is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise UsageError(f"query_template must be a JSON object, got {text.strip()[:60]!r}")
    return body


def from_template(template: str | None, asked: Any, model: str | None) -> tuple[dict[str, Json], bool]:
    """Fill a template: ``%m`` becomes the model, ``%p`` the prompt.

    Examples
    --------
    >>> from_template('{"model": "%m", "input": {"text": "say %p"}}', "hi", "qwen")
    ({'model': 'qwen', 'input': {'text': 'say hi'}}, True)
    """
    if not template:
        return {}, False
    body = read_template(template)
    placed = "%p" in json.dumps(body)
    ApiPluginBase.replace_values(body, model or "", messages_text(asked) if placed else "")
    return body, placed


def apart(given: Any) -> tuple[Any, dict[str, Json]]:
    """Separate what is asked from the other fields, if a whole body is given.

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
        body, placed = from_template(param.query_template, asked, param.model_name)
        if asked is not None and not placed:
            body.update(self.asking(asked, param))
        return self.finished(with_model({**body, **fields}, param.model_name), param)

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the field or fields that ask."""
        return {"messages": as_messages(asked)}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with all other fields."""
        extras = {**sampling_fields(param), **param.extra_args, **param.parameters}
        body = {**body, "stream": body.get("stream", param.stream)}
        if extras.get("stream", body["stream"]) and param.include_usage:
            body.setdefault("stream_options", {"include_usage": True})
        if param.server_timings:
            body.setdefault("include_metrics", True)
        # Of the fields that nobody wrote, a template or a body of its own can say null, too.
        names = ("stream", "stream_options", "include_metrics")
        added: dict[str, Json] = {name: body[name] for name in names if name in body}
        return merged(body, {**added, **extras})


def as_messages(messages: Any) -> list[Message]:
    """Return chat messages; a str becomes one of the user.

    Examples
    --------
    >>> as_messages("hi")
    [{'role': 'user', 'content': 'hi'}]
    """
    return [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)


def messages_text(messages: Any) -> str:
    r"""Return the text of messages, a blank line between two; a str stays.

    Examples
    --------
    >>> messages_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}])
    'Be brief.\n\nhi'
    """
    if isinstance(messages, str):
        return messages
    items = messages if isinstance(messages, list) else ()
    return "\n\n".join(
        [text_of(item.get("content", item.get("parts")) if isinstance(item, dict) else item) for item in items]
    )


def prompt_of(body: Mapping[str, Json]) -> str:
    """Return the text that a body asks with, in whichever field it stands.

    Examples
    --------
    >>> prompt_of({"messages": [{"role": "user", "content": "hi"}]})
    'hi'
    """
    held = body.get("input", body)
    if not isinstance(held, dict):
        return messages_text(held)
    return messages_text(next((held[name] for name in _ASKING if held.get(name)), ""))


_ASKING = ("messages", "prompt", "input_text", "query", "inputs", "contents")
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
    several = said if len(said) > 1 else ()  # of a single message the text is known
    users = [each for each in several if isinstance(each, dict) and each.get("role") == "user"]
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).hexdigest()
    return {"prompt_hash": digest, "prompt_text": ((messages_text(users[-1:]) if users else "") or text)[:_SHOWN]}
