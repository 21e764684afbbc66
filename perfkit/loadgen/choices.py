"""What is drawn for single requests: the same whoever sends them, and in every run with the same seed."""

from bisect import bisect
from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Generic, TypeVar

Thing = TypeVar("Thing")


def drawn(seed: int, what: str, number: int) -> float:
    """Return a number from 0 to below 1 for one request of a plan.

    Each draw depends on its request alone, so that any number of workers choose alike without asking each other.

    Parameters
    ----------
    seed : int
    what : str
        What is drawn: draws for different purposes do not depend on one another.
    number : int
        The request's, or the conversation's.

    Examples
    --------
    >>> drawn(0, "cancel", 7) == drawn(0, "cancel", 7) != drawn(1, "cancel", 7)
    True
    >>> sum(drawn(0, "cancel", number) < 0.05 for number in range(10_000))
    486
    """
    return int.from_bytes(blake2b(f"{seed}/{what}/{number}".encode(), digest_size=8).digest()) / 2**64


class Choice(Generic[Thing]):
    """Things of which each number of a plan gets one, by weight.

    Parameters
    ----------
    things : sequence of (thing, weight)
    seed : int
    what : str
        What is chosen; see ``drawn``.

    Examples
    --------
    >>> models = Choice([("a", 3.0), ("b", 1.0)], seed=0, what="model")
    >>> [models.of(number) for number in range(8)].count("a")
    6
    """

    def __init__(self, things: Sequence[tuple[Thing, float]], seed: int, what: str) -> None:
        self._things, self._seed, self._what = [thing for thing, _ in things], seed, what
        *self._below, self._total = accumulate(weight for _, weight in things)

    def of(self, number: int) -> Thing:
        """Return the thing of a number."""
        if not self._below:
            return self._things[0]
        return self._things[bisect(self._below, drawn(self._seed, self._what, number) * self._total)]
