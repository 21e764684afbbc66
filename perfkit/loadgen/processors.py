"""How busy all processors were that the client may use, whoever used them."""

import contextlib
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Self

_IDLE = slice(3, 5)  # idle, and waiting for a disk
_ALL = slice(0, 8)  # what is spent for guests is in user and nice already


@dataclass(frozen=True, slots=True)
class Spent:
    """Ticks that each processor of the machine has spent since it was started, and idle ones among them."""

    ticks: dict[int, tuple[int, int]]

    @classmethod
    def now(cls) -> Self:
        """Read them; of no processor where nobody counts (Linux does)."""
        ticks = {}
        with contextlib.suppress(OSError, ValueError):
            for line in Path("/proc/stat").read_text().splitlines():
                name, *words = line.split()
                if name.startswith("cpu") and name != "cpu":
                    spent = [int(word) for word in words]
                    ticks[int(name[3:])] = sum(spent[_ALL]), sum(spent[_IDLE])
        return cls(ticks)

    def taken_since(self, before: "Spent") -> float | None:
        """Return the share of the time since ``before`` that every processor of this thread was in use at once.

        It is estimated as if each were in use regardless of the others: the product of their shares. One of sixteen
        that idles is enough for a client to be woken in time, so their mean would say nothing.

        Examples
        --------
        >>> import os
        >>> mine = os.sched_getaffinity(0)
        >>> early, late = Spent(dict.fromkeys(mine, (100, 90))), Spent(dict.fromkeys(mine, (200, 115)))
        >>> late.taken_since(early) == 0.75 ** len(mine)
        True
        """
        if not hasattr(os, "sched_getaffinity"):
            return None
        shares = [self._share(number, before) for number in os.sched_getaffinity(0)]
        known = [share for share in shares if share is not None]
        return prod(known) if known else None

    def _share(self, number: int, before: "Spent") -> float | None:
        if number not in self.ticks or number not in before.ticks:
            return None
        (spent, idle), (spent_before, idle_before) = self.ticks[number], before.ticks[number]
        return 1 - (idle - idle_before) / (spent - spent_before) if spent > spent_before else None
