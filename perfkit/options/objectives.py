"""One grammar for quantities and objectives, on the command line and in Python.

::

    quantity    ttft   "p95 ttft"   "mean tpot"   output_throughput      also  ttft_p95   ttft:p95   tpot_mean
    objective   "p95 ttft < 300ms"   "ttft < 500ms"                      also  ttft:p95:300ms   ttft:500ms   ttft=500ms
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from perfkit.errors import UsageError

Objectives = str | Iterable[str] | Mapping[str, Any]
"""One, several, or bounds by quantity: ``{"ttft": "200ms"}``."""

_STATISTIC: Final = r"(?:p\d+(?:\.\d+)?|mean)"
_BEFORE: Final = re.compile(rf"({_STATISTIC})[\s:_]+(\S+)")
_AFTER: Final = re.compile(rf"(\S+?)(?:\s+|[:_])({_STATISTIC})")
_COMPARED: Final = re.compile(r"(.+?)\s*(<=|>=|==|≤|≥|<|>|=)\s*(.+)")


class Quantity(NamedTuple):
    """A metric or rate by name, and its percentile (``p95``) or ``mean``; None where none was named."""

    metric: str
    statistic: str | None = None

    @property
    def name(self) -> str:
        """Its one spelling: ``ttft_p95``."""
        return f"{self.metric}_{self.statistic}" if self.statistic else self.metric


class Objective(NamedTuple):
    """What a quantity is to stay below."""

    metric: str
    statistic: str | None
    bound: Any


def read_quantity(text: str) -> Quantity:
    """Read a quantity; whether there is such a metric is for whoever has them to say.

    Examples
    --------
    >>> [read_quantity(text).name for text in ("p95 ttft", "ttft p95", "ttft_p95", "ttft:p95", "mean tpot", "ttft")]
    ['ttft_p95', 'ttft_p95', 'ttft_p95', 'ttft_p95', 'tpot_mean', 'ttft']
    """
    text = " ".join(text.split())
    if found := _BEFORE.fullmatch(text):
        return Quantity(found[2], found[1])
    if found := _AFTER.fullmatch(text):
        return Quantity(found[1], found[2])
    return Quantity(text)


def read_objective(text: str) -> Objective:
    """Read an objective.

    Raises
    ------
    UsageError
        It has no bound, or one from below.

    Examples
    --------
    >>> read_objective("p95 ttft < 300ms")
    Objective(metric='ttft', statistic='p95', bound='300ms')
    >>> read_objective("ttft:p95:300ms") == read_objective("ttft_p95 <= 300ms") == read_objective("p95 ttft<300ms")
    True
    """
    found = _COMPARED.fullmatch(text.strip())
    asked, sign, bound = found.groups() if found else _at_last_colon(text)
    if not asked or not bound or re.fullmatch(_STATISTIC, bound.strip()):
        raise UsageError(f"an objective reads 'p95 ttft < 300ms', 'ttft < 500ms' or ttft:p95:300ms; got {text!r}")
    if sign in (">", ">=", "≥"):
        raise UsageError(f"an objective bounds from above, as 'p95 ttft < 300ms' does; got {text!r}")
    return Objective(*read_quantity(asked), bound.strip())


def _at_last_colon(text: str) -> tuple[str, str, str]:
    asked, colon, bound = text.strip().rpartition(":")
    return asked, colon, bound


def read_objectives(given: Any) -> list[Objective]:
    """Read objectives however they were given: one text, several, or a mapping of quantities to bounds.

    In a mapping a bound may be a pair of percentile and bound, ``{"ttft": ("p95", "300ms")}``.

    Raises
    ------
    UsageError
        One cannot be read.

    Examples
    --------
    >>> read_objectives({"ttft": ("p95", 0.3)}) == read_objectives({"p95 ttft": 0.3})
    True
    """
    if isinstance(given, Mapping):
        return [_of_pair(name, bound) for name, bound in given.items()]
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"objectives are texts such as 'p95 ttft < 300ms', or a mapping of these; got {given!r}")
    return [read_objective(text) for text in texts]


def _of_pair(name: str, bound: Any) -> Objective:
    metric, statistic = read_quantity(name)
    if isinstance(bound, tuple | list):
        if len(bound) != 2:
            raise UsageError(f"an objective is a percentile and a bound, ('p95', 0.5); got {bound!r} for {name}")
        return Objective(name, *bound)  # the whole name is the metric's: itl_p95 is one
    return Objective(metric, statistic, bound)
