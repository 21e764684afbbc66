"""DashScope's text generation API."""

from typing import Any

from perfkit.apis.bodies import BODY_FIELDS, BodyApi, merged, sampling_fields
from perfkit.apis.dialects import read_dashscope
from perfkit.options.arguments import Arguments
from perfkit.records import Json
from perfkit.registry import register_api


@register_api("dashscope")
class DashScope(BodyApi):
    """Text generation: the prompt under ``input``, everything else under ``parameters``.

    A stream is asked for by the header ``X-DashScope-SSE``; each message then carries the new text only.

    Examples
    --------
    >>> DashScope(Arguments(model="qwen-turbo", parameters={"top_p": 0.8})).build_request("hello")["parameters"]
    {'result_format': 'message', 'incremental_output': True, 'top_p': 0.8}
    """

    path = "/api/v1/services/aigc/text-generation/generation"
    read_answer = staticmethod(read_dashscope)

    def asks_stream(self, body: dict[str, Json]) -> bool:
        """Tell whether a request asks for a stream, which stands in no field of its body."""
        return self.param.stream

    @staticmethod
    def recognizes(message: Json) -> bool:
        """Tell whether a message has an output with a text or choices; those of others hold a ``message``."""
        output = message.get("output") if isinstance(message, dict) else None
        return (
            isinstance(output, dict)
            and not output.keys().isdisjoint(("text", "choices", "finish_reason"))
            and not isinstance(message.get("choices"), list)
        )

    def headers(self, param: Arguments) -> dict[str, str]:
        """Return the key, and the header that asks for a stream."""
        return {**super().headers(param), **({"X-DashScope-SSE": "enable"} if param.stream else {})}

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return the input: a prompt, or messages."""
        return {"input": {"prompt": asked} if isinstance(asked, str) else {"messages": asked}}

    def finished(self, body: dict[str, Json], param: Arguments) -> dict[str, Json]:
        """Return the body with the run's fields and ``parameters`` among its parameters."""
        parameters = {
            "result_format": "message",
            **({"incremental_output": True} if param.stream else {}),
            **{name: body[name] for name in BODY_FIELDS if name in body},
            **(body.get("parameters") or {}),
            **sampling_fields(param),
        }
        around = {name: value for name, value in body.items() if name not in BODY_FIELDS}
        return merged({**around, "parameters": merged(parameters, param.parameters)}, param.extra_args)
