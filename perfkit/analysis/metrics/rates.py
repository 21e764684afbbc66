"""The rates of a run: what happened in its window, per second of the window.

The window opens with the steady state and closes with the last request sent: what is still in flight then is the
drain, in which the load falls off. A rate counts what happened *in* the window, whatever part of a request lies
outside. Requests of several runs are added up run by run: what they did over the sum of their windows.

A rate that reads ``window_start`` and ``window_end`` is given every request of the load, others the steady ones.
"""

from collections.abc import Mapping
from numbers import Real

import numpy as np
import numpy.typing as npt
import pandas as pd

from perfkit.analysis.metrics.registry import METRICS, rate
from perfkit.analysis.metrics.tokens import read_gaps
from perfkit.errors import CorruptPickle
from perfkit.records import CANCELLED, TOKEN_KINDS
from perfkit.runfile.chunks import unpack

Floats = npt.NDArray[np.float64]

SPAN = ("run_id", "start_time", "completed_time", "window_start", "window_end")
"""Columns that every rate over the window needs."""

_TOKENS = ("completion_tokens", "first_chunk_latency", "crossing_chunks", "crossing_gaps")


def rate_window(
    starts: npt.ArrayLike,
    ends: npt.ArrayLike,
    steady: npt.ArrayLike | None = None,
    *,
    load: object = None,
    users: object = None,
    rate: object = None,
    cut: float | None = None,
) -> tuple[float, float]:
    """Return the seconds over which the rates of one run are taken.

    Parameters
    ----------
    starts, ends : array of float, Unix seconds
        Of every request of the load; NaN where unknown.
    steady : array of bool, optional
        Which of them belong to the steady state; default: all.
    load, users, rate : object
        The run's settings: ``"open"`` or ``"closed"``, users, requests per second. A load that is not named is open
        where there is a rate and there are no users.
    cut : float, optional
        The moment, Unix seconds, up to which a warm-up was left out.

    Returns
    -------
    tuple of float
        Start and end. NaN where nothing took time.

    Notes
    -----
    It ends with the last steady request sent. In a closed model it starts when every user has sent a steady request,
    and where nothing was sent before, a round later: of users who begin together, fewer than usual end in the first
    round, and more have their first token. Users who still go in step end together, and to begin between two of them
    would count one round too many. In an open model it starts no sooner than two mean latencies after the load's first
    request (half the time, at most), as until the slow ones of the first have ended more requests come than go. Where
    no request ended between the first and the last one sent, there was no steady state, and the window is the whole
    time from the first start to the last end.

    Examples
    --------
    Two users, each answer takes 1 s: four of six requests end while requests are still sent.

    >>> rate_window([0, 0, 1, 1, 2, 2], [1, 1, 2, 2, 3, 3], users=2)
    (0.0, 2.0)
    """
    waiting = int(float(users)) if isinstance(users, Real) and float(users) > 0 else 0
    is_open = load == "open" or (load != "closed" and not waiting and isinstance(rate, Real) and rate == rate)
    begin, end = np.asarray(starts, dtype=float), np.asarray(ends, dtype=float)
    chosen = np.isfinite(begin) if steady is None else np.isfinite(begin) & np.asarray(steady, dtype=bool)
    if not chosen.any():
        return np.nan, np.nan
    first = np.sort(begin[chosen])
    lasts = end[chosen] - begin[chosen]
    latency = float(np.nanmean(lasts)) if np.isfinite(lasts).any() else 0.0
    high = float(first[-1])
    if is_open:
        opened = float(np.nanmin(begin))
        low = max(first[0] if cut is None else cut, opened + min(2 * latency, (high - opened) / 2))
    else:
        is_fresh = float(np.nanmin(begin)) >= first[0]
        low = _all_steady(first, waiting or 1, latency, is_fresh) if waiting or cut is None else cut
    if not np.any((end > low) & (end <= high)):
        low, high = float(first[0]), float(np.nanmax(end[chosen], initial=-np.inf))
    return (float(low), high) if high > low else (np.nan, np.nan)


