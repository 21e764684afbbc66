"""An API that is known by a template only."""

from typing import Any

from perfkit.apis.bodies import BodyApi, from_template, with_extras
from perfkit.options.arguments import Arguments
from perfkit.records import Json
from perfkit.registry import register_api


@register_api("custom")
class Custom(BodyApi):
    """Any JSON API: the body is ``query_template`` with ``%m`` and ``%p`` replaced, and nothing else is put in.

    Without a template that says where the prompt stands, it is a chat body, or one with ``input_text``.

    Examples
    --------
    >>> Custom(Arguments(model="qwen", query_template='{"ask": "%p", "of": "%m"}')).build_request("hi")
    {'ask': 'hi', 'of': 'qwen'}
    """

    path = ""

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make the body of messages, of a prompt, or of a whole body."""
        param = param or self.param
        body, placed = from_template(param.query_template, messages, param.model_name)
        if placed:
            return with_extras(body, param)
        return super().build_request(messages, param)

    def asking(self, asked: Any, param: Arguments) -> dict[str, Json]:
        """Return messages as such, text as ``input_text``."""
        return {"input_text" if isinstance(asked, str) else "messages": asked}
