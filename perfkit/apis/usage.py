"""The counts that servers send: where they stand in a message, and what those of several messages add up to."""

from collections.abc import Sequence
from itertools import pairwise

from perfkit.records import Answer, Json, Kind


def usage_in(message: dict[str, Json]) -> dict[str, Json]:
    """Return the usage object of a message or of one of its choices, wherever it stands; empty if there is none.

    Examples
    --------
    >>> usage_in({"choices": [], "x_groq": {"usage": {"prompt_tokens": 9}}})
    {'prompt_tokens': 9}
    """
    usage = message.get("usage")
    for name in () if usage or _AROUND.isdisjoint(message) else _AROUND:
        if name in message and isinstance(message[name], dict) and (usage := message[name].get("usage")):
            break
    return usage if isinstance(usage, dict) else _counted_by_timings(message.get("timings"))


def _counted_by_timings(timings: Json) -> dict[str, Json]:
    """Return the counts among llama.cpp's timings; ``prompt_n`` leaves out what the cache held."""
    if not isinstance(timings, dict) or "predicted_n" not in timings:
        return {}
    prompt, cached = timings.get("prompt_n"), timings.get("cache_n")
    if isinstance(prompt, int) and isinstance(cached, int):
        prompt += cached
    return {"prompt_tokens": prompt, "completion_tokens": timings["predicted_n"], "cached_tokens": cached}


_AROUND = frozenset({"delta", "message", "x_groq", "response"})


def read_usage(usage: dict[str, Json], answer: Answer, choice: int | None = None) -> None:
    """Note the counts of a usage object, whichever of the common names it uses.

    Examples
    --------
    >>> answer = Answer()
    >>> read_usage({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 8}}, answer)
    >>> answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens
    (9, 2, 8)
    """
    flat = usage
    for name in _DETAILS:
        if name in usage and isinstance(usage[name], dict):
            flat = {**flat, **usage[name]}
    for spelling, name in _SPELLINGS.items():
        if spelling in flat and (count := _count(flat[spelling])) is not None:
            # What a later message leaves out, some servers write as 0.
            if count or getattr(answer, name) is None:
                setattr(answer, name, count)
            if name == "completion_tokens":
                answer.told[answer.message, choice] = count
    # Anthropic's input_tokens leaves out what the cache served or took.
    if isinstance(usage.get("input_tokens"), int) and "cache_read_input_tokens" in usage:
        cached = (usage.get(name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
        answer.prompt_tokens = usage["input_tokens"] + sum(cached)


_DETAILS = ("prompt_tokens_details", "input_tokens_details", "completion_tokens_details", "output_tokens_details")

# Where a server uses several spellings, the last one here counts.
_SPELLINGS = {
    "inputTokens": "prompt_tokens",
    "promptTokens": "prompt_tokens",
    "outputTokens": "completion_tokens",
    "completionTokens": "completion_tokens",
    "input_tokens": "prompt_tokens",
    "prompt_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "completion_tokens": "completion_tokens",
    "cache_read_input_tokens": "cached_tokens",
    "prompt_cache_hit_tokens": "cached_tokens",
    "cached_tokens": "cached_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "total_tokens": "total_tokens",
}


def _count(told: Json) -> int | None:
    """Return a count as an int, None for what is none; some servers write it as text or with a decimal point."""
    if told.__class__ is int:  # nearly always
        return told if 0 <= told < _MOST_TOKENS else None
    if isinstance(told, str) and told.isdecimal():
        told = int(told[:20])
    if isinstance(told, float) and told.is_integer():
        told = int(told)
    return told if isinstance(told, int) and not isinstance(told, bool) and 0 <= told < _MOST_TOKENS else None


_MOST_TOKENS = 2**53


def settle(answer: Answer) -> None:
    """Decide what the counts of all messages add up to, once the last of them is read.

    Servers that send usage with each chunk count up, or count that chunk alone. A count of 0 beside text is none.

    Examples
    --------
    >>> from perfkit.records import Kind
    >>> answer = Answer()
    >>> for answer.message, count in enumerate([5, 1, 2]):
    ...     answer.chunk(Kind.CONTENT, "text")
    ...     read_usage({"completion_tokens": count}, answer)
    >>> settle(answer)
    >>> answer.completion_tokens, answer.tokens
    (8, {0: 5, 1: 1, 2: 2})
    """
    if len(answer.told) > 1:
        _add_up(answer)
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    reasoning, total = answer.reasoning_tokens, answer.total_tokens
    if total and prompt and completion is None and total > prompt:
        completion = total - prompt
    elif reasoning and completion is not None and prompt is not None:
        # Some servers count reasoning beside the answer: the total tells, or that there is more of it.
        apart = total == prompt + completion + reasoning if total else reasoning > completion
        completion += reasoning if apart else 0
    if not (completion and prompt) and 0 in (completion, prompt) and any(answer.output_by_choice().values()):
        answer.zeros = True
        completion, prompt = completion or None, prompt or None
    answer.completion_tokens, answer.prompt_tokens = completion, prompt


def _add_up(answer: Answer) -> None:
    """Note the sum of what was told message by message, and what each message had of it."""
    bearing = answer.output_by_choice()
    owners: dict[int, set[int]] = {}
    for kind, of_choice, _, message in answer.pieces:
        if kind not in _FRAMING:
            owners.setdefault(message, set()).add(of_choice)
    told: dict[int, dict[int, int]] = {}
    total: int | None = None
    for (message, choice), count in answer.told.items():
        among = owners.get(message, set()) if choice is None else {choice}
        if len(among) == 1:
            told.setdefault(min(among), {})[message] = count
        else:
            total = count or total
    together = {message: count for counts in told.values() for message, count in counts.items()}
    every = sorted(message for messages in bearing.values() for message in messages)
    series = [together[message] for message in every if message in together]
    if 1 < len(told) < len(series) and _rises(series):
        # One count for all choices.
        told, bearing = {0: dict(sorted(together.items()))}, {0: every}
    sums = []
    for choice, counts in told.items():
        count, tokens = _of_choice(counts, bearing.get(choice, []), total if len(told) == 1 else None)
        sums.append(count)
        answer.tokens |= tokens
    answer.completion_tokens = total or sum(sums)


_FRAMING = (Kind.USAGE, Kind.DONE, Kind.OTHER)


def _of_choice(told: dict[int, int], bearing: Sequence[int], total: int | None) -> tuple[int, dict[int, int]]:
    """Return the tokens of one choice, and of its messages where that is known."""
    counts = [told[message] for message in bearing if message in told]
    if not counts:
        return [*told.values()][-1], {}
    last = max(told)
    if total is None and last > bearing[-1]:
        total = told[last] or None
    is_alone = any(later < earlier for earlier, later in pairwise(counts)) or (
        not _rises(counts) and (sum(counts) == total if total else counts[-1] < len(counts))
    )
    if is_alone:
        added = total if total and total >= sum(counts) else sum(told.values())
        return added, {message: told[message] for message in bearing} if len(counts) == len(bearing) else {}
    whole = total or counts[-1]
    if len(counts) < len(bearing) or len(bearing) == 1 or counts[0] == counts[-1]:
        return whole, {}
    before = next((count for message, count in reversed(told.items()) if message < bearing[0]), 0)
    steps = (later - earlier for earlier, later in pairwise([before, *counts]))
    return whole, dict(zip(bearing, steps, strict=True))


def _rises(counts: Sequence[int]) -> bool:
    return all(later > earlier for earlier, later in pairwise(counts))
