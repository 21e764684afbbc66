"""Bodies sent as they are: for replaying what was recorded."""

from typing import Any

from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import with_extras, with_model
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from perfkit.records import Json
from perfkit.registry import register_api
from perfkit.secrets import hides_keys


@register_api("verbatim")
class Verbatim(DefaultApiPlugin):
    """Sends whole bodies unchanged, but for the model's name where one was given, and ``extra_args``.

    Examples
    --------
    >>> Verbatim(Arguments(model="b")).build_request({"model": "a", "prompt": "hi", "top_k": 3})
    {'model': 'b', 'prompt': 'hi', 'top_k': 3}
    """

    path = ""

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Return the body; a model that was given stands in place of its own."""
        param = param or self.param
        if not isinstance(messages, dict):
            raise UsageError(f"the api verbatim sends whole bodies, got {type(messages).__name__}")
        body = with_extras(with_model(messages, param.model_name if "model" in messages else None), param)
        if hides_keys(body):
            raise UsageError("the bodies were stored without the keys in them; give these again with extra_args")
        return body
