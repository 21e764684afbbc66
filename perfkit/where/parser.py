"""Parses the ``where`` language by recursive descent: one method a level, loosest first."""

from collections.abc import Callable
from typing import Final, Literal, NoReturn, TypeAlias, cast

from perfkit.where.scanner import COMPARISONS, UNITS, Token, refusal, scan
from perfkit.where.tree import Arithmetic, Comparison, Condition, Constant, IsNull, Logic, Membership, Name, Not, Value

NEST_LIMIT: Final = 40
OPERATOR_LIMIT: Final = 200

Operator: TypeAlias = Literal["+", "-", "*", "/"]


def parse(expression: str) -> Condition:
    """Read an expression.

    Parameters
    ----------
    expression : str
        See the module for the language.

    Returns
    -------
    Condition
        A tree of the dataclasses above.

    Raises
    ------
    UsageError
        (a ValueError) Anything that is not in the language, with the place and what to write instead.

    Examples
    --------
    >>> parse("ttft > 231ms")
    Comparison(operators=('>',), values=(Name(name='ttft'), Constant(value=0.231)))
    >>> parse("ttft > 1 & success = 1")
    Traceback (most recent call last):
    perfkit.errors.UsageError: where: '&' at character 10 of 'ttft > 1 & success = 1': write 'and'
    """
    return _Parser(expression).whole()


class _Parser:
    """One expression being read, by recursive descent."""

    def __init__(self, expression: str) -> None:
        self.expression = expression
        self.tokens = list(scan(expression))
        self.at = 0
        self.depth = 0
        self.operators = 0

    def fail(self, token: Token, advice: str) -> NoReturn:
        raise refusal(self.expression, token, advice)

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

    def whole(self) -> Condition:
        condition = self.condition(self.any_of())
        if self.next.sort != "end":
            self.fail(self.next, self.continuation())
        return condition

    def continuation(self) -> str:
        """Say what may follow a complete condition."""
        if self.at and self.next.sort == "name" and self.tokens[self.at - 1].sort == "constant":
            return f"expected 'and', 'or', the end, or a unit ({', '.join(UNITS)})"
        return "expected 'and', 'or' or the end"

    def condition(self, node: Condition | Value) -> Condition:
        if isinstance(node, Constant | Name | Arithmetic):
            self.fail(self.next, "a value alone is no condition; compare it, as in 'success = 1'")
        return node

    def value(self, node: Condition | Value) -> Value:
        if not isinstance(node, Constant | Name | Arithmetic):
            self.fail(self.next, "a condition is no value; combine conditions by 'and', 'or', 'not'")
        return node

    def any_of(self) -> Condition | Value:
        return self.logic("or", self.all_of)

    def all_of(self) -> Condition | Value:
        return self.logic("and", self.negation)

    def logic(self, operator: Literal["and", "or"], part: Callable[[], Condition | Value]) -> Condition | Value:
        first = part()
        parts = []
        while self.operator(operator):
            parts.append(self.condition(part()))
        return Logic(operator, (self.condition(first), *parts)) if parts else first

    def negation(self) -> Condition | Value:
        if not self.take("not"):
            return self.relation()
        return Not(self.condition(self.nested(self.negation)))

    def relation(self) -> Condition | Value:
        left = self.sum()
        if self.take("is"):
            negated = self.take("not")
            self.expect("null")
            return _negated(IsNull(self.value(left)), negated)
        negated = self.take("not")
        if negated or self.next.value == "in":
            self.expect("in")
            return _negated(Membership(self.value(left), self.items()), negated)
        operators: list[str] = []
        values = [left]
        while operator := self.operator(*COMPARISONS):
            operators.append(operator)
            values.append(self.sum())
        return Comparison(tuple(operators), tuple(map(self.value, values))) if operators else left

    def items(self) -> tuple[int | float | str, ...]:
        self.expect("(")
        items = [self.constant()]
        while self.take(","):
            items.append(self.constant())
        self.expect(")")
        return tuple(items)

    def constant(self) -> int | float | str:
        node = self.factor()
        if not isinstance(node, Constant):
            self.fail(self.tokens[self.at - 1], "an item of 'in' is a number, or a text in quotes")
        return node.value

    def sum(self) -> Condition | Value:
        return self.arithmetic(("+", "-"), self.product)

    def product(self) -> Condition | Value:
        return self.arithmetic(("*", "/"), self.factor)

    def arithmetic(self, operators: tuple[str, str], part: Callable[[], Condition | Value]) -> Condition | Value:
        left = part()
        while operator := self.operator(*operators):
            left = Arithmetic(cast(Operator, operator), self.number(left), self.number(part()))
        return left

    def number(self, node: Condition | Value) -> Value:
        if isinstance(node, Constant) and isinstance(node.value, str):
            self.fail(self.tokens[self.at - 1], "a text cannot be calculated with")
        return self.value(node)

    def factor(self) -> Condition | Value:
        token = self.next
        if self.take("("):
            node = self.nested(self.any_of)
            self.expect(")")
            return node
        if self.take("-"):
            node = self.number(self.nested(self.factor))
            return _negative(node)
        self.at += 1
        if token.sort == "constant":
            return Constant(token.value)
        if token.sort == "name" and self.next.value != "(":
            return Name(str(token.value))
        if token.sort == "name":
            self.fail(token, "there are no functions in the language")
        if token.value == "null":
            self.fail(token, "nothing equals null; write 'is null' or 'is not null'")
        self.fail(token, "expected a name, a number or a text")

    def operator(self, *operators: str) -> str | None:
        """Take one of these operators, up to a number that neither sqlite nor this parser could nest."""
        found = self.take(*operators)
        self.operators += found is not None
        if self.operators > OPERATOR_LIMIT:
            self.fail(self.next, f"more than {OPERATOR_LIMIT} operators; 'in' takes any number of items")
        return found

    def nested(self, read: Callable[[], Condition | Value]) -> Condition | Value:
        self.depth += 1
        if self.depth > NEST_LIMIT:
            self.fail(self.next, f"nested deeper than {NEST_LIMIT} levels")
        node = read()
        self.depth -= 1
        return node


def _negative(node: Value) -> Value:
    if isinstance(node, Constant) and not isinstance(node.value, str):
        return Constant(-node.value)
    return Arithmetic("-", Constant(0), node)


def _negated(condition: Condition, negated: str | None) -> Condition:
    return Not(condition) if negated else condition
