"""What a token costs: throughput per GPU, speed per user, price and energy per token.

They follow from other numbers of a run and from its tags: ``gpus``, how many the deployment has; ``price``, of one GPU
for an hour, in any currency; ``power``, the mean draw of the whole deployment over the window of its rates, in watts.
Whoever measures the power of a run sets its ``power``; nothing here asks where it came from.

Prompt and output tokens are never added, except where a name says ``total``.
"""

from perfkit.analysis.metrics.registry import rate

_SECONDS = 3600.0


@rate(
    "throughput per GPU",
    unit="tokens/s/GPU",
    better="higher",
    base="output_throughput",
    settings=("gpus",),
    shown="tagged",
)
def throughput_per_gpu(output_throughput: float, gpus: float) -> float:
    """Output tokens per second and GPU: the output throughput over the tag `gpus`.

    Notes
    -----
    The same as InferenceX's ``output_tput_per_gpu``; its ``tput_per_gpu`` counts prompt tokens too
    (``total_throughput_per_gpu``) [1]_, which its readers have taken for output tokens [2]_.

    References
    ----------
    .. [1] https://github.com/SemiAnalysisAI/InferenceX, utils/process_result.py
    .. [2] https://github.com/InferenceMAX/InferenceMAX/issues/293

    Examples
    --------
    >>> throughput_per_gpu(2400.0, gpus=8)
    300.0
    """
    return output_throughput / gpus


@rate(
    "total throughput per GPU",
    unit="tokens/s/GPU",
    better="higher",
    base="total_throughput",
    settings=("gpus",),
    shown=False,
)
def total_throughput_per_gpu(total_throughput: float, gpus: float) -> float:
    """Prompt and output tokens per second and GPU, added up: what InferenceX calls `tput_per_gpu`.

    Examples
    --------
    >>> total_throughput_per_gpu(16_000.0, gpus=8)
    2000.0
    """
    return total_throughput / gpus


@rate("interactivity", unit="tokens/s/user", better="higher", base="tpot_p50", shown="tagged")
def interactivity(tpot_p50: float) -> float:
    """Output tokens per second that a user sees once an answer has begun: 1 / median TPOT.

    Notes
    -----
    As InferenceX defines its ``median_intvty`` [1]_. The time to the first token does not count. aiperf's
    ``output_token_throughput_per_user`` is the mean over requests of 1 / TPOT, which fast requests raise [2]_. Others
    divide the throughput of the system by its users, or an answer's tokens by its whole latency, as InferenceX's
    ``e2e_intvty`` does: both let waiting for the first token count, and are lower.

    References
    ----------
    .. [1] https://github.com/SemiAnalysisAI/InferenceX, utils/process_result.py
    .. [2] https://github.com/ai-dynamo/aiperf, docs/metrics_reference.md

    Examples
    --------
    >>> interactivity(0.020)
    50.0
    """
    return 1 / tpot_p50


@rate(
    "cost per million output tokens",
    unit="currency",
    better="lower",
    base="output_throughput",
    settings=("gpus", "price"),
    shown="tagged",
)
def cost_per_million_output_tokens(output_throughput: float, gpus: float, price: float) -> float:
    """Price of a million output tokens at this load, prompts being free: GPUs times price over output tokens per hour.

    Notes
    -----
    In the currency of the tag ``price``. The whole price of the deployment is laid on the output tokens; that of prompt
    tokens is laid on these alone, so the two are never to be added. Only the time in which the load was steady counts:
    a deployment that is not kept busy costs more.

    Examples
    --------
    8 GPUs at 2.1 an hour are 16.8 an hour, in which 2,400 tokens/s are 8.64 million:

    >>> round(cost_per_million_output_tokens(2400.0, gpus=8, price=2.1), 3)
    1.944
    """
    return gpus * price / (output_throughput * _SECONDS) * 1e6


@rate(
    "cost per million prompt tokens",
    unit="currency",
    better="lower",
    base="prompt_throughput",
    settings=("gpus", "price"),
    shown=False,
)
def cost_per_million_prompt_tokens(prompt_throughput: float, gpus: float, price: float) -> float:
    """Price of a million prompt tokens at this load, output being free; see `cost_per_million_output_tokens`.

    Examples
    --------
    >>> round(cost_per_million_prompt_tokens(24_000.0, gpus=8, price=2.1), 4)
    0.1944
    """
    return gpus * price / (prompt_throughput * _SECONDS) * 1e6


@rate(
    "energy per output token",
    unit="J/token",
    better="lower",
    base="output_throughput",
    settings=("power",),
    shown="tagged",
)
def energy_per_output_token(output_throughput: float, power: float) -> float:
    """Energy that an output token takes, prompts included: the deployment's mean power over its output throughput.

    Notes
    -----
    Power is that of what the tag ``power`` covers, in watts: of the GPUs as DCGM and NVML report it, or of the whole
    machine. Idle draw counts, too.

    Examples
    --------
    >>> energy_per_output_token(2400.0, power=4800.0)
    2.0
    """
    return power / output_throughput
