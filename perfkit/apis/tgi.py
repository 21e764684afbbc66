"""The API of Hugging Face's text-generation-inference."""

from collections.abc import Mapping
from typing import Any

from perfkit.apis.bodies import BODY_FIELDS, BodyApi, merged, messages_text, sampling_fields
from perfkit.apis.pieces import add_finish, add_text
from perfkit.apis.usage import read_usage
from perfkit.options.arguments import Arguments
from perfkit.records import Answer, Json, Kind, Message
from perfkit.registry import register_api

_FIELDS = {"max_tokens": "max_new_tokens"}


@register_api("tgi")
class TextGeneration(BodyApi):
    """Generation: a prompt under ``inputs``, everything else under ``parameters``; whether it streams is in the path.

    Examples
    --------
    >>> TextGeneration(Arguments(max_tokens=8)).build_request("hi")
    {'inputs': 'hi', 'parameters': {'max_new_tokens': 8, 'details': True}}
    >>> TextGeneration(Arguments(stream=False)).path
    '/generate'
    """

    path = "/generate_stream"
    needs_model = False

    def __init__(self, param: Arguments | None = None) -> None:
        super().__init__(param)
        if not self.param.stream:
            self.path = "/generate"

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the prompt."""
        return {"inputs": messages_text(asked)}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with the run's fields and ``parameters`` among its parameters."""
        held = {name: body[name] for name in BODY_FIELDS if name in body} | sampling_fields(param)
        if isinstance(held.get("stop"), str):
            held["stop"] = [held["stop"]]
        parameters: dict[str, Json] = {
            **(body.get("parameters") or {}),
            **{_FIELDS.get(name, name): value for name, value in held.items()},
            "details": True,  # without it a whole answer has no count
        }
        parameters = merged(parameters, param.parameters)
        around = {name: value for name, value in body.items() if name not in (*BODY_FIELDS, "model")}
        return merged({**around, "parameters": parameters}, param.extra_args)

    def read_headers(self, headers: Mapping[str, str], answer: Answer) -> None:
        """Note the counts that stand beside a whole answer."""
        named = {"prompt_tokens": "x-prompt-tokens", "completion_tokens": "x-generated-tokens"}
        read_usage({name: headers[header] for name, header in named.items() if header in headers}, answer)

    def asks_stream(self, body: dict[str, Json]) -> bool:
        """Tell whether a request asks for a stream, which stands in no field of its body."""
        return self.param.stream

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message is a token of a stream, or a whole answer."""
        if not isinstance(message, dict):
            return False
        token = message.get("token")
        return (isinstance(token, dict) and "text" in token) or isinstance(message.get("generated_text"), str)

    @staticmethod
    def read_answer(message: Message, answer: Answer) -> None:
        """Read one event of a stream, whose last repeats the whole text, or the whole answer."""
        token, details = message.get("token"), message.get("details") or {}
        if token is None:
            add_text(answer, Kind.CONTENT, message["generated_text"])
        elif not token.get("special"):
            add_text(answer, Kind.CONTENT, token["text"])
        if message.get("generated_text") is None:
            return
        answer.done = True
        counts = {
            "prompt_tokens": details.get("input_length", len(details.get("prefill") or ()) or None),
            "completion_tokens": details.get("generated_tokens"),
        }
        read_usage({name: count for name, count in counts.items() if count is not None}, answer)
        add_finish(answer, details.get("finish_reason"))
