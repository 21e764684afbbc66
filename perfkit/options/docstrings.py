"""What the declaration of an option says of it, in the form of a docstring."""

import dataclasses
import inspect
import sys
from collections.abc import Iterable, Mapping
from typing import Any

Option = dataclasses.Field[Any]


def described(options: Iterable[Option]) -> str:
    """Describe options as the section of a docstring does.

    Examples
    --------
    >>> from perfkit.options.arguments import OPTIONS
    >>> print(described([OPTIONS["duration"], OPTIONS["arrival"]]))
    duration : float or None, s, above 0
        stop sending after this time, such as 90 or 2min
    arrival : 'poisson', 'constant' or 'gamma', default 'poisson'
        arrival process of the open model
    """
    return "\n".join(f"{each.name} : {_facts(each)}\n    {each.metadata['meaning']}" for each in options)


def with_section(docstring: str, after: str, title: str, body: str) -> str:
    """Insert a section behind the paragraph that holds a text; a docstring that lacks it ends with the section."""
    head, found, rest = docstring.partition(after)
    end, blank, tail = rest.partition("\n\n")
    return f"{head}{found}{end}\n\n{title}\n{'-' * len(title)}\n{body}{blank}{tail}"


def default_value(option: Option) -> Any:
    """Return what an option is when it was not given."""
    return option.default if option.default_factory is dataclasses.MISSING else option.default_factory()


def spelt_range(facts: Mapping[str, Any]) -> str:
    """Return what a number may be.

    Examples
    --------
    >>> spelt_range({"ge": 0, "le": 1})
    'from 0 to 1'
    """
    signs = {"ge": "from", "gt": "above", "le": "to"}
    return " ".join(f"{sign} {facts[name]:g}" for name, sign in signs.items() if name in facts)


def _facts(option: Option) -> str:
    facts, default = option.metadata, default_value(option)
    *most, last = facts.get("choices", ("",))
    kind = f"{', '.join(map(repr, most))} or {last!r}" if most else _kind(option.type)
    is_given = default not in (None, "", (), {}, sys.maxsize)
    parts = (kind, facts["unit"], spelt_range(facts), f"default {default!r}" if is_given else "")
    return ", ".join(filter(None, parts))


def _kind(annotation: object) -> str:
    shown = inspect.formatannotation(annotation).replace("typing.Any", "object")
    for module in ("collections.abc.", "typing.", "perfkit.records.", "perfkit.secrets."):
        shown = shown.replace(module, "")
    return shown.replace(" | ", " or ")
