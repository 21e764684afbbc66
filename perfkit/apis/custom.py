"""An API that is known by a template only."""

from typing import Any

from perfkit.apis.base import DefaultApiPlugin
from perfkit.apis.bodies import finished, from_template, with_extras
from perfkit.arguments import Arguments
from perfkit.records import Json


class Custom(DefaultApiPlugin):
    """Any JSON API: the body is ``query_template`` with ``%m`` and ``%p`` replaced, and nothing else put in."""

    path = ""

    def build_request(self, messages: Any, param: Arguments | None = None) -> dict[str, Json] | None:
        """Make a body of the template; without one, a chat body.

        Examples
        --------
        >>> Custom(Arguments(model="qwen", query_template='{"ask": "%p", "of": "%m"}')).build_request("hi")
        {'ask': 'hi', 'of': 'qwen'}
        """
        param = param or self.param
        if isinstance(messages, dict):
            return with_extras(messages, param)
        body, placed = from_template(param.query_template, messages, param.model)
        if placed:
            return with_extras(body, param)
        name = "input_text" if isinstance(messages, str) else "messages"
        return finished({**body, name: messages}, param)
