"""How each tool defines TTFT, ITL, TPOT, E2E and its percentiles, as data over the stamps of one request.

A definition is not an instrument: it says what a tool would have made of the same stamps, not how late it would have
read them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from perfkit.errors import UsageError, nearest
from perfkit.records import TOKEN_KINDS, Kind

Metric: TypeAlias = Literal["ttft", "ttfat", "itl", "tpot", "e2e"]
Held: TypeAlias = Literal["nothing", "ends", "visible", "choices", "events"]
"""Which chunks a file keeps the arrival of: none; first and last with output; all with output; those of a choice (role,
finish) too; all."""

HELD: Final[tuple[Held, ...]] = ("nothing", "ends", "visible", "choices", "events")

ANSWER: Final = frozenset({Kind.CONTENT})
VISIBLE: Final = frozenset(TOKEN_KINDS)
SPOKEN: Final = VISIBLE - {Kind.REASONING}
CHOICES: Final = VISIBLE | {Kind.ROLE, Kind.FINISH, Kind.OTHER}
OUTPUT: Final = CHOICES - {Kind.ROLE}
EVENTS: Final = CHOICES | {Kind.USAGE, Kind.ERROR}


@dataclass(frozen=True, slots=True)
class Stamps:
    """What was measured of one answer; one that was not streamed has no arrivals."""

    arrivals: Sequence[float]
    """Seconds after the start, one a chunk, in order."""
    kinds: Sequence[int]
    messages: Sequence[int]
    """Index of the message that each chunk belongs to; below 0: not known, a message of its own."""
    latency: float
    """Seconds to the last byte."""
    tokens: int | None
    streamed: bool = True
    choices: Sequence[int] = ()
    """Which of n answers each chunk belongs to; empty: all to one."""
    counts: Sequence[int] = ()
    """Tokens of the message that each chunk belongs to, below 0 where the server does not say; empty: of none."""

    def streams(self, kinds: frozenset[Kind]) -> list[list[tuple[float, int]]]:
        """Return arrival and tokens of the messages that carry one of these kinds, by choice."""
        seen: dict[int, dict[int, tuple[float, int]]] = {}
        for index, kind in enumerate(self.kinds):
            if kind in kinds:
                message, count = self.messages[index], self.counts[index] if self.counts else -1
                stream = seen.setdefault(self.choices[index] if self.choices else 0, {})
                told = (self.arrivals[index], count if count >= 0 else 1)
                stream.setdefault(message if message >= 0 else -1 - index, told)
        return [[*stream.values()] for stream in seen.values()]

    def of(self, kinds: frozenset[Kind]) -> list[float]:
        """Return the arrivals of the messages that carry one of these kinds."""
        seen: dict[int, float] = {}
        for index, (arrival, kind, message) in enumerate(zip(self.arrivals, self.kinds, self.messages, strict=True)):
            if kind in kinds:
                seen.setdefault(message if message >= 0 else -1 - index, arrival)
        return list(seen.values())


Weighted: TypeAlias = list[tuple[float, int]]
"""(value, weight) pairs; no pair where a request has no value."""


@dataclass(frozen=True)
class Definition:
    """One tool's definitions."""

    name: str
    tool: str
    releases: str
    reference: str
    checked: str
    """What the formulas were compared with; empty when they were only read in the tool's source."""
    first: frozenset[Kind]
    """The first chunk with one of these ends TTFT."""
    end: frozenset[Kind] | None
    """The last chunk with one of these ends E2E; None: the last byte."""
    gaps: frozenset[Kind] | None
    """ITL are the gaps between these; None: one value a request, the time after the first token by token."""
    per_token: Literal["between tokens", "after first", "whole answer"]
    """TPOT: first to last token, or first token to end, by tokens but one; or start to last token, by all tokens."""
    percentile: str
    one_token: float | None = None
    """TPOT of a streamed answer of one token; None: it has none."""
    seen_apart: bool = False
    """Whether an answer whose tokens all came at once has neither ITL nor TPOT."""
    first_answer: frozenset[Kind] | None = None
    """The first chunk with one of these ends TTFAT; None: the tool has no such metric."""
    by_choice: bool = False
    """Whether each of n answers is a stream of its own, and tokens that the server tells chunk by chunk count."""
    weighted: bool = False
    """Whether an answer's ITL and TPOT weigh by its tokens."""
    causes: Mapping[Metric, str] = field(default_factory=dict)
    """What makes a figure differ from perfkit's."""

    def values(self, metric: Metric, stamps: Stamps) -> Weighted:
        """Return what the tool would take for a metric from one request."""
        by_metric = {"ttft": self.ttft, "ttfat": self.ttfat, "itl": self.itl, "tpot": self.tpot, "e2e": self.e2e}
        return by_metric[metric](stamps)

    def needs(self, metric: Metric) -> Held:
        """Return which chunks a file must keep for a metric."""
        if metric == "itl" and self.gaps is not None:
            return _level(self.gaps, "visible")
        if metric == "ttfat":
            return "choices"  # files that keep less do not keep reasoning apart
        first, end = self.first, self.end or frozenset()
        used = {"ttft": first, "e2e": end, "tpot": VISIBLE if self.per_token != "after first" else first | end}
        return _level(used.get(metric, first | end), "ends")

    def ends_at_last_byte(self, metric: Metric) -> bool:
        """Tell whether a metric needs to know when the last byte came."""
        return self.end is None and (metric == "e2e" or (metric == "tpot" and self.per_token == "after first"))

    def ttft(self, stamps: Stamps) -> Weighted:
        """Time to first token."""
        return [(arrival, 1) for arrival in stamps.of(self.first)[:1]]

    def ttfat(self, stamps: Stamps) -> Weighted:
        """Time to first answer token."""
        return [(arrival, 1) for arrival in stamps.of(self.first_answer or frozenset())[:1]]

    def e2e(self, stamps: Stamps) -> Weighted:
        """Time to the end of the answer."""
        if self.end is None or not stamps.streamed:
            return [(stamps.latency, 1)]
        return [(arrival, 1) for arrival in stamps.of(self.end)[-1:]]

    def itl(self, stamps: Stamps) -> Weighted:
        """Inter-token latencies."""
        if self._came_at_once(stamps):
            return []
        if self.gaps is None:
            return self._after_first(stamps)
        if self.by_choice:
            streams = [[arrival for arrival, _ in stream] for stream in stamps.streams(self.gaps)]
        else:
            streams = [stamps.of(self.gaps)]
        return [(later - earlier, 1) for stream in streams for earlier, later in pairwise(stream)]

    def tpot(self, stamps: Stamps) -> Weighted:
        """Time per output token."""
        if self._came_at_once(stamps):
            return []
        if self.per_token == "after first":
            return self._after_first(stamps)
        visible = stamps.of(VISIBLE)
        if not visible or not stamps.tokens:
            return []
        if self.per_token == "whole answer":
            return [(visible[-1] / stamps.tokens, stamps.tokens if self.weighted else 1)]
        streams = stamps.streams(VISIBLE) if self.by_choice else [[(visible[0], 1), (visible[-1], 1)]]
        span = sum(stream[-1][0] - stream[0][0] for stream in streams)
        after = stamps.tokens - sum(stream[0][1] for stream in streams)
        return [(span / after, 1)] if after > 0 else []

    def _came_at_once(self, stamps: Stamps) -> bool:
        visible = stamps.of(VISIBLE) if self.seen_apart else []
        return bool(visible) and visible[0] == visible[-1]

    def _after_first(self, stamps: Stamps) -> Weighted:
        first, tokens = self.ttft(stamps), (stamps.tokens or 0) - 1
        # guidellm's ends at the last token, whatever its E2E ends at.
        end = [(arrival, 1) for arrival in stamps.of(VISIBLE)[-1:]] if self.weighted else self.e2e(stamps)
        if not first or not end or tokens < 1:
            return [(self.one_token, 1)] if first and self.one_token is not None else []
        return [((end[0][0] - first[0][0]) / tokens, tokens if self.weighted else 1)]


