"""Gathers from a run file the evidence behind a verdict, and judges it anew."""

from dataclasses import replace
from typing import Any

import numpy as np

from perfkit.analysis.query.frame import chunks
from perfkit.analysis.query.run import Condition, Run, as_numbers
from perfkit.analysis.stats.distribution import percentile
from perfkit.records import TOKEN_KINDS, UNCONNECTED
from perfkit.runfile.repeats import cached_repeats
from perfkit.runfile.schema import FAILED
from perfkit.validity.evidence import STORED, Evidence, fraction
from perfkit.validity.verdict import Verdict, verdict

_TOKENS = [kind.name.lower() for kind in TOKEN_KINDS]
BEAT_STORED = 0.002
"""Seconds of lateness from which the engine stores a beat of its loop by itself."""

_READ_AT_MOST = 2_000
"""Answers whose chunks are looked at for shared reads: enough for a share of one per cent."""

_FEWEST_MOMENTS = 3
_FEWEST_COUNTED = 60
"""In flight, counted and expected together over all moments: fewer, and one that just ended is a tenth."""


def verdict_of(run: Run) -> Verdict | None:
    """Judge a run from what its file holds."""
    if run.record.get("source") not in (None, "perfkit"):
        return None
    stored = Verdict.stored(run.record.get("verdict"), run.record.reasons)
    if stored and _is_selection(run):
        return stored
    found = evidence(run)
    return verdict(found).with_those_of(stored) if found.requests else stored


def _is_selection(run: Run) -> bool:
    """Tell whether a file holds fewer rows than the run sent, as one saved after a filter: no evidence to judge by."""
    sent = run.record.get("sent")
    if run.record.get("status") != "finished" or not isinstance(sent, int | float):
        return False
    sql, parameters = Run(run.source, run.record, run.label).restriction("load")
    ((kept,),) = run.source.connection.execute(f"SELECT count(*) FROM result WHERE {sql}", parameters)
    return bool(kept < sent)


def evidence(run: Run) -> Evidence:
    """Gather what a run file says about its client."""
    whole = Run(run.source, run.record, run.label)
    samples = _samples(whole)
    known: dict[str, Any] = {name: combine(samples[name]) for name, combine in STORED.items() if name in samples}
    if not {"censored_first", "censored_gaps"} <= known.keys():
        known |= _censored(whole)
    is_open = run.record.get("load") == "open"
    requests, unconnected, requested, achieved = _sent(whole)
    repeats = cached_repeats(run.source.connection, run.run_id)
    return Evidence(
        **known,
        requests=requests,
        loop_lag=_loop_lag(samples),
        stall=_largest(samples.get("loop_late")),
        cpu_wait=_busiest(whole, "cpu_wait"),
        cpu_taken=_busiest(whole, "cpu_taken"),
        cpu_share=_busiest(whole, "cpu_share"),
        gc_pause=_largest(samples.get("gc_pause")),
        is_open=is_open,
        late=_late(whole),
        requested_rate=requested,
        achieved_rate=achieved,
        capped=run.arguments.get("max_concurrency") is not None,
        backlog=_largest(samples.get("backlog")),
        starved=_at_end(whole, "starved"),
        connect_failures=fraction(unconnected, requests),
        failed=_failed(whole),
        resent=_resent(whole),
        idle_connections=_idle_connections(whole) if is_open else None,
        governor=str(governor) if (governor := run.record.host.get("governor")) else None,
        littles_gap=_littles_gap(whole),
        killed=_killed(run),
        **(repeats.evidence if repeats else {}),
    )


def _killed(run: Run) -> bool:
    """Tell whether nobody was left to end a run: whoever ends one says its verdict, or why there is none."""
    record = run.record
    return record.get("status") == "interrupted" and record.get("verdict") is None and record.get("problem") is None


def _samples(run: Run) -> dict[str, list[float]]:
    names: dict[str, list[float]] = {}
    sql = "SELECT name, value FROM sample WHERE run_id = ? AND typeof(value) = 'real'"
    for rows in run.source.batches(sql, [run.run_id]):
        for name, value in rows:
            names.setdefault(name, []).append(value)
    return names


def _late(run: Run) -> float | None:
    """Return the 99th percentile of the time from when a request was due to when it was sent."""
    sql, parameters = run.restriction("load")
    query = f"SELECT start_time - scheduled_time FROM result WHERE {sql} AND start_time - scheduled_time IS NOT NULL"
    waits = [as_numbers(rows).ravel() for rows in run.source.batches(query, parameters)]
    return percentile(np.concatenate(waits), 99) if waits else None


def _sent(run: Run) -> tuple[int, int, float | None, float | None]:
    """Return the number of requests, of those that got no connection, and the rates of the schedule and of sending.

    The schedule's own rate, not the one asked for: a Poisson process of 100 requests misses its mean by a tenth.
    """
    sql, parameters = run.restriction("load")
    kinds = ", ".join(f"'{kind}'" for kind in UNCONNECTED)
    both = "CASE WHEN scheduled_time IS NOT NULL AND start_time IS NOT NULL THEN {} END"
    due, start = both.format("scheduled_time"), both.format("start_time")
    query = f"""
        SELECT count(*), coalesce(sum(error_kind IN ({kinds})), 0), count({start}),
               max({due}) - min({due}), max({start}) - min({start})
        FROM result WHERE {sql}"""
    ((requests, unconnected, timed, scheduled, sent),) = run.source.connection.execute(query, parameters)
    if timed < 2 or not (scheduled > 0 and sent > 0):
        return requests, unconnected, None, None
    return requests, unconnected, (timed - 1) / scheduled, (timed - 1) / sent


