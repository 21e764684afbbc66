"""DashScope's text generation API."""

from typing import Any

from perfkit.apis.bodies import BODY_FIELDS, BodyApi, sampling_fields
from perfkit.arguments import Arguments
from perfkit.records import Json


class DashScope(BodyApi):
    """Text generation: the prompt under ``input``, everything else under ``parameters``.

    A stream is asked for by the header ``X-DashScope-SSE``; each message then carries the new text only.

    Examples
    --------
    >>> DashScope(Arguments(model="qwen-turbo", parameters={"top_p": 0.8})).build_request("hello")["parameters"]
    {'result_format': 'message', 'incremental_output': True, 'top_p': 0.8}
    """

    path = "/api/v1/services/aigc/text-generation/generation"

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
            **param.parameters,
        }
        around = {name: value for name, value in body.items() if name not in BODY_FIELDS}
        return {**around, "parameters": parameters, **param.extra_args}
