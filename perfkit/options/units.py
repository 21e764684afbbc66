"""Durations, shares, rates and lengths as people write them, read alike wherever one is asked for.

::

    time    10  "10s"  "500ms"  "2min"  "2m"  "1h"      a bare number is seconds
    share   0.05  "5%"                                  a bare number is below 1
    rate    5  "5/s"  "300/min"                         a bare number is per second
    length  3.5  "89mm"  "12cm"  "3.5in"                a bare number is inches
    count   20
    steps   "5:30"  "20/s:1min"                         a rate and how long it lasts
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Final, Literal, NamedTuple

from perfkit.errors import UsageError

TIMES: Final = {
    **{"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3},
    **{"s": 1.0, "min": 60.0, "h": 3600.0, "m": 60.0},
}
"""Units of time, in seconds."""
SHARES: Final = {"%": 0.01}
RATES: Final = {"/s": 1.0, "/min": 1 / 60, "/m": 1 / 60, "/h": 1 / 3600}
"""Units of rates, per second."""
LENGTHS: Final = {"in": 1.0, "mm": 1 / 25.4, "cm": 1 / 2.54, "pt": 1 / 72}
"""Units of lengths, in inches."""
UNITS: Final = TIMES | SHARES
"""What a number in an expression or an objective may have behind it."""
DURATIONS: Final = ", ".join(unit for unit in TIMES if unit.isascii())
"""The units of time, as a message names them."""

_NUMBER: Final = re.compile(r"\s*([+-]?)((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(/?\s*[^\W\d_]+|%|)\s*")

Kind = Literal["count", "share", "time", "auto"]


class Amount(NamedTuple):
    """How much of a run: requests, a share of them, seconds, or as much as the run itself shows (``auto``)."""

    value: float
    kind: Kind


def weighted(name: str, values: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Read names that share something, each with its weight: ``NAME=WEIGHT``, or a name alone, which weighs 1.

    One name alone is taken as it is.

    Examples
    --------
    >>> weighted("model", ["a", "b=2.5", "c=x"])
    (('a', 1.0), ('b', 2.5), ('c=x', 1.0))
    >>> weighted("model", ["a=3"])
    (('a=3', 1.0),)
    """
    if len(values) == 1:
        return ((values[0], 1.0),)
    found: dict[str, float] = {}
    for value in values:
        thing, sign, spelt = value.rpartition("=")
        number = _NUMBER.fullmatch(spelt) if sign else None
        thing, weight = (value, 1.0) if number is None or number[3] else (thing, float(spelt))
        if not thing or thing in found:
            raise UsageError(f"{name} takes names that differ, got {value!r}{' twice' if thing else ''}")
        if not 0 < weight < math.inf:
            raise UsageError(f"{name}: the weight of {thing!r} must be above 0, got {spelt}")
        found[thing] = weight
    return tuple(found.items())


def scaled(digits: str, factor: float) -> float:
    """Return a number in a unit: the float nearest to it.

    Examples
    --------
    >>> scaled("231", 0.001), 231 * 0.001
    (0.231, 0.231)
    """
    # 300 / 1000 is the float nearest to 0.3, 300 * 0.001 need not be.
    return float(digits) * factor if factor >= 1 else float(digits) / _inverse(factor)


def _inverse(factor: float) -> float:
    inverse = 1 / factor
    return round(inverse) if abs(inverse - round(inverse)) < 1e-6 else inverse


