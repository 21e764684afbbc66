"""Keeps the desk behind everybody during a load, and lets it stand with the others while it gets nowhere."""

from collections import deque
from collections.abc import Callable

LOOK_EVERY = 0.1
"""Seconds between two looks; a desk that gets time says something every 25 ms."""
SILENT = 2
"""Looks without a word after which a desk that owes something gets no time at all."""
LOOKS = 5
"""An answer that is not stored after so many looks is too old, however much the desk says."""


class Relief:
    """Watches one desk.

    Parameters
    ----------
    stand : callable
        Told True when the desk is to stand with everybody else, False when it is to step back.

    Examples
    --------
    >>> relief = Relief(lambda forward: print("forward" if forward else "back"))
    >>> relief.begin()
    back
    >>> for heard in (1, 2, 2, 2):
    ...     relief.look(heard, delivered=5, stored=0, owes=True)
    forward
    >>> relief.look(4, delivered=5, stored=5, owes=False)
    back
    """

    def __init__(self, stand: Callable[[bool], None]) -> None:
        self._stand = stand
        self._forward = True
        self._heard = self._silent = 0
        self._delivered: deque[int] = deque(maxlen=LOOKS)

    def begin(self) -> None:
        """A load begins: the desk steps back."""
        self._delivered.clear()
        self._change(False)

    def end(self) -> None:
        """The load has ended: the desk stands with everybody else."""
        self._change(True)

    def look(self, heard: int, *, delivered: int, stored: int, owes: bool) -> None:
        """Look how far the desk is.

        Parameters
        ----------
        heard : int
            Messages that it has sent.
        delivered, stored : int
            Answers that it was given, and has stored.
        owes : bool
            Somebody waits for it: for an answer to be stored, or a request to be made.
        """
        self._silent = self._silent + 1 if owes and heard == self._heard else 0
        self._heard = heard
        before = self._delivered[-1] if self._delivered else 0
        late = len(self._delivered) == LOOKS and stored < self._delivered[0]
        self._delivered.append(delivered)
        behind = self._forward and stored < before
        self._change(behind or self._silent >= SILENT or late)

    def _change(self, forward: bool) -> None:
        if forward != self._forward:
            self._forward = forward
            self._stand(forward)
