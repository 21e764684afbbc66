"""The tokens of a request: the gaps between them, how many there are, and how fast they come."""

import numpy as np
import orjson
import pandas as pd

from perfkit.analysis.metrics.registry import metric

_GAPS = ("inter_token_latencies",)


def gaps(requests: pd.DataFrame) -> pd.Series:
    """Return all gaps between token-bearing chunks, each under its request's index.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``inter_token_latencies``: JSON lists of seconds.

    Returns
    -------
    Series of float, seconds
        As many values as gaps; a text that is not a list of numbers gives none.
    """
    texts = requests["inter_token_latencies"].dropna()
    lists = [read_gaps(text) for text in texts]
    index = texts.index.repeat([len(numbers) for numbers in lists])
    values = np.concatenate(lists) if lists else np.empty(0)
    return pd.Series(values, index=index, name="itl", dtype=float)


def read_gaps(text: object) -> np.ndarray:
    """Read one JSON list of gaps, seconds; an empty array where the text is none."""
    if not isinstance(text, str):
        return np.empty(0)
    try:
        return np.asarray(orjson.loads(text), dtype=float).reshape(-1)
    except (ValueError, TypeError):
        # Another program's text: its gaps are unknown, its other columns are not.
        return np.empty(0)


def gap_percentile(requests: pd.DataFrame, percent: float) -> pd.Series:
    """Return a percentile (Hyndman & Fan 7) of each request's own gaps; NaN for answers of one token."""
    lists = [read_gaps(text) for text in requests["inter_token_latencies"]]
    counts = np.array([len(numbers) for numbers in lists], dtype=int)
    found = np.full(len(lists), np.nan)
    for count in np.unique(counts[counts > 0]):  # requests with as many gaps make one matrix: a call for each is slow
        rows = np.flatnonzero(counts == count)
        found[rows] = np.percentile(np.stack([lists[row] for row in rows]), percent, axis=1)
    return pd.Series(found, index=requests.index)


@metric("inter-token latency", unit="s", better="lower", columns=_GAPS, pooled="gaps")
def itl(requests: pd.DataFrame) -> pd.Series:
    """Gaps between token-bearing chunks, those of all requests pooled.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``inter_token_latencies``: JSON lists of seconds.

    Returns
    -------
    Series of float, seconds
        One value per gap, under the index of its request.

    Notes
    -----
    Per chunk, as evalscope and vLLM count. sglang's native API divides each gap by the tokens of its chunk, guidellm
    and aiperf report the mean of each request, inference-perf gives the tokens of one chunk gaps of zero [1]_.

    References
    ----------
    .. [1] https://github.com/kubernetes-sigs/inference-perf/issues/364

    Examples
    --------
    >>> itl(pd.DataFrame({"inter_token_latencies": ["[0.01, 0.02]", "[]", None]})).tolist()
    [0.01, 0.02]
    """
    return gaps(requests)


@metric("mean inter-token latency of a request", unit="s", better="lower", columns=_GAPS, shown=False)
def itl_mean(requests: pd.DataFrame) -> pd.Series:
    """Mean gap between the token-bearing chunks of a request; what guidellm and aiperf call ITL.

    Examples
    --------
    >>> itl_mean(pd.DataFrame({"inter_token_latencies": ["[1, 2, 6]", "[]"]})).tolist()
    [3.0, nan]
    """
    every = gaps(requests)
    return every.groupby(level=0).mean().reindex(requests.index)


@metric("median inter-token latency of a request", unit="s", better="lower", columns=_GAPS, shown=False)
def itl_p50(requests: pd.DataFrame) -> pd.Series:
    """Median gap between the token-bearing chunks of a request.

    Examples
    --------
    >>> itl_p50(pd.DataFrame({"inter_token_latencies": ["[1, 6, 2]"]})).tolist()
    [2.0]
    """
    return gap_percentile(requests, 50)


@metric("p95 inter-token latency of a request", unit="s", better="lower", columns=_GAPS, shown=False)
def itl_p95(requests: pd.DataFrame) -> pd.Series:
    """95th percentile of the gaps of a request: its stutter.

    Examples
    --------
    >>> itl_p95(pd.DataFrame({"inter_token_latencies": ["[0, 100]"]})).tolist()
    [95.0]
    """
    return gap_percentile(requests, 95)


@metric("p99 inter-token latency of a request", unit="s", better="lower", columns=_GAPS, shown=False)
def itl_p99(requests: pd.DataFrame) -> pd.Series:
    """99th percentile of the gaps of a request.

    Examples
    --------
    >>> itl_p99(pd.DataFrame({"inter_token_latencies": ["[0, 100]"]})).tolist()
    [99.0]
    """
    return gap_percentile(requests, 99)


@metric(
    "decode rate",
    unit="tokens/s",
    better="higher",
    columns=("time_per_output_token",),
    sql="(1.0 / nullif(time_per_output_token, 0))",
)
def decode_rate(requests: pd.DataFrame) -> pd.Series:
    """Output tokens per second of a request, once its first token is there.

    Returns
    -------
    Series of float, tokens/s
        1 / TPOT; NaN where there is none, or where all tokens came at once.

    Examples
    --------
    >>> decode_rate(pd.DataFrame({"time_per_output_token": [0.02, 0.0]})).tolist()
    [50.0, nan]
    """
    per_token = requests["time_per_output_token"]
    return 1 / per_token.where(per_token > 0)


@metric(
    "prefill rate",
    unit="tokens/s",
    better="higher",
    columns=("prompt_tokens", "first_chunk_latency"),
    sql="(prompt_tokens / nullif(first_chunk_latency, 0))",
    shown=False,
)
def prefill_rate(requests: pd.DataFrame) -> pd.Series:
    """Prompt tokens per second of TTFT, queueing included.

    Returns
    -------
    Series of float, tokens/s
        prompt tokens / TTFT, as aiperf and genai-bench count; evalscope divides the sums over all requests.

    Examples
    --------
    >>> prefill_rate(pd.DataFrame({"prompt_tokens": [500], "first_chunk_latency": [0.25]})).tolist()
    [2000.0]
    """
    first = requests["first_chunk_latency"]
    return requests["prompt_tokens"] / first.where(first > 0)


@metric("prompt length", unit="tokens", columns=("prompt_tokens",), sql="prompt_tokens", shown=False)
def prompt_tokens(requests: pd.DataFrame) -> pd.Series:
    """Tokens of the prompt; who counted them is in ``token_source``.

    Notes
    -----
    The server's usage, where it sends one. aiperf counts with a tokenizer of its own by default.

    Examples
    --------
    >>> prompt_tokens(pd.DataFrame({"prompt_tokens": [12]})).tolist()
    [12]
    """
    return requests["prompt_tokens"]


@metric("answer length", unit="tokens", columns=("completion_tokens",), sql="completion_tokens", shown=False)
def output_tokens(requests: pd.DataFrame) -> pd.Series:
    """Tokens of the answer, reasoning included; who counted them is in ``token_source``.

    Notes
    -----
    The server's usage, where it sends one. Tools that count chunks are off by the tokens per chunk.

    Examples
    --------
    >>> output_tokens(pd.DataFrame({"completion_tokens": [64]})).tolist()
    [64]
    """
    return requests["completion_tokens"]
