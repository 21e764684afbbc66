"""The rates of a run: requests, tokens and users over the time in which they happened.

The window of a run is from its first start to its last end. Requests of several runs are added up run by run: what
they did over the sum of their windows.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from perfkit.metrics.registry import METRICS, rate

_SPAN = ("run_id", "start_time", "completed_time")


def window(requests: pd.DataFrame) -> float:
    """Return the seconds from first start to last end, summed over runs; NaN when nothing took time.

    Examples
    --------
    >>> window(pd.DataFrame({"run_id": ["a", "a"], "start_time": [0.0, 1.0], "completed_time": [2.0, 5.0]}))
    5.0
    """
    runs = requests.groupby("run_id", sort=False)
    spans = runs["completed_time"].max() - runs["start_time"].min()
    total = float(spans.sum(skipna=False)) if len(spans) else 0.0
    return total if total > 0 else float("nan")


@rate("request throughput", unit="requests/s", better="higher", columns=(*_SPAN, "success"))
def request_throughput(requests: pd.DataFrame) -> float:
    """Successful requests per second of the window.

    Notes
    -----
    Successful requests / (last end - first start). vLLM divides by its benchmark's wall time, guidellm by a trimmed
    window and counts incomplete requests too.

    Examples
    --------
    >>> request_throughput(pd.DataFrame({"run_id": ["a"] * 2, "start_time": [0.0, 1.0],
    ...                                  "completed_time": [2.0, 4.0], "success": [True, True]}))
    0.5
    """
    return float(requests["success"].sum() / window(requests))


@rate("output throughput", unit="tokens/s", better="higher", columns=(*_SPAN, "success", "completion_tokens"))
def output_throughput(requests: pd.DataFrame) -> float:
    """Output tokens of successful requests per second of the window.

    Notes
    -----
    Sum of output tokens / (last end - first start). llmeter counts per minute; vLLM divides by wall time, its drain
    included.

    Examples
    --------
    >>> output_throughput(pd.DataFrame({"run_id": ["a"], "start_time": [0.0], "completed_time": [2.0],
    ...                                 "success": [True], "completion_tokens": [64]}))
    32.0
    """
    return _tokens(requests, "completion_tokens") / window(requests)


@rate(
    "total throughput",
    unit="tokens/s",
    better="higher",
    columns=(*_SPAN, "success", "prompt_tokens", "completion_tokens"),
)
def total_throughput(requests: pd.DataFrame) -> float:
    """Prompt and output tokens of successful requests per second of the window.

    Examples
    --------
    >>> total_throughput(pd.DataFrame({"run_id": ["a"], "start_time": [0.0], "completed_time": [2.0],
    ...                                "success": [True], "prompt_tokens": [6], "completion_tokens": [64]}))
    35.0
    """
    both = _tokens(requests, "prompt_tokens") + _tokens(requests, "completion_tokens")
    return both / window(requests)


def _tokens(requests: pd.DataFrame, column: str) -> float:
    """Sum a count over successful requests; NaN when no request has it."""
    return float(requests.loc[requests["success"], column].sum(min_count=1))


@rate("concurrency", unit="requests", columns=_SPAN)
def concurrency(requests: pd.DataFrame) -> float:
    """Mean number of requests in flight, failed ones included.

    Notes
    -----
    Sum of (end - start) / window, which is Little's law turned round.

    Examples
    --------
    >>> concurrency(pd.DataFrame({"run_id": ["a"] * 2, "start_time": [0.0, 2.0], "completed_time": [4.0, 4.0]}))
    1.5
    """
    return float((requests["completed_time"] - requests["start_time"]).sum() / window(requests))


@rate("peak concurrency", unit="requests", columns=_SPAN)
def peak_concurrency(requests: pd.DataFrame) -> float:
    """Largest number of requests in flight at one moment of any run.

    Examples
    --------
    >>> peak_concurrency(pd.DataFrame({"run_id": ["a"] * 2, "start_time": [0.0, 2.0], "completed_time": [2.0, 4.0]}))
    1.0
    """
    peaks = [_peak(run) for _, run in requests.groupby("run_id", sort=False)]
    return max(peaks, default=float("nan"))


def _peak(run: pd.DataFrame) -> float:
    ended = run[["start_time", "completed_time"]].dropna()
    times = np.concatenate([ended["start_time"], ended["completed_time"]])
    steps = np.repeat([1, -1], len(ended))
    # At equal times an end comes before a start: a user's next request does not overlap the one it followed.
    order = np.lexsort((steps, times))
    return float(steps[order].cumsum().max()) if len(ended) else float("nan")


@rate("success rate", unit="share", better="higher", columns=("success",))
def success_rate(requests: pd.DataFrame) -> float:
    """Share of the requests that succeeded.

    Examples
    --------
    >>> success_rate(pd.DataFrame({"success": [True, True, True, False]}))
    0.75
    """
    return float(requests["success"].mean())


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
    """Successful requests that meet every objective, per second of the window.

    Notes
    -----
    After DistServe [1]_; vLLM's ``--goodput`` counts the same over its wall time.

    References
    ----------
    .. [1] Zhong et al., DistServe, OSDI 2024.

    Examples
    --------
    >>> goodput(pd.DataFrame({"run_id": ["a"] * 2, "start_time": [0.0, 0.0], "completed_time": [0.5, 2.0],
    ...                       "success": [True, True], "latency": [0.5, 2.0]}), {"e2e": 1.0})
    0.5
    """
    return float(meets(requests, slo).sum() / window(requests))
