"""The percentile rule of a run file (linear, Hyndman & Fan 7), without numpy: in Python and as SQL.

The analysis computes the same with ``numpy.percentile(method="linear")``, to the last bit.
"""

from typing import Protocol


class Ordered(Protocol):
    """Numbers in ascending order."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> float: ...


def percentile(ordered: Ordered, percent: float) -> float:
    """Return a percentile of values in ascending order, interpolated between the two nearest ranks; NaN of none.

    Examples
    --------
    >>> percentile([1.0, 2.0, 3.0, 4.0], 50), percentile([], 50)
    (2.5, nan)
    """
    if not len(ordered):
        return float("nan")
    at = (len(ordered) - 1) * (percent / 100)
    below = int(at)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    share = at - below
    # From the nearer end, as numpy does: the other way around the last bit differs.
    return low + (high - low) * share if share < 0.5 else high - (high - low) * (1 - share)


def percentile_sql(column: str, percent: float) -> str:
    """Return a scalar subquery: a percentile of the numbers in a column that holds JSON lists.

    Examples
    --------
    >>> import sqlite3
    >>> sqlite3.connect("").execute(f"SELECT {percentile_sql('x', 95)} FROM (SELECT '[0, 100]' AS x)").fetchone()
    (95.0,)
    """
    # LIMIT and OFFSET may not depend on a row, so the two ranks are found by numbering the values.
    return f"""
       (SELECT CASE WHEN share < 0.5 THEN low + (high - low) * share ELSE high - (high - low) * (1 - share) END
        FROM (SELECT min(value) AS low, max(value) AS high, min(at) - CAST(min(at) AS INTEGER) AS share
              FROM (SELECT value, row_number() OVER (ORDER BY value) - 1 AS rank,
                           (count(*) OVER () - 1) * {percent / 100!r} AS at
                    FROM json_each({column}))
              WHERE rank IN (CAST(at AS INTEGER), CAST(at AS INTEGER) + 1)))"""
