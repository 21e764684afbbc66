"""What is said of several runs alike, said once."""

import re
from collections.abc import Iterable, Sequence

from perfkit.analysis.text_table import listed

_NUMBER = re.compile(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]\d+)?(?![\w.]*\.\d)")


def once(sentences: Iterable[str], labels: Sequence[str], *, alike: bool = True) -> list[str]:
    """Say of all runs at once what sentences say of each.

    Parameters
    ----------
    sentences : iterable of str
        Those of one run begin with its label, and a colon or a blank.
    labels : sequence of str
        Of all runs that are looked at.
    alike : bool
        Sentences that differ in their numbers alone are one, with the least and the largest.

    Returns
    -------
    list of str
        In the order in which they were first said.

    Examples
    --------
    >>> said = ["a: 3 % were late", "b: 12.5 % were late", "c: 4 % were lost", "rates are taken up to the last request"]
    >>> for sentence in once(said, ["a", "b", "c"]):
    ...     print(sentence)
    2 of 3 runs (a and b): 3 to 12.5 % were late
    c: 4 % were lost
    rates are taken up to the last request
    >>> once(["a never settled", "b never settled"], ["a", "b"])
    ['2 of 2 runs: never settled']
    """
    longest = sorted(labels, key=len, reverse=True)
    groups: dict[tuple[bool, str], list[tuple[str, str, str]]] = {}
    for sentence in dict.fromkeys(sentences):
        of = next((each for each in longest if sentence.startswith((f"{each}: ", f"{each} "))), None)
        rest = sentence if of is None else sentence.removeprefix(of).removeprefix(":").strip()
        key = _NUMBER.sub("#", rest) if alike and of is not None else rest
        groups.setdefault((of is not None, key), []).append((of or "", rest, sentence))
    return [_said(members, len(labels)) for members in groups.values()]


def _said(members: Sequence[tuple[str, str, str]], runs: int) -> str:
    if len(members) == 1:
        return members[0][2]
    of = list(dict.fromkeys(label for label, _, _ in members))
    which = "" if len(of) == runs else f" ({listed(of)})"
    return f"{len(of)} of {runs} runs{which}: {_with_ranges([rest for _, rest, _ in members])}"


def _with_ranges(sentences: Sequence[str]) -> str:
    """Return the first of sentences that differ in their numbers, with the range of each number."""
    places = iter(zip(*map(_NUMBER.findall, sentences), strict=True))

    def shown(_: re.Match[str]) -> str:
        numbers = sorted(set(next(places)), key=lambda text: float(text.replace(",", "")))
        return numbers[0] if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"

    return _NUMBER.sub(shown, sentences[0])
