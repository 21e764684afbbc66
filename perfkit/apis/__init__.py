"""APIs: request bodies of prompts, and what the messages of an answer carry.

A built-in API is a class under ``@register_api`` in a module of this package; no list elsewhere mentions it. Where it
has a dialect of its own, the class says so, too: ``recognizes`` tells its messages from others, ``read_answer`` reads
one.
"""

from functools import cache
from typing import Any

from perfkit.registry import APIS


@cache
def _dialects() -> tuple[Any, ...]:
    found = dict.fromkeys(cls for cls in APIS.built_in.values() if "recognizes" in vars(cls))
    # Asked of the role, the end and the usage of each answer: the dialect that most servers speak comes first.
    return tuple(sorted(found, key=lambda cls: APIS.built_in["openai"] is not cls))


def dialect_of(message: Any) -> Any | None:
    """Return the built-in API class whose dialect a decoded message is in, None for a dialect that nobody knows.

    Examples
    --------
    >>> APIS.name_of(dialect_of({"response": "Hi", "done": False}))
    'ollama_generate'
    >>> dialect_of({"token": "Hi"}) is None
    True
    """
    for cls in _dialects():
        if cls.recognizes(message):
            return cls
    return None