def _all_steady(starts: Floats, users: int, latency: float, is_fresh: bool) -> float:
    """Return when every user has sent a steady request, or two; of users in step, after the last one of a round."""
    skipped = users if is_fresh and starts.size > 4 * users else 0
    if starts.size <= 2 * users:
        users = 1
    pauses = np.diff(starts[skipped : skipped + users + 1])
    in_step = pauses.size and pauses.max() > latency / 2
    return float(starts[skipped + (int(pauses.argmax()) if in_step else users - 1)])


def with_windows(requests: pd.DataFrame) -> pd.DataFrame:
    """Return requests with the window of their run beside each; of a frame that tells none, by its own times.

    Examples
    --------
    >>> with_windows(pd.DataFrame({"start_time": [0.0, 1.0], "completed_time": [1.0, 2.0]})).window_end.tolist()
    [1.0, 1.0]
    """
    if "window_start" in requests:
        return requests
    runs = requests["run_id"].to_numpy() if "run_id" in requests else np.zeros(len(requests))
    windows = np.full((len(requests), 2), np.nan)
    for places in pd.DataFrame({"run": runs}).groupby("run", sort=False).indices.values():
        rows = requests.iloc[places]
        load, users, per_second = (
            rows[name].iloc[0] if name in rows else None for name in ("load", "parallel", "rate")
        )
        steady = rows["phase"] == "steady" if "phase" in rows else None
        times = rows["start_time"], rows["completed_time"]
        windows[places] = rate_window(*times, steady, load=load, users=users, rate=per_second)
    return requests.assign(run_id=runs, window_start=windows[:, 0], window_end=windows[:, 1])


def seconds_of_windows(requests: pd.DataFrame) -> float:
    """Return the seconds of the windows of all runs together; NaN when nothing took time.

    Examples
    --------
    >>> seconds_of_windows(pd.DataFrame({"run_id": ["a", "a"], "window_start": [1.0, 1.0], "window_end": [5.0, 5.0]}))
    4.0
    """
    runs = requests.groupby("run_id", sort=False)[["window_start", "window_end"]].first()
    total = float((runs["window_end"] - runs["window_start"]).sum(skipna=False)) if len(runs) else 0.0
    return total if total > 0 else float("nan")


def ends_inside(requests: pd.DataFrame, times: "pd.Series[float] | None" = None) -> "pd.Series[bool]":
    """Tell of each request whether it ended in its run's window, or of other moments whether they lie there."""
    times = requests["completed_time"] if times is None else times
    return (times > requests["window_start"]) & (times <= requests["window_end"])


def tokens_inside(requests: pd.DataFrame) -> "pd.Series[float]":
    """Return how many of each request's output tokens came in the window; 0 for requests that failed.

    Parameters
    ----------
    requests : DataFrame
        With windows. ``crossing_chunks``: what is stored of each chunk; or ``crossing_gaps`` or
        ``inter_token_latencies``: JSON lists of the seconds between the chunks that carry tokens.

    Returns
    -------
    Series of float
        Tokens by the stamps of their chunks: as the server counts those of each, else an answer's tokens spread evenly
        over its chunks. Without stamps, evenly between the first token and the end; an answer that was not streamed
        counts at its end.
    """
    tokens = requests["completion_tokens"].where(requests["success"], 0.0).astype(float)
    start, end = requests["start_time"], requests["completed_time"]
    low, high = requests["window_start"], requests["window_end"]
    inside = (start >= low) & (end <= high)
    share = inside.to_numpy(dtype=float)
    crossing = requests["success"] & (start < high) & (end > low) & ~inside
    part = requests[crossing]
    named = next((name for name in ("crossing_gaps", "inter_token_latencies") if name in part), None)
    nothing = [None] * len(part)
    first = part["first_chunk_latency"] if "first_chunk_latency" in part else pd.Series(np.nan, part.index)
    blobs = part.get("crossing_chunks", nothing)
    stamped = [
        _stamps(*each) for each in zip(part["start_time"], first, blobs, part[named] if named else nothing, strict=True)
    ]
    times = (part[name] for name in ("start_time", "completed_time", "window_start", "window_end"))
    share[crossing.to_numpy()] = [_share(*each) for each in zip(first, stamped, *times, strict=True)]
    return tokens * share


