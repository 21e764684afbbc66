"""What the simulated server publishes of itself under ``/metrics``: vLLM's names, in Prometheus' text format."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from perfkit.simulator.dialects import Answer
from perfkit.simulator.model import SECOND
from perfkit.simulator.options import Simulation

PATH = "/metrics"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    *(160.0, 640.0, 2560.0),
)
"""Upper ends of the histograms' buckets, seconds: those of vLLM's time to the first token."""


class Histogram:
    """Counts values in buckets.

    Examples
    --------
    >>> waits = Histogram("wait_seconds", "Time in the queue.")
    >>> for value in (0.004, 0.05, 0.06):
    ...     waits.observe(value)
    >>> [line for line in waits.lines("") if 'le="0.06"' in line or "_sum" in line]
    ['wait_seconds_bucket{le="0.06"} 3', 'wait_seconds_sum 0.114']
    """

    def __init__(self, name: str, meaning: str) -> None:
        self._name, self._meaning = name, meaning
        self._counts = [0] * (len(BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value, in seconds."""
        self._counts[bisect_left(BUCKETS, value)] += 1
        self._sum += value

    def lines(self, labels: str) -> Iterable[str]:
        """Yield its lines of a page."""
        yield from _head(self._name, self._meaning, "histogram")
        comma = "," if labels else ""
        for edge, count in zip((*map(str, BUCKETS), "+Inf"), accumulate(self._counts), strict=True):
            yield f'{self._name}_bucket{{le="{edge}"{comma}{labels}}} {count}'
        yield _line(f"{self._name}_sum", labels, self._sum)
        yield _line(f"{self._name}_count", labels, sum(self._counts))


class Published:
    """Counts what a server has done since its start; what it is doing now is told when a page is made."""

    def __init__(self, simulation: Simulation) -> None:
        model = simulation.model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        self._labels = f'engine="0",model_name="{model}"'
        self._room = simulation.kv_cache_tokens
        self._ttft = Histogram("vllm:time_to_first_token_seconds", "Time to first token in seconds.")
        self._queue = Histogram("vllm:request_queue_time_seconds", "Time spent waiting in seconds.")
        self._prompt = self._cached = self._written = 0

    def first_token(self, answer: Answer) -> None:
        """Count a request whose first token is due."""
        times = answer.times
        self._ttft.observe((times.first - times.came) / SECOND)
        self._queue.observe((times.began - times.came) / SECOND)
        self._prompt += answer.prompt_tokens
        self._cached += answer.cached_tokens

    def ended(self, tokens: int) -> None:
        """Count the tokens that were made for a request."""
        self._written += tokens

    def page(self, running: int, waiting: int, tokens: int) -> bytes:
        """Return the page.

        Parameters
        ----------
        running, waiting : int
            Requests that the engine works on, and those that it has not begun with.
        tokens : int
            In the KV cache: of the prompts and answers of those that run.
        """
        lines: list[str] = []
        for name, meaning, value in (
            ("num_requests_running", "Number of requests in model execution batches.", running),
            ("num_requests_waiting", "Number of requests waiting to be processed.", waiting),
            ("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", min(1.0, tokens / self._room)),
        ):
            lines += [*_head(f"vllm:{name}", meaning, "gauge"), _line(f"vllm:{name}", self._labels, value)]
        for name, meaning, value in (
            ("num_preemptions", "Cumulative number of preemptions from the engine.", 0),
            ("prefix_cache_queries", "Prefix cache queries, in tokens.", self._prompt),
            ("prefix_cache_hits", "Prefix cache hits, in tokens.", self._cached),
            ("prompt_tokens", "Number of prefill tokens processed.", self._prompt),
            ("generation_tokens", "Number of generation tokens processed, of requests that have ended.", self._written),
        ):
            full = f"vllm:{name}_total"
            lines += [*_head(full, meaning, "counter"), _line(full, self._labels, value)]
        lines += [*self._ttft.lines(self._labels), *self._queue.lines(self._labels)]
        return ("\n".join(lines) + "\n").encode()


def _head(name: str, meaning: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _line(name: str, labels: str, value: float) -> str:
    shown = f"{{{labels}}}" if labels else ""
    return f"{name}{shown} {round(value, 9)}"
