"""Decides where the desk stands in a load: behind everybody while the loop is late, unless the desk gets nowhere."""

from collections import deque
from collections.abc import Callable

LOOK_EVERY = 0.1
"""Seconds between two looks; a desk that gets time says something every 50 ms."""
LATE = 0.002
"""Seconds by which the loop may wake late: where it is in time there is nothing to gain, and the desk stays."""
REMEMBERED = 10
"""Looks that a late one counts for."""
SILENT = 2
"""Looks without a word after which a desk that owes something gets no time at all."""
OLD = 5
"""An answer that is not stored after so many looks is too old, however much the desk says."""


class Relief:
    """Watches one desk, and the loop that it serves.

    Parameters
    ----------
    stand : callable
        Told True when the desk is to stand with everybody else, False when it is to step back.

    Examples
    --------
    >>> relief = Relief(lambda forward: print("forward" if forward else "back"))
    >>> relief.look(0.005, 1, delivered=5, stored=3, owes=True)
    back
    >>> for heard in (2, 2, 2):
    ...     relief.look(0.005, heard, delivered=5, stored=3, owes=True)
    forward
    >>> relief.look(0.005, 3, delivered=5, stored=5, owes=False)
    back
    """

    def __init__(self, stand: Callable[[bool], None]) -> None:
        self._stand = stand
        self._forward, self._relieved = True, False
        self._heard = self._silent = 0
        self._lags: deque[float] = deque(maxlen=REMEMBERED)
        self._delivered: deque[int] = deque(maxlen=OLD)

    def end(self) -> None:
        """The load has ended: the desk stands with everybody else, and what was seen is forgotten."""
        self._change(True)
        self._lags.clear()
        self._delivered.clear()
        self._silent, self._relieved = 0, False

    def look(self, lag: float, heard: int, *, delivered: int, stored: int, owes: bool) -> None:
        """Look how late the loop is, and how far the desk.

        Parameters
        ----------
        lag : float, seconds
            How late the loop woke for this look.
        heard : int
            Messages that the desk has sent.
        delivered, stored : int
            Answers that it was given, and has stored.
        owes : bool
            Somebody waits for it: for an answer to be stored, or a request to be made.
        """
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
