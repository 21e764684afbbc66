"""Cuts an expression of the ``where`` language into tokens."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from perfkit.errors import UsageError

COMPARISONS: Final = ("=", "!=", "<", "<=", ">", ">=")
UNITS: Final = {
    **{"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3},
    **{"s": 1.0, "min": 60.0, "h": 3600.0, "%": 0.01},
}
"""What one of each is, in seconds or as a share."""
DURATIONS: Final = ", ".join(unit for unit in UNITS if unit.isascii() and unit != "%")
"""The units of time, as a message names them."""

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>(?:ns|us|µs|μs|ms|s|min|h)(?![\w.])|%)?
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<name>[^\W\d][\w.]*|`[^`]+`)
    |(?P<mark><=|>=|==|!=|<>|[-+*/×÷−=<>(),])
    |(?P<end>$)
    )""",
    re.VERBOSE,
)
_QUANTITY: Final = re.compile(r"\s*([+-]?)((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\W\d_]+|%|)\s*")
_SPELLING: Final = {"==": "=", "<>": "!=", "×": "*", "÷": "/", "−": "-"}
_INSTEAD: Final = {"&": "write 'and'", "|": "write 'or'", "~": "write 'not'", "!": "write 'not'"}
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "is", "null"})
_TRUTHS: Final = {"true": 1, "false": 0}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``at`` is its first character, from 0."""

    sort: Literal["constant", "name", "word", "mark", "end"]
    value: int | float | str
    at: int


def scan(expression: str) -> Iterator[Token]:
    """Yield the tokens of an expression, an ``end`` last.

    Raises
    ------
    UsageError
        At the first character that is not in the language.

    Examples
    --------
    >>> [token.value for token in scan("ttft > 5%")]
    ['ttft', '>', 0.05, '']
    """
    at = 0
    while found := _TOKEN.match(expression, at):
        yield _token(found)
        if found["end"] is not None:
            return
        at = found.end()
    at += len(expression[at:]) - len(expression[at:].lstrip())
    character = expression[at]
    never_closed = "this quote is never closed" if character in "'\"`" else "this is not in the language"
    raise refusal(expression, Token("mark", character, at), _INSTEAD.get(character, never_closed))


def refusal(expression: str, token: Token, advice: str) -> UsageError:
    """Return the error for a token that cannot stand where it stands."""
    what = "the end" if token.sort == "end" else repr(token.value)
    return UsageError(f"where: {what} at character {token.at + 1} of {expression!r}: {advice}")


def _token(found: re.Match[str]) -> Token:
    sort = str(found.lastgroup if found.lastgroup != "unit" else "number")
    written, at = found[sort], found.start(sort)
    match sort:
        case "number":
            return Token("constant", _quantity(written, found["unit"]), at)
        case "text":
            quote = written[0]
            return Token("constant", written[1:-1].replace(quote * 2, quote), at)
        case "mark":
            return Token("mark", _SPELLING.get(written, written), at)
        case "end":
            return Token("end", "", at)
    word = written.lower()
    if word in _TRUTHS:
        return Token("constant", _TRUTHS[word], at)
    return Token("word", word, at) if word in _KEYWORDS else Token("name", written.strip("`"), at)


def _quantity(digits: str, unit: str | None) -> int | float:
    if unit is None:
        number = float(digits)
        return int(digits) if digits.isdecimal() and abs(number) < 2**63 else number
    # 231 / 1000 is the float nearest to 0.231, 231 * 0.001 is not.
    factor = UNITS[unit]
    return float(digits) * factor if factor >= 1 else float(digits) / round(1 / factor)


def quantity(text: str) -> tuple[float, str] | None:
    """Read a number alone: its value, in seconds or as a share where it has a unit, and the unit; None for no number.

    Examples
    --------
    >>> quantity("-300ms"), quantity("10 %"), quantity("20"), quantity("5m")
    ((-0.3, 'ms'), (0.1, '%'), (20, ''), None)
    """
    found = _QUANTITY.fullmatch(text)
    if found is None or (found[3] and found[3] not in UNITS):
        return None
    value = _quantity(found[2], found[3] or None)
    return (-value if found[1] == "-" else value), found[3]
