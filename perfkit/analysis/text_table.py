"""Numbers as people read them, and tables of them for a terminal and for a notebook.

Texts come from files and models and may be hostile: HTML is escaped, control characters are shown as such.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

from perfkit.printable import plain as plain


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a table. ``faint`` marks a number that rests on too little; ``strong`` makes a text bold in HTML."""

    text: str
    faint: bool = False
    number: bool = True
    strong: bool = False


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with at least three digits that count, thousands separated; a dash for NaN.

    Examples
    --------
    >>> [number(x) for x in (0.01234, 1.5, 12.345, 123.45, 12345.6, 7, float("nan"))]
    ['0.0123', '1.50', '12.3', '123', '12,346', '7', '–']
    """
    if value is None or math.isnan(value):
        return "–"
    if isinstance(value, int) or value == 0 or math.isinf(value):
        return f"{value:,}" if value != 0 else "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 9)}f}"


def change(ratio: float) -> str:
    """Return a ratio as a change in percent.

    Examples
    --------
    >>> change(0.88), change(1.012), change(12.5)
    ('-12 %', '+1.2 %', '+1,150 %')
    """
    percent = 100 * (ratio - 1)
    return f"{percent:+,.{0 if abs(percent) >= 9.95 else 1}f} %"


def listed(names: Sequence[str], most: int = 3) -> str:
    """Name the first few of several.

    Examples
    --------
    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a and b', 'a, b, c and 2 more')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def label(text: object) -> Cell:
    """Return a cell of text, set to the left."""
    return Cell(plain(text), number=False)


def group_name(by: object, value: object) -> str:
    """Return what a group is called; where it has no value of what groups are told apart by, it is without.

    Examples
    --------
    >>> group_name("gpu", "H100"), group_name("gpu", None), group_name("gpu", float("nan"))
    ('H100', 'without gpu', 'without gpu')
    """
    return f"without {by}" if value is None or value != value else str(value)


def ditto(rows: Sequence[Sequence[Cell]], columns: int) -> list[list[Cell]]:
    """Return rows in which the first columns are empty where they would repeat the row above.

    Examples
    --------
    >>> [[cell.text for cell in row] for row in ditto([[label("a"), Cell("1")], [label("a"), Cell("2")]], 1)]
    [['a', '1'], ['', '2']]
    """
    shown, above = [], None
    for row in rows:
        first = list(row[:columns])
        shown.append([*(first if first != above else [label("")] * columns), *row[columns:]])
        above = first
    return shown


def width(text: str) -> int:
    """Return the columns a text takes on a terminal; Chinese, Japanese and Korean characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def as_text(head: Sequence[str], rows: Sequence[Sequence[Cell]], mark: str = "*") -> str:
    """Return a table for a terminal; faint cells carry a mark.

    Examples
    --------
    >>> print(as_text(["run", "n"], [[label("a"), Cell("1,000")], [label("long"), Cell("9", faint=True)]]))
    run       n
    a     1,000
    long     9*
    """
    texts = [[cell.text + mark * cell.faint for cell in row] for row in rows]
    left = [not row[at].number for at in range(len(head)) for row in rows[:1]] or [True] * len(head)
    widths = [max(width(text) for text in column) for column in zip(head, *texts, strict=True)]
    lines = [[_padded(*cell) for cell in zip(row, widths, left, strict=True)] for row in [list(head), *texts]]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _padded(text: str, columns: int, left: bool) -> str:
    space = " " * (columns - width(text))
    return text + space if left else space + text


def as_html(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table for a notebook, everything in it escaped; faint cells are grey.

    Examples
    --------
    >>> "&lt;script&gt;" in as_html(["run"], [[label("<script>")]])
    True
    """
    numbers = [cell.number for cell in rows[0]] if rows else [False] * len(head)
    tops = zip(head, numbers, strict=True)
    top = "".join(f'<th style="padding:0 .6em;text-align:{_side(right)}">{escape(name)}</th>' for name, right in tops)
    body = "".join("<tr>" + "".join(_html_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _side(is_number: bool) -> str:
    return "right" if is_number else "left"


def _html_cell(cell: Cell) -> str:
    style = f"padding:0 .6em;white-space:nowrap;text-align:{_side(cell.number)}"
    if cell.faint:
        style += ";color:#999"
    if cell.strong:
        style += ";font-weight:bold"
    return f'<td style="{style}">{escape(cell.text)}</td>'


_MARKED = re.compile(r"([\\`*_{}\[\]|~#!$])")


def in_markdown(text: object) -> str:
    r"""Return a text that Markdown shows as it is: no element, link, mention or formula comes of it.

    Examples
    --------
    >>> print(in_markdown("<b> a|b *c* @all"))
    &lt;b&gt; a\|b \*c\* &#64;all
    """
    return _MARKED.sub(r"\\\1", escape(plain(text), quote=False)).replace("@", "&#64;")


def as_markdown(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return a table for a pull request or an issue; faint cells are in brackets.

    Examples
    --------
    >>> print(as_markdown(["run", "p99"], [[label("a"), Cell("9", faint=True)]]))
    | run | p99 |
    | :-- | --: |
    | a | (9) |
    """
    sides = ["--:" if cell.number else ":--" for cell in rows[0]] if rows else [":--"] * len(head)
    texts = [[f"({in_markdown(cell.text)})" if cell.faint else in_markdown(cell.text) for cell in row] for row in rows]
    lines = [list(map(in_markdown, head)), sides, *texts]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