def _failed(run: Run) -> float | None:
    """Return the share of the requests that failed, among those that were neither cut off nor cancelled."""
    sql, parameters = run.restriction("load")
    query = f"SELECT total(success = 1), total({FAILED}) FROM result WHERE {sql}"
    ((succeeded, failed),) = run.source.connection.execute(query, parameters)
    return fraction(failed, succeeded + failed)


def _resent(run: Run) -> float | None:
    """Return the share of the requests that were sent twice."""
    sql, parameters = run.restriction("load")
    query = f"SELECT avg(attempts > 1) FROM result WHERE {sql} AND attempts IS NOT NULL"
    ((found,),) = run.source.connection.execute(query, parameters)
    return None if found is None else float(found)


def _idle_connections(run: Run) -> float | None:
    """Return how many more connections stood idle than had a request in flight, as a mean over the samples."""
    query = """
        SELECT name, sum(mean) FROM (
            SELECT name, avg(value) AS mean FROM sample
            WHERE run_id = ? AND name IN ('idle_connections', 'in_flight') GROUP BY worker, name
        ) GROUP BY name"""
    means = dict(run.source.connection.execute(query, [run.run_id]).fetchall())
    idle, used = means.get("idle_connections"), means.get("in_flight")
    return None if idle is None or used is None else max(0.0, float(idle) - float(used))


def _littles_gap(run: Run) -> float | None:
    """Return by how much the requests in flight that the client counted differ from rate x E2E of its rows.

    Both are taken at the moments of the samples, so that what is left is no luck of a few moments: the mean of
    rows under way there estimates rate x E2E, which is their mean over all time.
    """
    query = "SELECT worker, time, value FROM sample WHERE run_id = ? AND name = 'in_flight'"
    sampled = [row for rows in run.source.batches(query, [run.run_id]) for row in rows]
    if len(sampled) < _FEWEST_MOMENTS:
        return None
    sql, parameters = run.restriction("load")
    spans = f"SELECT worker, start_time, completed_time FROM result WHERE {sql} AND completed_time - start_time >= 0"
    rows = np.concatenate([np.empty((0, 3)), *(np.array(b, float) for b in run.source.batches(spans, parameters))])
    counted = expected = 0.0
    for worker in {row[0] for row in sampled}:
        moments, values = as_numbers([row[1:] for row in sampled if row[0] == worker]).T
        starts, ends = (np.sort(rows[rows[:, 0] == worker, column]) for column in (1, 2))
        counted += float(values.sum())
        expected += float((np.searchsorted(starts, moments, "right") - np.searchsorted(ends, moments, "right")).sum())
    return abs(counted - expected) / max(counted, expected) if counted + expected >= _FEWEST_COUNTED else None


def _busiest(run: Run, name: str) -> float | None:
    """Return the mean of a share, of the worker where it was largest."""
    sql = "SELECT avg(value) FROM sample WHERE run_id = ? AND name = ? GROUP BY worker"
    shares = [row[0] for rows in run.source.batches(sql, [run.run_id, name]) for row in rows]
    return _largest(shares)


def _at_end(run: Run, name: str) -> float | None:
    """Return the last value of a share that is counted from the start, of the worker where it is largest."""
    sql = "SELECT max(time), value FROM sample WHERE run_id = ? AND name = ? GROUP BY worker"
    return _largest([row[1] for rows in run.source.batches(sql, [run.run_id, name]) for row in rows])


def _loop_lag(samples: dict[str, list[float]]) -> float | None:
    """Return the 99th percentile of the loop's lateness.

    Late beats are stored one by one and all are counted, so the percentile is exact where it matters; when fewer
    than one beat in a hundred was late it is known only to be below the threshold of storing them.
    """
    beats = sum(samples.get("loop_beats", []))
    late = sorted(samples.get("loop_late", []), reverse=True)
    if not beats:
        return None
    beyond = int(beats / 100)
    return late[beyond] if beyond < len(late) else BEAT_STORED


def _largest(values: list[float] | None) -> float | None:
    return max(values) if values else None


def _censored(run: Run) -> dict[str, float]:
    """Return the shares of first tokens and of gaps that ended in a read shared with a later chunk, and of how many."""
    every = chunks([_some(run)])
    tokens = every[every["kind"].isin(_TOKENS)]
    # Chunks of one token event (its role, its finish) share a read by nature: only a later *token* censors.
    shared = tokens.duplicated(["request", "read"], keep="last")
    is_first = ~tokens.duplicated("request")
    found = {"censored_first": shared[is_first].mean(), "censored_gaps": shared[~is_first].mean()}
    return {name: float(value) for name, value in found.items() if not np.isnan(value)} | {
        "gaps": int((~is_first).sum())
    }


def _some(run: Run) -> Run:
    """Return the run with at most ``_READ_AT_MOST`` of its rows, evenly spread."""
    step = max(1, run.source.height // _READ_AT_MOST)
    return replace(run, conditions=(Condition(f"rowid % {step} = 0"),))