def _stamps(start: float, first: float, blob: object, gaps: object) -> tuple[Floats, Floats] | None:
    """Return when the chunks that carry tokens came, and how much of the answer each is; None where that is unknown."""
    if isinstance(blob, bytes) and (of_chunks := _of_chunks(blob)) is not None:
        return start + of_chunks[0], of_chunks[1]
    if not isinstance(gaps, str):
        return None
    stamps = start + first + np.concatenate([[0.0], np.cumsum(read_gaps(gaps))])
    return stamps, np.ones(stamps.size)


def _of_chunks(blob: bytes) -> tuple[Floats, Floats] | None:
    """Return the arrivals of a blob's chunks that carry tokens, seconds from the start, and the tokens of each."""
    try:
        chunks = unpack(blob)
    except CorruptPickle:
        return None
    bears = np.isin(chunks.kind, TOKEN_KINDS)
    if not bears.any():
        return None
    weights = np.ones(int(bears.sum()))
    if chunks.tokens is not None:
        told, messages = np.asarray(chunks.tokens)[bears], np.asarray(chunks.message)[bears]
        # A message counts all its tokens: those of several choices, or text beside a tool call, share them.
        shared = np.unique(messages, return_inverse=True, return_counts=True)
        if np.all(told >= 0) and told.any():
            weights = told / shared[2][shared[1]]
    return np.asarray(chunks.arrival, dtype=float)[bears] / 1e9, weights


def _share(
    first: float, stamped: tuple[Floats, Floats] | None, start: float, end: float, low: float, high: float
) -> float:
    """Return the share of an answer that came between two moments."""
    if not first >= 0:
        return float(low < end <= high)
    if stamped is not None:
        stamps, weights = stamped
        return float(weights[(stamps > low) & (stamps <= high)].sum() / weights.sum())
    streamed = end - start - first
    if streamed <= 0:
        return float(low < end <= high)
    return max(0.0, min(end, high) - max(start + first, low)) / streamed


@rate("request throughput", unit="requests/s", better="higher", columns=(*SPAN, "success"), counted=())
def request_throughput(requests: pd.DataFrame) -> float:
    """Successful requests that end in the window, per second of the window.

    Notes
    -----
    vLLM divides all by its benchmark's wall time, the drain included: ``whole_run_request_throughput``. guidellm trims
    its window and counts incomplete requests too.

    Examples
    --------
    >>> request_throughput(pd.DataFrame({"start_time": [0.0, 1.0, 2.0], "completed_time": [1.0, 2.0, 3.0],
    ...                                  "success": [True, True, True]}))
    1.0
    """
    requests = with_windows(requests)
    return float((requests["success"] & ends_inside(requests)).sum() / seconds_of_windows(requests))


@rate(
    "output throughput",
    unit="tokens/s",
    better="higher",
    columns=(*SPAN, "success", *_TOKENS),
    counted=("completion_tokens",),
)
def output_throughput(requests: pd.DataFrame) -> float:
    """Output tokens of successful requests that come in the window, per second of the window.

    Notes
    -----
    Tokens count when their chunk came, as the server counts those of each chunk; where it tells only the answer's,
    these are spread evenly over the chunks that carry some; without chunks, evenly between first token and end; an
    answer that was not streamed at its end.
    llmeter counts per minute; vLLM divides all tokens by its wall time.

    Examples
    --------
    A second answer of 64 tokens is half through when the last request is sent:

    >>> output_throughput(pd.DataFrame({"start_time": [0.0, 1.0, 2.0], "completed_time": [1.0, 3.0, 3.0],
    ...                                 "first_chunk_latency": [0.0, 0.0, 0.0], "success": [True, True, True],
    ...                                 "completion_tokens": [64, 64, 64]}))
    48.0
    """
    requests = with_windows(requests)
    return _sum(tokens_inside(requests), requests["success"]) / seconds_of_windows(requests)


