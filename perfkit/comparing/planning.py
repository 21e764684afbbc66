"""How many requests a comparison will need, judged by a run that is like those to come."""

from collections.abc import Sequence
from dataclasses import dataclass

from perfkit import columns
from perfkit.comparing.quantity import quantity
from perfkit.comparing.share import share
from perfkit.errors import UsageError
from perfkit.estimates import needed, ratio
from perfkit.frame import Run


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests a side that show an effect four times in five; prints as a sentence."""

    requests: int
    quantity: str
    effect: float
    like: str
    seconds: float | None
    """How long they take at the rate of the run that was looked at."""

    def __str__(self) -> str:
        lasts = f", which take {self.seconds:,.0f} s at {self.like}'s rate" if self.seconds else ""
        return (
            f"to see {100 * self.effect:.3g} % of {self.quantity} four times in five you need about {self.requests:,} "
            f"requests a side{lasts}"
        )

    __repr__ = __str__


def planned(runs: Sequence[Run], name: str, effect: str | float) -> Plan:
    """Plan a comparison of a quantity; see ``perfkit.runs.plan``.

    Raises
    ------
    UsageError
        Not one run, an effect out of range, or a run too short to judge by.
    """
    if len(runs) != 1:
        raise UsageError(f"a plan is made after one run, got {len(runs)}: choose one with pick")
    wished = share("effect", effect, most=10)
    if wished == 0:
        raise UsageError(f"the effect is a share above 0, such as '5%' or 0.05, got {effect!r}")
    wanted = quantity(name)
    rows = columns.load(runs, ["start_time", "completed_time", *wanted.columns], "steady")
    estimate = wanted.estimate([rows])
    count = needed(ratio(estimate, estimate), wished)
    if count is None:
        raise UsageError(
            f"{estimate.n} requests are too few to judge {wanted.words} by; measure {runs[0].label} longer"
        )
    lasted = float(rows["completed_time"].max() - rows["start_time"].min())
    seconds = count * lasted / len(rows) if lasted > 0 else None
    return Plan(count, wanted.words, wished, runs[0].label, seconds)