def quantity(text: str, units: Mapping[str, float] = UNITS) -> tuple[float, str] | None:
    """Read a number alone: its value in the base unit, and the unit; None if it is not a number with one of the units.

    Examples
    --------
    >>> quantity("-300ms"), quantity("10 %"), quantity("20"), quantity("5m"), quantity("5 apples")
    ((-0.3, 'ms'), (0.1, '%'), (20, ''), (300.0, 'm'), None)
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    unit = found[3].replace(" ", "")
    if unit and unit not in units:
        return None
    value = scaled(found[2], units[unit]) if unit else int(found[2]) if found[2].isdecimal() else float(found[2])
    return (-value if found[1] == "-" else value), unit


def _read(given: Any, units: Mapping[str, float]) -> tuple[float, str]:
    """Return the value and unit of a number or text; NaN for anything else."""
    if isinstance(given, str):
        return quantity(given, units) or (math.nan, "")
    return (
        (float(given) if not isinstance(given, int) else given, "")
        if isinstance(given, Real) and not isinstance(given, bool)
        else (math.nan, "")
    )


def duration(name: str, given: Any) -> float:
    """Return seconds.

    Examples
    --------
    >>> duration("duration", "2m"), duration("ramp", 1.5), duration("ramp", "500 ms")
    (120.0, 1.5, 0.5)
    """
    value, _ = _read(given, TIMES)
    if math.isnan(value):
        raise UsageError(
            f"{name} must be a number of seconds, or a time such as 500ms or 2min ({DURATIONS}), got {given!r}"
        )
    return value


def rate(name: str, given: Any) -> float:
    """Return a rate per second.

    Examples
    --------
    >>> rate("rate", "300/min"), rate("rate", 5)
    (5.0, 5)
    """
    value, _ = _read(given, RATES)
    if math.isnan(value):
        raise UsageError(f"{name} must be a number, got {given!r}; with a unit it reads 5/s or 300/min")
    return value


def share(what: str, given: Any, *, most: float = 1.0, whole: bool = False) -> float:
    """Read a share, of which a bare number is below 1, so that 5 is never taken for 5 % or for 500 %.

    Examples
    --------
    >>> share("effect", "5%"), share("effect", "0.05"), share("effect", 0.05)
    (0.05, 0.05, 0.05)
    """
    value, unit = _read(given, SHARES)
    limit = most if unit else 1
    if not (0 <= value < limit or (whole and value == 1)):
        meant = f"; for {value:g} % write '{value:g}%'" if not unit and 1 <= value < 100 * most else ""
        raise UsageError(f"the {what} is a share such as '5%' or 0.05, got {given!r}{meant}")
    return value


def inches(given: str | float) -> float:
    """Read the width of a picture: a length such as ``"89mm"``; a bare number is inches.

    Examples
    --------
    >>> inches("254mm"), inches(3.5)
    (10.0, 3.5)
    """
    value, _ = _read(given, LENGTHS)
    if not 1 <= value <= 40:
        raise UsageError(f"a width is a length from 1in to 40in, such as '89mm' or 3.5 (inches), got {given!r}")
    return float(value)


def amount(name: str, given: Any, *, auto: bool = False) -> Amount:
    """Read how much of a run is meant: a count of requests, a share of them, a time, or ``"auto"`` where that is known.

    Examples
    --------
    >>> amount("warmup", "20"), amount("warmup", "10%"), amount("warmup", "1min")
    (Amount(value=20, kind='count'), Amount(value=0.1, kind='share'), Amount(value=60.0, kind='time'))
    """
    if auto and given == "auto":
        return Amount(0, "auto")
    value, unit = (0, "") if given is None else _read(given, UNITS)
    if (unit == "%" and 0 <= value <= 1) or (not unit and 0 < value < 1):
        return Amount(value, "share")
    if unit in TIMES and 0 <= value < math.inf:
        return Amount(value, "time")
    if not unit and 0 <= value < math.inf and value == int(value):
        return Amount(value, "count")
    raise UsageError(
        f"{name} {given} is neither a count of requests such as 20, nor a share of them such as 10% or 0.1 (at most "
        f"100%), nor a time such as 10s (units: {DURATIONS}){', nor auto' if auto else ''}"
    )


def steps(given: Any) -> tuple[tuple[float, float], ...]:
    """Return the steps of a rate, however they were given: a rate and the seconds that it lasts, each.

    Examples
    --------
    >>> steps(["5:30", (20, 1.5), "300/min:2min"])
    ((5.0, 30.0), (20.0, 1.5), (5.0, 120.0))
    """
    return tuple(map(_step, given if isinstance(given, Iterable) and not isinstance(given, str) else [given]))


def _step(given: Any) -> tuple[float, float]:
    pair = given.split(":") if isinstance(given, str) else given
    if isinstance(pair, Iterable) and len(parts := tuple(pair)) == 2:
        (level, _), (lasts, _) = _read(parts[0], RATES), _read(parts[1], TIMES)
        if 0 < level < math.inf and 0 < lasts < math.inf:
            return float(level), float(lasts)
    raise UsageError(f"steps are RATE:SECONDS, both above 0, such as 5:30 20:30; got {given!r}")
