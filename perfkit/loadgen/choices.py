"""What is drawn for single requests: the same whoever sends them, and in every run with the same seed."""

from hashlib import blake2b


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
