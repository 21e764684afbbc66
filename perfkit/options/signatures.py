"""Functions that take any option by keyword: their signatures and docstrings spell all of them out."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from perfkit.options.arguments import OPTIONS
from perfkit.options.docstrings import default_value, described, with_section

F = TypeVar("F", bound=Callable[..., Any])


def takes_options(function: F) -> F:
    """Spell out ``**given`` of a function: every option that it does not name itself, as it is declared."""
    signature = inspect.signature(function)
    *named, _ = signature.parameters.values()
    options = [option for name, option in OPTIONS.items() if name not in signature.parameters]
    spelt = [
        inspect.Parameter(
            option.name, inspect.Parameter.KEYWORD_ONLY, default=default_value(option), annotation=option.type
        )
        for option in options
    ]
    function.__signature__ = signature.replace(parameters=[*named, *spelt])  # type: ignore[attr-defined]
    if doc := inspect.getdoc(function):  # Python strips docstrings if asked to
        function.__doc__ = with_section(doc, "\n**given", "Other Parameters", described(options))
    return function
