"""What a JSON file is about: the names at its top, found without decoding it, however it is written and cut."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_TOKEN: Final = re.compile(rb'[{}\[\]]|"([^"\\]*(?:\\.[^"\\]*)*)"(\s*:)?|"', re.DOTALL)
_OPENING: Final = frozenset((b"{", b"["))
_CLOSING: Final = frozenset((b"}", b"]"))


@dataclass(frozen=True)
class Outline:
    """The names of the top object of a JSON text, or of the first object in its top list."""

    keys: frozenset[bytes] = frozenset()
    is_list: bool = False

    def has(self, *alternatives: str) -> bool:
        """Tell whether the keys include all the words of one of the alternatives."""
        return any(self.keys.issuperset(words.encode().split()) for words in alternatives)


@lru_cache(maxsize=1)  # every importer looks at the same head
def outline(text: bytes) -> Outline:
    r"""Return the outline of a text that may be cut anywhere; empty when it does not start as JSON does.

    Examples
    --------
    >>> found = outline(b'[\n {"ttft_s": 0.1, "more": {"deep": 1}}, {"other": [1')
    >>> sorted(found.keys), found.is_list
    ([b'more', b'ttft_s'], True)
    >>> outline(b"latency,1").keys
    frozenset()
    """
    text = text.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"{", b"[")):
        return Outline()
    is_list = text.startswith(b"[")
    return Outline(frozenset(_keys(text, level=2 if is_list else 1)), is_list)


def _keys(text: bytes, level: int) -> Iterator[bytes]:
    """Yield the names of the first object that lies at a depth."""
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in _OPENING:
            depth += 1
            if depth == level and mark == b"[":
                return
        elif mark in _CLOSING:
            depth -= 1
            if depth < level:
                return
        elif token[2] and depth == level:
            yield token[1]


def open_at_end(text: bytes) -> str:
    r"""Return what stands open where a text of JSON values ends: ``{``, ``[``, ``"``, or nothing.

    Examples
    --------
    >>> open_at_end(b'{"a": 1}\n{"a": "x'), open_at_end(b'{"a": [1'), open_at_end(b'{"a": 1}\n')
    ('"', '[', '')
    """
    stack: list[bytes] = []
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in _OPENING:
            stack.append(mark)
        elif mark in _CLOSING:
            del stack[-1:]
        elif mark == b'"':
            return '"'
    return stack[-1].decode() if stack else ""
