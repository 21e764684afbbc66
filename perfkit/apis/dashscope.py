"""DashScope's text generation API."""

from typing import Any

from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import from_template, sampling_fields
from perfkit.arguments import Arguments
from perfkit.records import Json


class DashScope(DefaultApiPlugin):
    """Text generation: the prompt under ``input``, everything else under ``parameters``.

    A stream is asked for by the header ``X-DashScope-SSE``; each message then carries the new text only.
    """

    path = "/api/v1/services/aigc/text-generation/generation"

    def headers(self, param: Arguments) -> dict[str, str]:
        """Return the key, and the header that asks for a stream."""
        return {**super().headers(param), **({"X-DashScope-SSE": "enable"} if param.stream else {})}

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body of messages, of a prompt, or of a whole body.

        Examples
        --------
        >>> DashScope(Arguments(model="qwen-turbo", parameters={"top_p": 0.8})).build_request("hello")["parameters"]
        {'result_format': 'message', 'incremental_output': True, 'top_p': 0.8}
        """
        param = param or self.param
        body, placed = from_template(param.query_template, messages, param.model)
        if isinstance(messages, dict):
            body = messages
        elif not placed:
            body["input"] = {"prompt": messages} if isinstance(messages, str) else {"messages": messages}
        parameters = {
            "result_format": "message",
            **({"incremental_output": True} if param.stream else {}),
            **(body.get("parameters") or {}),
            **sampling_fields(param),
            **param.parameters,
        }
        model = {"model": param.model} if param.model else {}
        return {**body, **model, "parameters": parameters, **param.extra_args}
