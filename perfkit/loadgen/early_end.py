"""Decides when a run ends early because its requests fail."""

from dataclasses import dataclass

FEWEST = 100
"""Requests that are judged: fewer may be a server that is still waking up."""
SECONDS = 10.0
"""Without a success, once there was one: a gateway that is loaded anew takes less, a server that has died more."""


@dataclass
class Failing:
    """Judges a run by how many of its requests failed: of all of them, and of those since the last success.

    Parameters
    ----------
    allowed : float
        ``max_error_rate``; 1 never ends a run.

    Examples
    --------
    >>> failing = Failing(0.99)
    >>> failing.why(done=900, failed=0, now=0.0)
    >>> failing.why(done=1100, failed=200, now=SECONDS)
    '200 requests failed and none succeeded for 10 s (max_error_rate=1: never end for it)'
    """

    allowed: float
    _succeeded: int = 0
    _failed: int = 0
    """As of the last success."""
    _since: float = 0.0
    """When that was seen."""

    def problem(self, done: int, failed: int, last_error: str | None, now: float) -> str | None:
        """Return what a run keeps that is to be ended, as a sentence; None while it is to go on."""
        why = self.why(done, failed, now)
        return why and f"ended early: {why}" + (f"; the last: {last_error}" if last_error else "")

    def why(self, done: int, failed: int, now: float) -> str | None:
        """Say why the run is to be ended; None while it is to go on."""
        if self.allowed == 1:
            return None
        if done >= FEWEST and failed > done * self.allowed:
            limit = f"beyond max_error_rate {self.allowed:g} (1: never end for errors)"
            return f"{failed:,} of {done:,} requests failed, {limit}"
        if done - failed > self._succeeded:
            self._succeeded, self._failed, self._since = done - failed, failed, now
        in_a_row, seconds = failed - self._failed, now - self._since
        if not self._succeeded or in_a_row < FEWEST or seconds < SECONDS:
            return None
        return (
            f"{in_a_row:,} requests failed and none succeeded for {seconds:.0f} s (max_error_rate=1: never end for it)"
        )