@rate(
    "prompt throughput",
    unit="tokens/s",
    better="higher",
    columns=(*SPAN, "success", "prompt_tokens", "first_chunk_latency"),
    counted=("prompt_tokens",),
    shown=False,
)
def prompt_throughput(requests: pd.DataFrame) -> float:
    """Prompt tokens of successful requests whose first token comes in the window, per second of the window.

    Examples
    --------
    >>> prompt_throughput(pd.DataFrame({"start_time": [0.0, 1.0], "completed_time": [1.0, 2.0], "success": [True, True],
    ...                                 "first_chunk_latency": [0.5, 0.5], "prompt_tokens": [6, 6]}))
    6.0
    """
    requests = with_windows(requests)
    first = requests["start_time"] + requests.get("first_chunk_latency", pd.Series(np.nan, requests.index))
    inside = ends_inside(requests, first.fillna(requests["completed_time"]))
    tokens = requests["prompt_tokens"].where(inside & requests["success"], 0.0 * requests["prompt_tokens"])
    return _sum(tokens, requests["success"]) / seconds_of_windows(requests)


@rate(
    "total throughput",
    unit="tokens/s",
    better="higher",
    columns=(*SPAN, "success", "prompt_tokens", *_TOKENS),
    counted=("prompt_tokens", "completion_tokens"),
    shown=False,
)
def total_throughput(requests: pd.DataFrame) -> float:
    """Prompt and output tokens of successful requests that come in the window, per second of the window.

    Examples
    --------
    >>> total_throughput(pd.DataFrame({"start_time": [0.0, 1.0], "completed_time": [1.0, 2.0], "success": [True, True],
    ...                                "prompt_tokens": [6, 6], "completion_tokens": [64, 64]}))
    70.0
    """
    requests = with_windows(requests)
    return prompt_throughput(requests) + output_throughput(requests)


def _sum(values: "pd.Series[float]", chosen: "pd.Series[bool]") -> float:
    """Add up over chosen requests; NaN when none has a value."""
    return float(values[chosen].sum(min_count=1))


@rate("request throughput, whole run", unit="requests/s", better="higher", columns=(*SPAN, "success"))
def whole_run_request_throughput(requests: pd.DataFrame) -> float:
    """Successful requests per second from the load's first start to its last end, warm-up and drain included.

    Notes
    -----
    What most tools report: vLLM, sglang, evalscope and llmeter divide by the time of the whole run.

    Examples
    --------
    >>> whole_run_request_throughput(pd.DataFrame({"start_time": [0.0, 1.0], "completed_time": [2.0, 4.0],
    ...                                            "success": [True, True]}))
    0.5
    """
    return float(requests["success"].sum() / _whole_seconds(requests))


@rate(
    "output throughput, whole run",
    unit="tokens/s",
    better="higher",
    columns=(*SPAN, "success", "completion_tokens"),
    shown=False,
)
def whole_run_output_throughput(requests: pd.DataFrame) -> float:
    """Output tokens of successful requests per second from the load's first start to its last end.

    Examples
    --------
    >>> whole_run_output_throughput(pd.DataFrame({"start_time": [0.0], "completed_time": [2.0], "success": [True],
    ...                                           "completion_tokens": [64]}))
    32.0
    """
    return _sum(requests["completion_tokens"], requests["success"]) / _whole_seconds(requests)


def _whole_seconds(requests: pd.DataFrame) -> float:
    runs = requests.groupby("run_id" if "run_id" in requests else [0] * len(requests), sort=False)
    spans = runs["completed_time"].max() - runs["start_time"].min()
    total = float(spans.sum(skipna=False)) if len(spans) else 0.0
    return total if total > 0 else float("nan")


@rate("concurrency", unit="requests", columns=SPAN)
def concurrency(requests: pd.DataFrame) -> float:
    """Mean number of requests in flight over the window, failed ones included.

    Examples
    --------
    >>> concurrency(pd.DataFrame({"start_time": [0.0, 1.0, 2.0], "completed_time": [1.0, 3.0, 3.0]}))
    1.0
    """
    requests = with_windows(requests)
    low, high = requests["window_start"], requests["window_end"]
    inside = np.minimum(requests["completed_time"], high) - np.maximum(requests["start_time"], low)
    return float(np.nansum(np.maximum(inside, 0)) / seconds_of_windows(requests))


