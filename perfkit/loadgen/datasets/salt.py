"""Makes prompts new to a server's prefix cache: a few characters before each, which no run had before."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

from perfkit.errors import UsageError
from perfkit.records import Json, Prompt, Salt

Salted = Callable[[Prompt, int | None], Prompt]
"""Salts the prompt of a place among the arrivals; that of the preflight request has none."""

_FIELDS = ("messages", "prompt", "input", "contents")
"""Fields of a body that ask, the first of them counts."""


def salting(kind: Salt, run_id: str) -> Salted:
    """Return what salts the prompts of a run.

    The salt is made of the run's id, which no other run has, and with ``request`` of the place, too.

    Examples
    --------
    >>> salted = salting("run", "01JE")
    >>> salted(Prompt("hi"), 0).content == salted(Prompt("hi"), 1).content != "hi"
    True
    >>> salted = salting("request", "01JE")
    >>> salted(Prompt("hi"), 0).content == salted(Prompt("hi"), 1).content
    False
    """

    def salted(prompt: Prompt, position: int | None) -> Prompt:
        place = f"/{position}" if kind == "request" else ""
        salt = blake2b(f"{run_id}{place}".encode(), digest_size=6).hexdigest()
        content = _begun(prompt.content, f"{salt} ")
        if content is None:
            where = "" if prompt.row is None else f" (item {prompt.row})"
            raise UsageError(
                f"salt={kind!r} needs prompts that begin with a text, got one without{where}; leave it out"
            )
        return replace(prompt, content=content)

    return (lambda prompt, position: prompt) if kind == "none" else salted


def _begun(content: Json, salt: str) -> Json:
    """Return what is asked with a text before its first text; None where it begins with none."""
    if isinstance(content, str):
        return salt + content
    if isinstance(content, list) and content:
        first = _begun(content[0], salt)
        return None if first is None else [first, *content[1:]]
    if not isinstance(content, dict):
        return None
    for name in (*_FIELDS, "content", "parts", "text"):
        if name in content:
            asked = _begun(content[name], salt)
            return None if asked is None else {**content, name: asked}
    return None