def _level(kinds: frozenset[Kind], enough: Held) -> Held:
    """Return which chunks must be kept to tell these apart; ``enough`` when only output matters."""
    if Kind.USAGE in kinds:
        return "events"
    return "choices" if kinds & {Kind.ROLE, Kind.FINISH} else enough if kinds else "nothing"


_FIXTURES: Final = "the stamps and reports that these releases wrote"
_REPORTS: Final = "its reports, and its figures of a server whose role chunk, events and reasoning made a difference"
_ROLE: Final = "an empty role chunk counts as the first token"
_TO_END: Final = "ends at the last event instead of the last token"

DEFINITIONS: Final[Mapping[str, Definition]] = {
    definition.name: definition
    for definition in (
        Definition(
            name="perfkit",
            tool="perfkit",
            releases="all",
            reference="perfkit.analysis.metrics",
            checked="the log of a paced server",
            first=VISIBLE,
            end=None,
            gaps=VISIBLE,
            per_token="between tokens",
            percentile="linear",
            seen_apart=True,
            first_answer=SPOKEN,
            by_choice=True,
        ),
        Definition(
            name="evalscope-1.0",
            tool="evalscope",
            releases="0.17.1 to 1.1.0",
            reference="evalscope/perf/utils/benchmark_util.py and db_util.py at v0.17.1",
            checked=_FIXTURES,
            first=EVENTS,
            end=None,
            gaps=EVENTS,
            per_token="after first",
            percentile="truncated",
            one_token=0.0,
            causes={
                "ttft": _ROLE,
                "itl": "gaps to role, finish and usage chunks count; percentiles take rank int(n p)",
                "tpot": "starts at the role chunk, ends at the last byte; answers of one token count as 0",
                "e2e": "percentiles take rank int(n p)",
            },
        ),
        Definition(
            name="evalscope-1.10",
            tool="evalscope",
            releases="1.1.1 to 1.11.0",
            reference="evalscope/perf/plugin/api/default_api.py at v1.1.1",
            checked=_FIXTURES,
            first=CHOICES,
            end=EVENTS,
            gaps=CHOICES,
            per_token="after first",
            percentile="truncated",
            one_token=0.0,
            causes={
                "ttft": _ROLE,
                "itl": "gaps to role and finish chunks count; percentiles take rank int(n p)",
                "tpot": f"starts at the role chunk, {_TO_END}; answers of one token count as 0",
                "e2e": "ends at the last event, the usage chunk as a rule",
            },
        ),
        Definition(
            name="evalscope-1.12",
            tool="evalscope",
            releases="1.11.1 to 1.12.0",
            reference="evalscope/perf/utils/db_util.py at v1.12.0",
            checked=_FIXTURES,
            first=VISIBLE,
            end=EVENTS,
            gaps=VISIBLE,
            per_token="after first",
            percentile="nearest rank",
            one_token=0.0,
            causes={
                "ttft": "percentiles take the nearest rank",
                "itl": "percentiles take the nearest rank",
                "tpot": f"{_TO_END}; answers of one token count as 0",
                "e2e": "ends at the last event, the usage chunk as a rule",
            },
        ),
        Definition(
            name="evalscope",
            tool="evalscope",
            releases="1.13.0 to 1.14.1",
            reference="evalscope/perf/utils/db_util.py in the 1.14.1 wheel",
            checked=_FIXTURES,
            first=VISIBLE,
            end=EVENTS,
            gaps=VISIBLE,
            per_token="after first",
            percentile="nearest rank",
            causes={
                "ttft": "percentiles take the nearest rank",
                "itl": "percentiles take the nearest rank",
                "tpot": _TO_END,
                "e2e": "ends at the last event, the usage chunk as a rule",
            },
        ),
        Definition(
            name="vllm",
            tool="vllm",
            releases="0.33.0",
            reference="vllm/benchmarks/lib/endpoint_request_func.py and serve.py in the 0.33.0 wheel",
            checked=_REPORTS,
            first=VISIBLE,
            end=OUTPUT,
            gaps=OUTPUT,
            per_token="after first",
            percentile="linear",
            causes={
                "ttft": "reasoning counts only as vLLM's servers call it, `reasoning`",
                "itl": "the gap to the finish chunk counts (vLLM's has an empty text)",
                "tpot": "ends at the finish chunk",
                "e2e": "ends at the finish chunk",
            },
        ),
        Definition(
            name="sglang",
            tool="sglang",
            releases="0.5.23",
            reference="sglang/benchmark/serving.py in the 0.5.23 wheel, backend sglang-oai-chat",
            checked=_REPORTS,
            first=VISIBLE,
            end=None,
            gaps=VISIBLE,
            per_token="after first",
            percentile="linear",
            causes={"tpot": "ends at the last byte instead of the last token"},
        ),
        Definition(
            name="guidellm",
            tool="guidellm",
            releases="0.8.1",
            reference="https://github.com/vllm-project/guidellm/issues/1144",
            checked=_REPORTS,
            first=VISIBLE,
            end=None,
            gaps=None,
            per_token="whole answer",
            percentile="nearest rank",
            weighted=True,
            causes={
                "ttft": "percentiles take the nearest rank",
                "itl": "one mean a request, weighing by its tokens: stalls are averaged away",
                "tpot": "includes the time to the first token, weighs by tokens",
                "e2e": "percentiles take the nearest rank",
            },
        ),
        Definition(
            name="aiperf",
            tool="aiperf",
            releases="0.13.0",
            reference="aiperf docs/metrics-reference.md",
            checked=_REPORTS,
            first=VISIBLE,
            end=VISIBLE,
            gaps=None,
            per_token="after first",
            percentile="linear",
            first_answer=SPOKEN,
            causes={"itl": "one mean a request: stalls are averaged away", "e2e": "ends at the last token"},
        ),
        Definition(
            name="llmeter",
            tool="llmeter",
            releases="0.2.0",
            reference="llmeter/endpoints/openai.py and utils.py",
            checked=_REPORTS,
            first=ANSWER,
            end=VISIBLE,
            gaps=None,
            per_token="after first",
            percentile="exclusive",
            first_answer=ANSWER,
            causes={
                "ttfat": "a tool call is none; it is what llmeter calls TTFT",
                "ttft": "waits for answer text, reasoning does not count",
                "itl": "it has none; time per output token is shown",
                "tpot": "percentiles interpolate at rank p (n + 1)",
                "e2e": "ends at the last token",
            },
        ),
    )
}
"""Every definition by name. ``evalscope`` alone is its newest."""


def definition(name: str) -> Definition:
    """Return a definition by name.

    Raises
    ------
    UsageError
        There is none; the nearest is suggested.

    Examples
    --------
    >>> definition("vllm").percentile
    'linear'
    """
    if name not in DEFINITIONS:
        raise UsageError(f"no definition is called {name!r}{nearest(name, DEFINITIONS)}")
    return DEFINITIONS[name]
