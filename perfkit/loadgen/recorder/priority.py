"""Runs the recorder at SCHED_IDLE while the event loop is late, unless the recorder starves."""

from collections import deque
from collections.abc import Callable

LOOK_EVERY = 0.1
"""Seconds between two looks; a recorder that gets time says something every 50 ms."""
LATE = 0.002
"""Seconds by which the loop may wake late: where it is in time there is nothing to gain, and the recorder stays."""
REMEMBERED = 10
"""Looks that a late one counts for."""
SILENT = 2
"""Looks without a word after which a recorder that owes something gets no time at all."""
OLD = 5
"""An answer that is not stored after so many looks is too old, however much the recorder says."""


class PriorityController:
    """Watches one recorder, and the loop that it serves.

    Parameters
    ----------
    stand : callable
        Called with True to restore the recorder's normal priority, with False to lower it.

    Examples
    --------
    >>> priority = PriorityController(lambda forward: print("forward" if forward else "back"))
    >>> priority.look(0.005, 1, delivered=5, stored=3, owes=True)
    back
    >>> for heard in (2, 2, 2):
    ...     priority.look(0.005, heard, delivered=5, stored=3, owes=True)
    forward
    >>> priority.look(0.005, 3, delivered=5, stored=5, owes=False)
    back
    """

    def __init__(self, stand: Callable[[bool], None]) -> None:
        self._stand = stand
        self._forward, self._relieved = True, False
        self._heard = self._silent = 0
        self._lags: deque[float] = deque(maxlen=REMEMBERED)
        self._delivered: deque[int] = deque(maxlen=OLD)

    def change(self, stand: Callable[[bool], None]) -> None:
        """Watch another recorder, which stands with everybody else."""
        self._stand, self._forward = stand, True

    def end(self) -> None:
        """End of the load: restore the normal priority and forget what was seen."""
        self._change(True)
        self._lags.clear()
        self._delivered.clear()
        self._silent, self._relieved = 0, False

    def look(self, lag: float, heard: int, *, delivered: int, stored: int, owes: bool) -> None:
        """Look how late the loop is, and how far the recorder."""
        self._lags.append(lag)
        self._silent = self._silent + 1 if owes and heard == self._heard else 0
        self._heard = heard
        caught_up = not self._delivered or stored >= self._delivered[-1]
        old = len(self._delivered) == OLD and stored < self._delivered[0]
        self._delivered.append(delivered)
        self._relieved = self._silent >= SILENT or old or (self._relieved and not caught_up)
        self._change(self._relieved or max(self._lags) < LATE)

    def _change(self, forward: bool) -> None:
        if forward != self._forward:
            self._forward = forward
            self._stand(forward)
