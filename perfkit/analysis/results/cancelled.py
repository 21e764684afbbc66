"""Shows what servers do with requests that their clients gave up: whether they drop them, or go on for nobody."""

from collections.abc import Sequence

import numpy as np

from perfkit.analysis.query import server
from perfkit.analysis.query.run import Run, as_numbers
from perfkit.analysis.text_table import number

_TIMES = "SELECT start_time, completed_time FROM result WHERE run_id = ? AND completed_time IS NOT NULL"


def sentences(runs: Sequence[Run]) -> list[str]:
    """Say of each run with cancelled requests how many requests its server had in hand, beside how many we had."""
    return [sentence for run in runs if (count := _count(run)) and (sentence := _in_hand(run, count)) is not None]


def _count(run: Run) -> int:
    count = run.record.get("cancelled")
    return count if isinstance(count, int) else 0


def _in_hand(run: Run, count: int) -> str | None:
    """Compare the requests that a server published with those in flight; None where it published none."""
    looks, running = server.over_all_pages(run, "running")
    times = [row for rows in run.source.batches(_TIMES, [run.run_id]) for row in rows]
    if not looks.size or not times:
        return None
    when, queue = server.over_all_pages(run, "waiting")
    waiting = server.known_at(when, queue, looks) if when.size else np.zeros(looks.size)
    start, end = as_numbers(times).T
    known = np.isfinite(running) & (looks > start.min()) & (looks <= start.max())
    if not known.any():
        return None
    looks, theirs = looks[known], (running + np.nan_to_num(waiting))[known]
    ours = np.searchsorted(np.sort(start), looks, "right") - np.searchsorted(np.sort(end), looks, "right")
    left = f"{count:,} request{'s were' if count != 1 else ' was'} cancelled"
    had, flew = number(float(theirs.mean())), number(float(ours.mean()))
    return (
        f"{run.label}: {left}; the server had {had} in hand where {flew} were in flight, "
        f"in the mean of {len(looks):,} looks: what it has more, it works on for clients that have left"
    )
