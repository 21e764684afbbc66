"""What servers say of the time that a request took them: queue, prefill, first token, decoding, drafts."""

import pandas as pd

from perfkit.analysis.metrics.registry import metric


@metric(
    "server's queue", unit="s", better="lower", columns=("server_queue_time",), sql="server_queue_time", shown=False
)
def server_queue(requests: pd.DataFrame) -> pd.Series:
    """Time that a request waited in the server, as the server says.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``server_queue_time`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN where the server does not say.

    Notes
    -----
    vLLM's ``queue_time_ms`` (``--server-timings``), Groq's ``queue_time``, Qualcomm's ``queue_wait_time_in_ms``, TGI's
    header ``x-queue-time``. llama.cpp and Ollama do not tell.

    Examples
    --------
    >>> server_queue(pd.DataFrame({"server_queue_time": [0.1]})).tolist()
    [0.1]
    """
    return requests["server_queue_time"]


@metric(
    "server's prefill",
    unit="s",
    better="lower",
    columns=("server_prefill_time",),
    sql="server_prefill_time",
    shown=False,
)
def server_prefill(requests: pd.DataFrame) -> pd.Series:
    """Time from the end of the queue to the first token, as the server says.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``server_prefill_time`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN where the server does not say.

    Notes
    -----
    vLLM: time to the first token less the queue; llama.cpp's ``prompt_ms``, Groq's ``prompt_time`` and Ollama's
    ``prompt_eval_duration``, which end with the prompt, a step before the first token.

    Examples
    --------
    >>> server_prefill(pd.DataFrame({"server_prefill_time": [0.1]})).tolist()
    [0.1]
    """
    return requests["server_prefill_time"]


@metric("TTFT in the server", unit="s", better="lower", columns=("server_ttft",), sql="server_ttft", shown=False)
def server_ttft(requests: pd.DataFrame) -> pd.Series:
    """Time from a request's arrival in the server to its first token, as the server says.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``server_ttft`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN where the server does not say.

    Notes
    -----
    vLLM's ``time_to_first_token_ms``, Qualcomm's ``ttft_in_ms``. It begins after the network and the HTTP front end.

    Examples
    --------
    >>> server_ttft(pd.DataFrame({"server_ttft": [0.1]})).tolist()
    [0.1]
    """
    return requests["server_ttft"]


@metric(
    "network and front end",
    unit="s",
    better="lower",
    columns=("first_chunk_latency", "server_ttft", "server_queue_time", "server_prefill_time"),
    shown=False,
)
def front_end(requests: pd.DataFrame) -> pd.Series:
    """The part of TTFT that is neither queue nor prefill: network, HTTP front end, tokenizer.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``first_chunk_latency``, ``server_ttft``, ``server_queue_time`` and ``server_prefill_time`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN where the server tells neither its TTFT nor both of its parts, and where the answer was not streamed.

    Notes
    -----
    TTFT less the server's own, or less queue and prefill. Below 0 where a server counts what the client does not.

    Examples
    --------
    >>> front_end(pd.DataFrame({"first_chunk_latency": [0.5], "server_ttft": [0.4], "server_queue_time": [None],
    ...                         "server_prefill_time": [None]})).round(3).tolist()
    [0.1]
    """
    first, queue, prefill = (
        pd.to_numeric(requests[name]) for name in ("server_ttft", "server_queue_time", "server_prefill_time")
    )
    return requests["first_chunk_latency"] - first.fillna(queue + prefill)


@metric(
    "server's decoding",
    unit="s",
    better="lower",
    columns=("server_decode_time",),
    sql="server_decode_time",
    shown=False,
)
def server_decode(requests: pd.DataFrame) -> pd.Series:
    """Time from the first token to the last, as the server says.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``server_decode_time`` in seconds.

    Returns
    -------
    Series of float, seconds
        NaN where the server does not say.

    Notes
    -----
    vLLM: its mean gap times the gaps between the answer's tokens; llama.cpp's ``predicted_ms``, Groq's
    ``completion_time`` and Ollama's ``eval_duration`` begin with the first token's own step.

    Examples
    --------
    >>> server_decode(pd.DataFrame({"server_decode_time": [0.1]})).tolist()
    [0.1]
    """
    return requests["server_decode_time"]


@metric(
    "accepted drafts",
    unit="share",
    better="higher",
    columns=("draft_tokens", "accepted_tokens"),
    shown=False,
)
def accepted_share(requests: pd.DataFrame) -> pd.Series:
    """Share of the draft model's tokens that the model took.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``draft_tokens`` and ``accepted_tokens``.

    Returns
    -------
    Series of float
        NaN where the server tells no drafts.

    Notes
    -----
    llama.cpp's ``draft_n`` and ``draft_n_accepted``, OpenAI's accepted and rejected prediction tokens.

    Examples
    --------
    >>> accepted_share(pd.DataFrame({"draft_tokens": [8], "accepted_tokens": [6]})).tolist()
    [0.75]
    """
    return requests["accepted_tokens"] / requests["draft_tokens"].where(requests["draft_tokens"] > 0)


@metric(
    "requests running in the server",
    unit="requests",
    columns=("running_at_start",),
    shown=False,
)
def server_running(requests: pd.DataFrame) -> pd.Series:
    """Requests that the server worked on when this one was sent, as it had last published.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``running_at_start``.

    Returns
    -------
    Series of float, requests
        NaN where nobody read what the server publishes (``--scrape``), or not within the last 2.5 s.

    Notes
    -----
    Of the look before the request was sent, so up to a second old. docs/server.md says which names are read.

    Examples
    --------
    >>> server_running(pd.DataFrame({"running_at_start": [4.0]})).tolist()
    [4.0]
    """
    return requests["running_at_start"]


@metric(
    "requests waiting in the server",
    unit="requests",
    columns=("waiting_at_start",),
    shown=False,
)
def server_waiting(requests: pd.DataFrame) -> pd.Series:
    """Requests in the server's queue when this one was sent, as it had last published.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``waiting_at_start``.

    Returns
    -------
    Series of float, requests
        NaN where nobody read what the server publishes (``--scrape``), or not within the last 2.5 s.

    Notes
    -----
    Of the look before the request was sent, so up to a second old. docs/server.md says which names are read.

    Examples
    --------
    >>> server_waiting(pd.DataFrame({"waiting_at_start": [12.0]})).tolist()
    [12.0]
    """
    return requests["waiting_at_start"]


@metric(
    "KV cache taken in the server",
    unit="share",
    columns=("kv_cache_at_start",),
    shown=False,
)
def server_kv_cache(requests: pd.DataFrame) -> pd.Series:
    """Share of the server's KV cache that was taken when this request was sent, as it had last published.

    Parameters
    ----------
    requests : DataFrame, one row per request
        ``kv_cache_at_start``.

    Returns
    -------
    Series of float, 0 to 1
        NaN where nobody read what the server publishes (``--scrape``), or not within the last 2.5 s.

    Notes
    -----
    Of the look before the request was sent, so up to a second old. docs/server.md says which names are read.

    Examples
    --------
    >>> server_kv_cache(pd.DataFrame({"kv_cache_at_start": [0.5]})).tolist()
    [0.5]
    """
    return requests["kv_cache_at_start"]
