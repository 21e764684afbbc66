"""Shares as people write them: 0.05 or 5 %."""

from perfkit.errors import UsageError


def share(what: str, given: str | float, *, most: float = 1.0) -> float:
    """Read a share, of which a bare number is below 1, so that 5 is never taken for 5 % or for 500 %.

    Parameters
    ----------
    what : str
        What it is a share of, for messages.
    given : str or float
        ``0.05``, ``"0.05"`` or ``"5%"``.
    most : float
        What it stays below; only a text with % gets beyond 1.

    Raises
    ------
    UsageError
        It is no number, below 0, or too large.

    Examples
    --------
    >>> share("effect", "5%"), share("effect", "0.05"), share("effect", 0.05)
    (0.05, 0.05, 0.05)
    """
    text = str(given).strip()
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = float("nan")
    is_percentage = text.endswith("%")
    found = number / 100 if is_percentage else number
    if not 0 <= found < (most if is_percentage else 1):
        meant = f"; for {number:g} % write '{number:g}%'" if not is_percentage and 1 <= number < 100 * most else ""
        raise UsageError(f"the {what} is a share such as '5%' or 0.05, got {given!r}{meant}")
    return found
