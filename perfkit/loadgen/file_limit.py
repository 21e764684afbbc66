"""Raises the soft limit of open files to what a load needs."""

import sys

MARGIN = 64
"""Open files that are no connections: the interpreter's own, the channel to the recorder, a name look-up."""


def allow(wanted: int) -> int | None:
    """Raise the soft limit of open files until ``wanted`` connections fit, as far as the hard limit lets it.

    Examples
    --------
    >>> allow(10)
    10
    """
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + MARGIN
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        except (OSError, ValueError):  # macOS has a lower ceiling than the hard limit it tells
            soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else max(0, min(wanted, soft - MARGIN))