@rate("peak concurrency", unit="requests", columns=SPAN, shown=False)
def peak_concurrency(requests: pd.DataFrame) -> float:
    """Largest number of requests in flight at one moment of any run's window.

    Examples
    --------
    >>> peak_concurrency(pd.DataFrame({"start_time": [0.0, 2.0], "completed_time": [2.0, 4.0]}))
    1.0
    """
    requests = with_windows(requests)
    peaks = [_peak(run) for _, run in requests.groupby("run_id", sort=False)]
    return max(peaks, default=float("nan"))


def _peak(run: pd.DataFrame) -> float:
    inside = run[(run["completed_time"] > run["window_start"]) & (run["start_time"] <= run["window_end"])]
    times = np.concatenate([inside["start_time"], inside["completed_time"]])
    steps = np.repeat([1, -1], len(inside))
    # At equal times an end comes before a start: a user's next request does not overlap the one it followed.
    order = np.lexsort((steps, times))
    return float(steps[order].cumsum().max()) if len(inside) else float("nan")


@rate("success rate", unit="share", better="higher", columns=("success", "error_kind"), shown=False)
def success_rate(requests: pd.DataFrame) -> float:
    """Share of the requests that succeeded, among those that their clients did not cancel.

    Examples
    --------
    >>> success_rate(pd.DataFrame({"success": [True, True, True, False]}))
    0.75
    """
    return float(not_cancelled(requests)["success"].mean())


def not_cancelled(requests: pd.DataFrame) -> pd.DataFrame:
    """Leave out the requests whose clients closed the connection: what they would have become is unknown."""
    return requests[requests["error_kind"] != CANCELLED] if "error_kind" in requests else requests


def meets(requests: pd.DataFrame, slo: Mapping[str, float]) -> pd.Series:
    """Tell for each request whether it succeeded and stayed within every bound.

    Parameters
    ----------
    requests : DataFrame
        ``success`` and the columns of the metrics named.
    slo : mapping of metric name to bound
        In the metric's unit (seconds); a bound is an upper one, or a lower one where higher is better.

    Returns
    -------
    Series of bool
        A request whose metric is NaN does not meet it.

    Examples
    --------
    >>> meets(pd.DataFrame({"success": [True, True], "latency": [0.5, 2.0]}), {"e2e": 1.0}).tolist()
    [True, False]
    """
    good = requests["success"].copy()
    for name, bound in slo.items():
        metric = METRICS[name]
        values = metric.compute(requests)
        good &= (values >= bound) if metric.better == "higher" else (values <= bound)
    return good


def goodput(requests: pd.DataFrame, slo: Mapping[str, float]) -> float:
    """Successful requests that meet every objective and end in the window, per second of the window.

    Notes
    -----
    After DistServe [1]_; vLLM's ``--goodput`` counts the same over its wall time.

    References
    ----------
    .. [1] Zhong et al., DistServe, OSDI 2024.

    Examples
    --------
    >>> goodput(pd.DataFrame({"start_time": [0.0, 0.0, 2.0], "completed_time": [0.5, 2.0, 3.0],
    ...                       "success": [True, True, True], "latency": [0.5, 2.0, 1.0]}), {"e2e": 1.0})
    0.5
    """
    requests = with_windows(requests)
    return float((meets(requests, slo) & ends_inside(requests)).sum() / seconds_of_windows(requests))


@rate("cached prompt tokens", unit="share", columns=("success", "cached_tokens", "prompt_tokens"), shown="known")
def cached_share(requests: pd.DataFrame) -> float:
    """Prompt tokens that the server took from its cache, as a share of the prompt tokens of the answers that say so.

    NaN where no answer says how many were cached: that a server does not report it is not 0.

    Examples
    --------
    >>> cached_share(pd.DataFrame({"success": [True, True, True], "cached_tokens": [512.0, 0.0, None],
    ...                            "prompt_tokens": [1024, 1024, 999]}))
    0.25
    """
    told = requests[requests["success"] & requests["cached_tokens"].notna() & requests["prompt_tokens"].notna()]
    prompt = float(told["prompt_tokens"].sum())
    return float(told["cached_tokens"].sum()) / prompt if prompt else float("nan")
