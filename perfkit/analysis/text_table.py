"""Numbers as people read them, and tables of them for a terminal and for a notebook.

Texts come from files and models and may be hostile: HTML is escaped, control characters are shown as such.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from shutil import get_terminal_size
from textwrap import wrap
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
    return _laid_out([head], rows, mark)


def fitted(head: Sequence[str], rows: Sequence[Sequence[Cell]], columns: int, groups: int = 0) -> str:
    """Return a table for a terminal of some columns.

    One that is wider has the text of its last column on several lines, or its heads; if that is not enough, its columns
    stand in several tables, words before numbers, of which each repeats the first column. With ``groups``, so many
    first columns stand on a line of their own instead, above the rows that have them in common.

    Examples
    --------
    >>> rows = [[label("a"), Cell("7.32"), Cell("65.9"), Cell("0.999")]]
    >>> head = ["run", "request throughput [requests/s]", "output throughput [tokens/s]", "concurrency"]
    >>> print(fitted(head, rows, 50))
              request      output
           throughput  throughput
    run  [requests/s]  [tokens/s]  concurrency
    a            7.32        65.9        0.999
    >>> print(fitted(head, rows, 30))
              request      output
           throughput  throughput
    run  [requests/s]  [tokens/s]
    a            7.32        65.9
    <BLANKLINE>
    run  concurrency
    a          0.999
    >>> print(fitted(["run", "metric", "p50"], [[label("run parallel=1"), label("ttft [ms]"), Cell("7")]], 20, 1))
      metric     p50
    run parallel=1
      ttft [ms]    7
    """
    for laid_out in (rows, _with_remarks_below(head, rows, columns)):
        text = as_text(head, laid_out)
        if _widest(text) <= columns:
            return text
    if groups:
        rows = _with_remarks_below(head, ditto(rows, groups), columns - 2, groups)
        lines = as_text(head[groups:], [row[groups:] for row in rows]).splitlines()
        names = ["  ".join(cell.text for cell in row[:groups] if cell.text) for row in rows]
        below = [[name, f"  {line}"] if name else [f"  {line}"] for name, line in zip(names, lines[1:], strict=True)]
        return "\n".join([f"  {lines[0]}", *(line for lines in below for line in lines)])
    heads = _stacked(head, rows)
    parts, first = [], [0]
    for column in sorted(range(1, len(head)), key=lambda at: any(row[at].number for row in rows)):
        chosen = [*first, column]
        if len(first) > 1 and _widest(_laid_out(*_only(chosen, heads, rows))) > columns:
            parts.append(first)
            chosen = [0, column]
        first = chosen
    return "\n\n".join(_laid_out(*_only(chosen, heads, rows)) for chosen in [*parts, first])


def on_terminal(head: Sequence[str], rows: Sequence[Sequence[Cell]], groups: int = 0) -> str:
    """Return a table that fits the terminal of this process, or 80 columns where there is none: see ``fitted``."""
    return fitted(head, rows, get_terminal_size().columns, groups)


_ROOM = 16
"""Columns that a text needs to be told on several lines."""


def _with_remarks_below(
    head: Sequence[str], rows: Sequence[Sequence[Cell]], columns: int, groups: int = 0
) -> Sequence[Sequence[Cell]]:
    """Return rows with the text of the last column, if it is one, on as many lines as it needs beside the rest."""
    if not rows or rows[0][-1].number:
        return rows
    rest = _widest(as_text(head[groups:-1], [row[groups:-1] for row in rows]))
    room = columns - 2 - rest
    if room < _ROOM and groups and rest <= columns:
        return _with_remarks_between(rows, groups)
    if room < _ROOM:
        return rows
    broken = []
    for row in rows:
        first, *others = wrap(row[-1].text, room, break_long_words=False) or [""]
        broken.append([*row[:-1], label(first)])
        broken += [[*(Cell("", number=cell.number) for cell in row[:-1]), label(other)] for other in others]
    return broken


def _with_remarks_between(rows: Sequence[Sequence[Cell]], groups: int) -> Sequence[Sequence[Cell]]:
    """Return rows with the text of the last column on a line below each, in the first column after the groups."""
    broken = []
    for row in rows:
        rest = [Cell("", number=cell.number) for cell in row[groups + 1 :]]
        broken.append([*row[:-1], label("")])
        if row[-1].text:
            broken.append([*([label("")] * groups), label(f"  {row[-1].text}"), *rest])
    return broken


def _stacked(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """Return heads on several lines, no wider than their longest word or what stands below them."""
    columns = []
    for at, name in enumerate(head):
        below = max((width(row[at].text) + row[at].faint for row in rows), default=0)
        columns.append(wrap(name, max(below, *map(width, name.split()), 1), break_long_words=False) or [""])
    tall = max(map(len, columns))
    return [list(line) for line in zip(*([""] * (tall - len(each)) + each for each in columns), strict=True)]


def _only(
    chosen: Sequence[int], heads: Sequence[Sequence[str]], rows: Sequence[Sequence[Cell]]
) -> tuple[list[list[str]], list[list[Cell]]]:
    """Return some columns of a table, without lines of its head that hold nothing."""
    kept = [[line[at] for at in chosen] for line in heads]
    return [line for line in kept if any(line)], [[row[at] for at in chosen] for row in rows]


def _laid_out(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[Cell]], mark: str = "*") -> str:
    texts = [[cell.text + mark * cell.faint for cell in row] for row in rows]
    left = [not row[at].number for at in range(len(heads[0])) for row in rows[:1]] or [True] * len(heads[0])
    widths = [max(width(text) for text in column) for column in zip(*heads, *texts, strict=True)]
    lines = [[_padded(*cell) for cell in zip(row, widths, left, strict=True)] for row in [*map(list, heads), *texts]]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _widest(text: str) -> int:
    return max(map(width, text.splitlines()), default=0)


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
