"""The latencies of a request: how long until the first token, between tokens, until the end, and behind schedule."""

import pandas as pd

from perfkit.analysis.metrics.registry import metric


@metric("time to first token", unit="s", better="lower", columns=("first_chunk_latency",), sql="first_chunk_latency")
def ttft(requests: pd.DataFrame) -> pd.Series:
    """Time from the start of a request to its first chunk that carries text, reasoning or a tool call.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``first_chunk_latency`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN for failed requests and answers not streamed.

    Notes
    -----
    first token - start. evalscope before 1.11 counts the empty role chunk that some servers send at once;
    llmeter and inference-perf wait for text of the answer proper, past all reasoning [1]_.

    References
    ----------
    .. [1] https://github.com/modelscope/evalscope/issues/1694

    Examples
    --------
    >>> ttft(pd.DataFrame({"first_chunk_latency": [0.1]})).tolist()
    [0.1]
    """
    return requests["first_chunk_latency"]


@metric(
    "time to first answer token",
    unit="s",
    better="lower",
    columns=("first_answer_latency",),
    sql="first_answer_latency",
    shown=False,
)
def ttfat(requests: pd.DataFrame) -> pd.Series:
    """Time from the start of a request to its first chunk that carries text or a tool call; reasoning does not count.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``first_answer_latency`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN for failed requests, answers not streamed, answers of reasoning alone, and where a file does not keep it.

    Notes
    -----
    first text or tool call - start: what a user waits for who is not shown the reasoning; TTFT where there is none.
    aiperf calls it time to first output token; llmeter's and inference-perf's TTFT is this one, for text alone.

    Examples
    --------
    >>> ttfat(pd.DataFrame({"first_answer_latency": [2.5]})).tolist()
    [2.5]
    """
    return requests["first_answer_latency"]


@metric("end-to-end latency", unit="s", better="lower", columns=("latency",), sql="latency")
def e2e(requests: pd.DataFrame) -> pd.Series:
    """Time from the start of a request to the last byte of its answer.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``latency`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN for failed requests.

    Notes
    -----
    last byte of the answer - start, so trailing usage and ``[DONE]`` events count. aiperf and llmeter stop at the
    last chunk of content, vLLM at the finish chunk; evalscope, guidellm, sglang and genai-bench end as perfkit does.

    Examples
    --------
    >>> e2e(pd.DataFrame({"latency": [1.5]})).tolist()
    [1.5]
    """
    return requests["latency"]


@metric(
    "time per output token",
    unit="s",
    better="lower",
    columns=("time_per_output_token",),
    sql="time_per_output_token",
)
def tpot(requests: pd.DataFrame) -> pd.Series:
    """Mean time between output tokens of a request, the first one aside.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``time_per_output_token`` in seconds: (last token - first token) / (output tokens - 1).

    Returns
    -------
    Series of float, seconds
        NaN for failed requests, answers not streamed, and answers of one token.

    Notes
    -----
    evalscope and sglang end at the last event, vLLM at the finish chunk, and guidellm divides the whole latency by the
    tokens, TTFT included [1]_: 19.1 ms where others say 10.0 ms, for 32 tokens 10 ms apart after a TTFT of 300 ms.

    References
    ----------
    .. [1] https://github.com/vllm-project/guidellm/issues/1144

    Examples
    --------
    >>> tpot(pd.DataFrame({"time_per_output_token": [0.01]})).tolist()
    [0.01]
    """
    return requests["time_per_output_token"]


@metric(
    "send lag",
    unit="s",
    better="lower",
    columns=("start_time", "scheduled_time"),
    sql="(start_time - scheduled_time)",
)
def lag(requests: pd.DataFrame) -> pd.Series:
    """Time from when a request was due to when it was sent.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``start_time`` and ``scheduled_time`` in Unix seconds.

    Returns
    -------
    Series of float, seconds
        NaN where there was no schedule.

    Notes
    -----
    start - scheduled. In the open model it is the client's delay, or what ``max_concurrency`` held back; in the
    closed model a request is due when its user's previous answer ended, so it is the client's own turn-around.
    Other tools do not store it.

    Examples
    --------
    >>> lag(pd.DataFrame({"start_time": [10.25], "scheduled_time": [10.0]})).tolist()
    [0.25]
    """
    return requests["start_time"] - requests["scheduled_time"]


@metric(
    "time to first token from schedule",
    unit="s",
    better="lower",
    columns=("first_chunk_latency", "start_time", "scheduled_time", "load"),
    shown=False,
)
def ttft_scheduled(requests: pd.DataFrame) -> pd.Series:
    """TTFT counted from when the request was due: what a user who came on time has waited.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``first_chunk_latency`` in seconds, ``start_time`` and ``scheduled_time`` in Unix seconds, ``load``.

    Returns
    -------
    Series of float, seconds
        NaN in the closed model, where no user waits for a request not yet sent.

    Notes
    -----
    TTFT + lag: the twin that is free of coordinated omission [1]_. A client that falls behind, or holds requests
    back, hides the wait from the plain TTFT (506 ms reported, 1,932 ms from schedule, in [2]_).

    References
    ----------
    .. [1] Tene, How NOT to measure latency, 2013.
    .. [2] https://github.com/vllm-project/vllm/issues/54101

    Examples
    --------
    >>> ttft_scheduled(pd.DataFrame({"first_chunk_latency": [0.1], "start_time": [3.5], "scheduled_time": [3.0],
    ...                              "load": ["open"]})).tolist()
    [0.6]
    """
    return (ttft(requests) + lag(requests)).where(requests["load"] == "open")


@metric(
    "end-to-end latency from schedule",
    unit="s",
    better="lower",
    columns=("latency", "start_time", "scheduled_time", "load"),
    shown=False,
)
def e2e_scheduled(requests: pd.DataFrame) -> pd.Series:
    """E2E counted from when the request was due, as ``ttft_scheduled`` does for TTFT.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``latency`` in seconds, ``start_time`` and ``scheduled_time`` in Unix seconds, ``load``.

    Returns
    -------
    Series of float, seconds
        NaN in the closed model.

    Notes
    -----
    E2E + lag.

    Examples
    --------
    >>> e2e_scheduled(pd.DataFrame({"latency": [1.0], "start_time": [3.5], "scheduled_time": [3.0],
    ...                             "load": ["open"]})).tolist()
    [1.5]
    """
    return (e2e(requests) + lag(requests)).where(requests["load"] == "open")
