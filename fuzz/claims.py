"""What a harness is made of: claims, the inputs that they are tried with, and the command that tries them."""

import argparse
import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise
from time import monotonic
from typing import Any, TypeAlias

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROUND = 200
"""Examples of a claim before the next one has its turn."""
_PHASES = (Phase.generate, Phase.target, Phase.shrink)


@dataclass(frozen=True)
class Claim:
    """Something that holds for every input.

    Parameters
    ----------
    check : callable
        Takes an input, and raises where the claim does not hold. Its name states the claim.
    inputs : SearchStrategy
        Makes the inputs.
    cost : int
        How many times as long one example takes as one of the others; so many fewer are tried in a round.
    timed : bool
        It compares times, which a busy machine can spoil.
    """

    check: Callable[..., None]
    inputs: st.SearchStrategy[Any]
    cost: int = 1
    timed: bool = False

    @property
    def name(self) -> str:
        """What is claimed, in words."""
        return self.check.__name__.replace("_", " ")

    def hold(self, examples: int | None = None, seed: int | None = None) -> None:
        """Try it; without ``examples`` and ``seed`` as often and with what Hypothesis' profile says."""
        test = given(self.inputs)(self.check)
        if examples is not None:
            test = settings(
                max_examples=max(1, examples // self.cost),
                database=None,
                deadline=None,
                phases=_PHASES,
                suppress_health_check=list(HealthCheck),
            )(test)
        if seed is not None:
            test = hypothesis.seed(seed)(test)
        test()


def main(claims: Sequence[Claim], words: Sequence[str] | None = None) -> int:
    """Try claims in turns, each once at least, until the time is over; return 1 if one of them does not hold."""
    parser = argparse.ArgumentParser(description="Try the claims of one harness until the time is over.")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each further round takes the next")
    options = parser.parse_args(words)
    logging.disable()  # what is said of odd files is not what is tried
    try:
        return _tried(claims, options)
    finally:
        logging.disable(logging.NOTSET)


def _tried(claims: Sequence[Claim], options: argparse.Namespace) -> int:
    ends, tried, broken = monotonic() + options.minutes * 60, Counter[str](), dict[str, str]()
    for seed, claim in ((seed, claim) for seed in count(options.seed) for claim in claims):
        if (monotonic() > ends and seed > options.seed) or len(broken) == len(claims):
            break
        if claim.name in broken:
            continue
        try:
            claim.hold(ROUND, seed)
        except Exception:  # noqa: BLE001 - whatever breaks a claim is shown, and the others go on
            broken[claim.name] = traceback.format_exc()
        tried[claim.name] += max(1, ROUND // claim.cost)
    for name, examples in tried.items():
        sys.stdout.write(f"{'BROKEN' if name in broken else 'held'}: {name} ({examples:,} examples)\n")
    for told in broken.values():
        sys.stdout.write(f"\n{told}")
    return 1 if broken else 0


# Inputs that several harnesses use ---------------------------------------------------------------------------------


Change: TypeAlias = tuple[int, int, bytes]
"""Where bytes are changed, how many are taken away there, and what is put in their place."""


def changes(pieces: Sequence[bytes], most: int = 3) -> st.SearchStrategy[list[Change]]:
    """Return a few changes: pieces that mean something to a parser, or a few bytes that may mean nothing."""
    new = st.sampled_from([b"", *pieces]) | st.binary(max_size=4)
    return st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 8), new), max_size=most)


def changed(data: bytes, made: Sequence[Change]) -> bytes:
    """Return bytes after changes."""
    for place, gone, new in made:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + gone :]
    return data


def pieces_of(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """Yield bytes in pieces, none of them empty."""
    places = sorted({cut % len(data) for cut in cuts} | {0, len(data)}) if data else []
    for begin, end in pairwise(places):
        yield data[begin:end]


CUTS = st.lists(st.integers(0, 2**16), max_size=8)

JSON_VALUES: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["\ud800", "stop", "\x1b[31m", 10**400, -1, 1e308, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def replaced(value: object, place: int, by: object) -> object:
    """Return a JSON value in which one of the values inside it, the ``place``-th from the start, is another.

    Examples
    --------
    >>> [replaced({"a": [1, 2]}, place, "x") for place in range(5)]
    ['x', {'a': 'x'}, {'a': ['x', 2]}, {'a': [1, 'x']}, 'x']
    """
    found, _ = _replaced(value, place % max(1, _count(value)), by)
    return found


def _count(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count, inner))


def _replaced(value: object, place: int, by: object) -> tuple[object, int]:
    if place == 0:
        return by, -1
    place -= 1
    if not isinstance(value, dict | list):
        return value, place
    names = list(value) if isinstance(value, dict) else range(len(value))
    copy = value.copy()
    for name in names:
        if place < 0:
            break
        copy[name], place = _replaced(value[name], place, by)
    return copy, place
