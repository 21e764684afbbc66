"""Holds the server's own histogram of TTFT against ours: they must agree, up to network and front end."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from perfkit.analysis.query import server
from perfkit.analysis.query.run import Run
from perfkit.analysis.query.server import Distribution
from perfkit.analysis.stats.distribution import Floats, percentile
from perfkit.analysis.text_table import number

PERCENTILES = (50, 95)
FRONT_END, SHARE = 0.025, 0.1
"""Seconds, and share of the server's mean, that network and front end may add before it is said that they disagree."""
LESS, LESS_SHARE = 0.002, 0.02
"""Seconds, and share, by which ours may be the smaller: a look is not at the same time as a token."""
OTHERS = 0.01
"""Share of others' requests that leaves its numbers ours."""


@dataclass(frozen=True)
class TwoTtfts:
    """Two measurements of the time to the first token, in seconds."""

    run: str
    theirs: Distribution
    ours: Floats
    """Of the requests whose first token came between the same two looks."""
    failed: int
    """How many failed then: the server may have counted their first token."""

    @property
    def extra(self) -> float:
        """By how much our mean is the larger."""
        return float(self.ours.mean()) - self.theirs.mean

    @property
    def problem(self) -> str | None:
        """Why they cannot be held against each other, or do not agree; None where they do."""
        if abs(self.theirs.count - len(self.ours)) > max(1.0, OTHERS * len(self.ours)) + self.failed:
            other = "others' requests, too" if self.theirs.count > len(self.ours) else "not all of these requests"
            return (
                f"the server counted {self.theirs.count:,.0f} first tokens where {len(self.ours):,} are in this file: "
                f"it counts {other}, so its TTFT ({_ms(self.theirs.mean)} in the mean) is not held against ours"
            )
        if self.extra < -max(LESS, LESS_SHARE * self.theirs.mean):
            return (
                f"TTFT is {_ms(-self.extra)} shorter than in the server ({self._theirs}): one of the two counts "
                "something else; see docs/server.md"
            )
        if self.extra > max(FRONT_END, SHARE * self.theirs.mean):
            return (
                f"TTFT is {_ms(self.extra)} longer than in the server ({self._theirs}): that is more than a front end "
                "takes; look at the network, at a proxy, and at this client's verdict"
            )
        return next(filter(None, map(self._off, PERCENTILES)), None)

    def _off(self, percent: int) -> str | None:
        """Say that a percentile of ours lies outside the bucket of theirs, and of what may be added to it."""
        low, high = self.theirs.bucket(percent)
        ours = percentile(self.ours, percent)
        allowed = max(FRONT_END, SHARE * self.theirs.mean)
        if low - allowed <= ours <= high + allowed + max(self.extra, 0.0):
            return None
        return (
            f"the p{percent} of TTFT is {_ms(ours)}, and in the server within {_within((low, high))}, though the means "
            "agree"
        )

    @property
    def sentence(self) -> str:
        """What both say."""
        return (
            f"TTFT in the server ({self._theirs}) agrees with ours, {_ms(float(self.ours.mean()))}: "
            f"{_ms(max(self.extra, 0.0))} for network and front end"
        )

    @property
    def _theirs(self) -> str:
        within = [f"p{percent} in {_within(self.theirs.bucket(percent))}" for percent in PERCENTILES]
        return f"its histogram: mean {_ms(self.theirs.mean)}, {', '.join(within)}"


def sentences(runs: Sequence[Run]) -> list[str]:
    """Say of each run whether the server's own TTFT agrees with ours; in one sentence of all that do."""
    found = [each for run in runs if (each := both_ttfts(run)) is not None]
    agreeing = [each for each in found if each.problem is None]
    said = [f"{each.run}: {each.problem}" for each in found if each.problem is not None]
    if len(agreeing) < 2:
        return [*(f"{each.run}: {each.sentence}" for each in agreeing), *said]
    extra = [_ms(max(each.extra, 0.0)) for each in sorted(agreeing, key=lambda each: each.extra)]
    whole = (
        f"TTFT in the server, by its own histogram, agrees with ours in {len(agreeing)} of {len(found)} runs: "
        f"{' to '.join(dict.fromkeys((extra[0], extra[-1])))} for network and front end"
    )
    return [whole, *said]


_OF_TARGET = "run_id IN (SELECT run_id FROM run WHERE target IS ?)"
_FIRST = "start_time + first_chunk_latency"
_SPAN = f"SELECT min({_FIRST}), max({_FIRST}) FROM result WHERE run_id = ?"
_BETWEEN = " UNION ALL ".join(
    f"SELECT first_chunk_latency, success FROM {table} WHERE {_OF_TARGET} "
    f"AND coalesce({_FIRST}, completed_time) > ? AND coalesce({_FIRST}, completed_time) <= ?"
    for table in ("result", "preflight")
)


def both_ttfts(run: Run) -> TwoTtfts | None:
    """Return both measurements of a run; None where its server published none, or nothing was streamed.

    Ours are of all that this file has of the same server between the two looks: points of a sweep follow one another.
    """
    if not server.has_any(run):
        return None
    first, last = run.source.connection.execute(_SPAN, [run.run_id]).fetchone()
    theirs = server.ttft(run, first, last) if isinstance(first, float) else None
    if theirs is None:
        return None
    target = run.record.get("target")
    between = [target, theirs.begin, theirs.end] * 2
    rows = [row for batch in run.source.batches(_BETWEEN, between) for row in batch]
    ours = [ttft for ttft, _ in rows if isinstance(ttft, float)]
    return TwoTtfts(run.label, theirs, np.array(ours), sum(success != 1 for _, success in rows))


def _within(bucket: tuple[float, float]) -> str:
    low, high = (number(edge * 1e3) for edge in bucket)
    return f"{low}–{high} ms" if isfinite(bucket[1]) else f"above {low} ms"


def _ms(seconds: float) -> str:
    return f"{number(seconds * 1e3)} ms"
