"""Bodies sent as they are: for replaying what was recorded."""

from typing import Any

from perfkit.apis.base import DefaultApiPlugin
from perfkit.arguments import Arguments
from perfkit.errors import UsageError
from perfkit.records import Json


class Verbatim(DefaultApiPlugin):
    """Sends whole bodies unchanged, but for the model's name.

    Examples
    --------
    >>> Verbatim(Arguments(model="b")).build_request({"model": "a", "prompt": "hi", "top_k": 3})
    {'model': 'b', 'prompt': 'hi', 'top_k': 3}
    """

    path = ""

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Return the body with this run's model in place of its own."""
        param = param or self.param
        if not isinstance(messages, dict):
            raise UsageError(f"the api verbatim sends whole bodies, got {type(messages).__name__}")
        model = param.model if param is not None else None
        return {**messages, "model": model} if model is not None and "model" in messages else dict(messages)
