"""The language of ``runs.where("ttft > 231ms and model = 'qwen'")``: checked here, and compiled to sqlite.

::

    condition   a < x <= b     = == != <> < <= > >=, chained      and  or  not  ( )
                model in ('a', 'b')    tag not in (1, 2)          x is null    x is not null
                model like 'qwen%'     model not like '%-awq'     % any characters, _ any one; capitals do not matter
                ttft > p95             ttft > 2 * p50             percentiles of what they are compared with
    value       name  `odd name`  'text'  "text"  12  1.5e3  231ms  5%  true  false    + - * / ( )
    units       ns us ms s min m h (seconds inside), % (a share)

A comparison with a missing value is neither true nor false, and ``not`` does not make it true: a row is kept only
when the whole condition is true. Numbers sort before texts. Text in arithmetic is missing, division by zero as well.
A percentile is that of each run by itself, over its successful steady requests, as in its summary.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, Protocol

from perfkit.errors import UsageError
from perfkit.options.units import UNITS, scaled

COMPARISONS: Final = ("=", "!=", "<", "<=", ">", ">=")
NEST_LIMIT: Final = 40
OPERATOR_LIMIT: Final = 200
PATTERN_LIMIT: Final = 1000

_TOKEN: Final = re.compile(
    r"""\s*(?:
    (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>(?:ns|us|µs|μs|ms|s|min|m|h)(?![\w.])|%)?
    |(?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    |(?P<name>[^\W\d][\w.]*|`[^`]+`)
    |(?P<mark><=|>=|==|!=|<>|[-+*/×÷−=<>(),])
    |(?P<end>$)
    )""",
    re.VERBOSE,
)
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
_SPELLING: Final = {"==": "=", "<>": "!=", "×": "*", "÷": "/", "−": "-"}
_INSTEAD: Final = {"&": "write 'and'", "|": "write 'or'", "~": "write 'not'", "!": "write 'not'"}
_KEYWORDS: Final = frozenset({"and", "or", "not", "in", "is", "null", "like"})
_TRUTHS: Final = {"true": 1, "false": 0}

Constant = int | float | str | None


class Columns(Protocol):
    """What the names of an expression stand for."""

    def sql(self, name: str) -> str | None:
        """Return the SQL expression behind a name; None where nothing is called so."""

    def refuse(self, name: str) -> NoReturn:
        """Raise the error for a name that nothing has."""

    def is_number(self, name: str) -> bool:
        """Tell whether a column holds numbers alone."""

    def percentile(self, sql: str, parameters: Sequence[Constant], percent: float) -> float | None:
        """Return a percentile of an SQL expression."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A compiled expression: the text of a WHERE clause, its parameters, and the names that it uses."""

    sql: str
    parameters: tuple[Constant, ...]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class Token:
    """One token; ``at`` is its first character, from 0."""

    sort: Literal["constant", "name", "word", "mark", "end"]
    value: int | float | str
    at: int


def compile_filter(expression: str, columns: Columns) -> Filter:
    """Compile an expression to SQL.

    Parameters
    ----------
    expression : str
        See the module for the language.
    columns : Columns
        What its names stand for.

    Returns
    -------
    Filter

    Raises
    ------
    UsageError
        (a ValueError) Anything that is not in the language, with the place and what to write instead; or a name that
        nothing has.
    """
    return _Compiler(expression, columns).whole()


def names_in(expression: str) -> frozenset[str]:
    """Return the names that an expression uses, ``p95`` among them.

    Examples
    --------
    >>> sorted(names_in("ttft + tpot > 1 or not model in ('a', 'b')"))
    ['model', 'tpot', 'ttft']
    """
    return frozenset(str(token.value) for token in _tokens(expression) if token.sort == "name")


def _tokens(expression: str) -> Iterator[Token]:
    at = 0
    while found := _TOKEN.match(expression, at):
        yield _token(found)
        if found["end"] is not None:
            return
        at = found.end()
    at += len(expression[at:]) - len(expression[at:].lstrip())
    character = expression[at]
    never_closed = "this quote is never closed" if character in "'\"`" else "this is not in the language"
    raise _refusal(expression, Token("mark", character, at), _INSTEAD.get(character, never_closed))


def _token(found: re.Match[str]) -> Token:
    sort = str(found.lastgroup if found.lastgroup != "unit" else "number")
    written, at = found[sort], found.start(sort)
    match sort:
        case "number":
            return Token("constant", _number(written, found["unit"]), at)
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


def _number(digits: str, unit: str | None) -> int | float:
    if unit is None:
        number = float(digits)
        return int(digits) if digits.isdecimal() and abs(number) < 2**63 else number
    return scaled(digits, UNITS[unit])


def _refusal(expression: str, token: Token, advice: str) -> UsageError:
    what = "the end" if token.sort == "end" else repr(token.value)
    return UsageError(f"where: {what} at character {token.at + 1} of {expression!r}: {advice}")


@dataclass(frozen=True, slots=True)
class _Percentile:
    """Stands among the parameters until what it is a percentile of is known."""

    percent: float
    name: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of SQL and its parameters."""

    sql: str
    parameters: tuple["Constant | _Percentile", ...] = ()
    kind: Literal["condition", "value", "name", "constant"] = "condition"
    name: str = ""

    def __str__(self) -> str:
        # The plus takes the column's affinity away, by which sqlite would read '5' as 5.
        return f"+({self.sql})" if self.kind == "name" else self.sql

    @property
    def constant(self) -> "Constant | _Percentile":
        return self.parameters[0] if self.kind == "constant" else None


class _Compiler:
    """One expression being compiled, by recursive descent: one method a level, loosest first."""

    def __init__(self, expression: str, columns: Columns) -> None:
        self.expression, self.columns = expression, columns
        self.tokens = list(_tokens(expression))
        self.at = self.depth = self.operators = 0
        self.names: set[str] = set()

    def whole(self) -> Filter:
        part = self.condition(self.any_of())
        if self.next.sort != "end":
            follows_constant = self.next.sort == "name" and self.tokens[self.at - 1].sort == "constant"
            unit = f"'and', 'or', the end, or a unit ({', '.join(UNITS)})"
            self.fail(self.next, "expected " + (unit if follows_constant else "'and', 'or' or the end"))
        for name in sorted(self.names):
            if self.columns.sql(name) is None:
                self.columns.refuse(name)
        return Filter(part.sql, tuple(self.settled(part)), frozenset(self.names))

    def fail(self, token: Token, advice: str) -> NoReturn:
        raise _refusal(self.expression, token, advice)

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, *values: str) -> str | None:
        """Take the next word or mark if it is one of these."""
        token = self.next
        if token.sort not in ("word", "mark") or token.value not in values:
            return None
        self.at += 1
        return str(token.value)

    def expect(self, value: str) -> None:
        if self.take(value) is None:
            self.fail(self.next, f"expected {value!r}")

    def operator(self, *operators: str) -> str | None:
        """Take one of these operators, up to a number that neither sqlite nor this compiler could nest."""
        found = self.take(*operators)
        self.operators += found is not None
        if self.operators > OPERATOR_LIMIT:
            self.fail(self.next, f"more than {OPERATOR_LIMIT} operators; 'in' takes any number of items")
        return found

    def nested(self, read: Callable[[], _Part]) -> _Part:
        self.depth += 1
        if self.depth > NEST_LIMIT:
            self.fail(self.next, f"nested deeper than {NEST_LIMIT} levels")
        part = read()
        self.depth -= 1
        return part

    def condition(self, part: _Part) -> _Part:
        if part.kind != "condition":
            self.fail(self.next, "a value alone is not a condition; compare it, as in 'success = 1'")
        return part

    def value(self, part: _Part) -> _Part:
        if part.kind == "condition":
            self.fail(self.next, "a condition is not a value; combine conditions by 'and', 'or', 'not'")
        return part

    def settled(self, *parts: _Part) -> Iterator[Constant]:
        """Yield parameters among which no percentile may be left over."""
        for part in parts:
            for each in part.parameters:
                if isinstance(each, _Percentile):
                    raise UsageError(f"where: {each.name} is a percentile of what it is compared with: ttft > p95")
                yield each

    def any_of(self) -> _Part:
        return self.logic("or", self.all_of)

    def all_of(self) -> _Part:
        return self.logic("and", self.negation)

    def logic(self, operator: str, read: Callable[[], _Part]) -> _Part:
        first = read()
        parts = [first]
        while self.operator(operator):
            self.condition(first)
            parts.append(self.condition(read()))
        return first if len(parts) == 1 else self.joined(f" {operator.upper()} ", parts)

    def joined(self, operator: str, parts: Sequence[_Part]) -> _Part:
        return _Part(f"({operator.join(map(str, parts))})", tuple(each for part in parts for each in part.parameters))

    def negation(self) -> _Part:
        if not self.take("not"):
            return self.relation()
        inner = self.condition(self.nested(self.negation))
        return _Part(f"NOT {inner}", inner.parameters)

    def relation(self) -> _Part:
        left = self.sum()
        if self.take("is"):
            negated = self.take("not")
            self.expect("null")
            left = self.value(left)
            return _Part(f"({left} IS {'NOT ' if negated else ''}NULL)", tuple(self.settled(left)))
        not_ = "NOT " if self.take("not") else ""
        if not_ or self.next.value in ("in", "like"):
            return self.matched(self.value(left), not_)
        operators, values = [], [left]
        while operator := self.operator(*COMPARISONS):
            operators.append(operator)
            values.append(self.sum())
        if not operators:
            return left
        values = [self.value(value) for value in values]
        self.refuse_mixed(values)
        pairs = [self.compared(*each) for each in zip(values, operators, values[1:], strict=False)]
        return self.joined(" AND ", pairs)

    def matched(self, left: _Part, not_: str) -> _Part:
        """Return what stands before ``in`` or ``like`` with what follows."""
        if self.take("like"):
            token = self.next
            pattern = self.factor()
            if not isinstance(pattern.constant, str) or len(pattern.constant) > PATTERN_LIMIT:
                self.fail(token, f"what follows 'like' is a text in quotes, of at most {PATTERN_LIMIT} characters")
            return _Part(f"({left} {not_}LIKE ?)", (*self.settled(left), pattern.constant))
        self.expect("in")
        self.expect("(")
        items = [self.item()]
        while self.take(","):
            items.append(self.item())
        self.expect(")")
        self.refuse_mixed([left, *items])
        holes = ", ".join("?" * len(items))
        return _Part(f"({left} {not_}IN ({holes}))", tuple(self.settled(left, *items)))

    def item(self) -> _Part:
        part = self.factor()
        if part.kind != "constant":
            self.fail(self.tokens[self.at - 1], "an item of 'in' is a number, or a text in quotes")
        return part

    def compared(self, left: _Part, operator: str, right: _Part) -> _Part:
        parameters = (*self.measured(left, right), *self.measured(right, left))
        return _Part(f"{left} {operator} {right}", parameters)

    def measured(self, part: _Part, other: _Part) -> Iterator[Constant]:
        """Yield the parameters of one side of a comparison, with the percentiles of the other side filled in."""
        for each in part.parameters:
            if isinstance(each, _Percentile):
                each = self.columns.percentile(str(other), tuple(self.settled(other)), each.percent)
            yield each

    def refuse_mixed(self, values: Sequence[_Part]) -> None:
        """Raise where a text lacks its quotes, or where a number is compared with a text: all texts are greater."""
        names = [value.name for value in values if value.kind == "name"]
        bare = [name for name in names if self.columns.sql(name) is None and self.columns.sql(name.lower()) is None]
        if bare and len(bare) < len(names):
            column = next(name for name in names if name not in bare)
            raise UsageError(f"where: nothing is called {bare[0]!r}; strings need quotes: {column} = '{bare[0]}'")
        numbers = [name for name in names if self.columns.is_number(name)]
        for text in (value.constant for value in values if numbers and isinstance(value.constant, str)):
            try:
                float(str(text))
            except ValueError:
                raise UsageError(
                    f"where: {numbers[0]} is a number and {text!r} a string; write numbers without quotes: 100ms"
                ) from None

    def sum(self) -> _Part:
        return self.arithmetic(("+", "-"), self.product)

    def product(self) -> _Part:
        return self.arithmetic(("*", "/"), self.factor)

    def arithmetic(self, operators: tuple[str, str], read: Callable[[], _Part]) -> _Part:
        left = read()
        while operator := self.operator(*operators):
            a, b = self.real(left), self.real(read())
            left = _Part(f"({a} {operator} {b})", (*a.parameters, *b.parameters), "value")
        return left

    def real(self, part: _Part) -> _Part:
        """Return a value as a floating-point number, NULL where it is a text."""
        part = self.value(part)
        if isinstance(part.constant, str):
            self.fail(self.tokens[self.at - 1], "strings cannot be calculated with")
        if part.kind == "name":
            numeric = f"CASE WHEN typeof({part.sql}) IN ('integer', 'real') THEN CAST({part.sql} AS REAL) END"
            return _Part(numeric, part.parameters, "value")
        return _Part(f"CAST({part} AS REAL)", part.parameters, "value") if part.kind == "constant" else part

    def factor(self) -> _Part:
        token = self.next
        if self.take("("):
            part = self.nested(self.any_of)
            self.expect(")")
            return part
        if self.take("-"):
            return self.negative(self.nested(self.factor))
        self.at += 1
        if token.sort == "constant":
            return _Part("?", (token.value,), "constant")
        if token.sort == "name" and self.next.value != "(":
            return self.named(str(token.value))
        if token.sort == "name":
            self.fail(token, "there are no functions in the language")
        if token.value == "null":
            self.fail(token, "nothing equals null; write 'is null' or 'is not null'")
        self.fail(token, "expected a name, a number or a text")

    def named(self, name: str) -> _Part:
        sql = self.columns.sql(name)
        if sql is None and (found := _PERCENTILE.fullmatch(name)):
            return _Part("?", (_Percentile(float(found[1]), name),), "value")
        self.names.add(name)
        return _Part(sql or "NULL", (), "name", name)

    def negative(self, part: _Part) -> _Part:
        real = self.real(part)
        constant = part.constant
        if isinstance(constant, int | float):
            return _Part("?", (-constant,), "constant")
        return _Part(f"(CAST(0 AS REAL) - {real})", real.parameters, "value")
