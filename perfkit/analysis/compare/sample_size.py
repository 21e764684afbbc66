"""How many runs a comparison will need, judged by runs that are like those to come."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from math import inf, log1p, nan, sqrt

import numpy as np
import pandas as pd

from perfkit.analysis.compare.pairing import LOAD
from perfkit.analysis.compare.work import work_of
from perfkit.analysis.metrics.quantity import Quantity, quantity
from perfkit.analysis.query import columns
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.estimates import Estimate, error_of
from perfkit.analysis.stats.power import MOST, runs_needed
from perfkit.analysis.text_table import Cell, as_html, label, number, on_terminal, plain
from perfkit.errors import UsageError
from perfkit.options.units import share
from perfkit.records import Json

ASSUMED = (0.02, 0.05)
"""Scatters between runs that are shown side by side where none is known."""

_LONGER = 4
"""How many times as many requests a run are tried, where that spares runs."""


@dataclass(frozen=True, slots=True)
class Scatter:
    """How much runs of one setting will differ in a quantity: standard deviations of logarithms, about shares."""

    luck: float
    """What the luck of a run's requests makes of it; NaN where these are too few to tell."""
    between: float
    """Of whole runs, that luck included; NaN where neither repeats nor a noise tell."""
    freedom: float = inf
    """Degrees of freedom of the repeats that it was measured with; infinite where a noise is assumed."""

    @classmethod
    def of(cls, repeats: Iterable[Sequence[Estimate]], noise: float | None, longer: float = 1.0) -> "Scatter":
        """Return the scatter of runs that are ``longer`` times as long as these, by groups of repeats.

        Examples
        --------
        >>> pilot = [[Estimate(value, value * 0.98, value * 1.02) for value in (1.0, 1.1, 1.2)]]
        >>> found = Scatter.of(pilot, None)
        >>> round(found.luck, 4), round(found.between, 4), found.freedom
        (0.0102, 0.0912, 2)
        """
        groups = [[each for each in group if each.value > 0] for group in repeats]
        squares = [error_of(each) ** 2 for group in groups for each in group]
        luck = float(np.mean(squares)) if squares else nan
        if noise is not None:
            return cls(sqrt(luck / longer), sqrt(log1p(noise) ** 2 + luck / longer))
        logs = [np.log([each.value for each in group]) for group in groups if len(group) > 1]
        freedom = sum(each.size - 1 for each in logs)
        if not freedom:
            return cls(sqrt(luck / longer), nan)
        seen = float(sum(((each - each.mean()) ** 2).sum() for each in logs)) / freedom
        if longer != 1:
            seen = max(seen - luck, 0.0) + luck / longer
        return cls(sqrt(luck / longer), sqrt(seen), freedom)


@dataclass(frozen=True, slots=True)
class Need:
    """Of one quantity: how much runs differ in it, and how many of them show the effect."""

    quantity: str
    words: str
    scatter: Scatter
    runs: int | None
    """Runs a side, measured one after the other; None where the scatter between runs is not known."""
    rounds: int | None
    """Rounds of ``perfkit ab``, if both sides differ by as much from round to round."""
    assumed: tuple[int | None, ...]
    """Where it is not known: runs a side were the scatter between runs, their requests' luck aside, 0, 2 or 5 %."""


@dataclass(frozen=True)
class Plan:
    """Runs that show an effect as often as promised; prints as a table and sentences."""

    effect: float
    power: float
    requests: int
    """Requests of each run."""
    seconds: float | None
    """How long each run takes, going by those that were looked at."""
    needs: tuple[Need, ...]
    family: int
    """Quantities and loads that are compared together, for which Holm's correction is counted in."""
    noise: float | None
    """The scatter between runs that is assumed."""
    unjudged: tuple[str, ...] = ()
    """Quantities that the requests which were looked at are too few for, or do not have."""
    longer: int | None = None
    """How many runs a side would do with four times as many requests each, where that spares a third of the runs."""

    @property
    def runs(self) -> int | None:
        """Runs a side that show the effect in each quantity; None where the scatter between runs is not known."""
        return _most(need.runs for need in self.needs)

    @property
    def rounds(self) -> int | None:
        """Rounds of ``perfkit ab`` that do."""
        return _most(need.rounds for need in self.needs)

    @property
    def table(self) -> pd.DataFrame:
        """One row per quantity: ``quantity``, ``luck`` and ``scatter`` (shares), ``runs``, ``rounds``."""
        rows = [
            {
                "quantity": need.quantity,
                "luck": need.scatter.luck,
                "scatter": need.scatter.between,
                "runs": need.runs,
                "rounds": need.rounds,
            }
            for need in self.needs
        ]
        return pd.DataFrame(rows)

    @property
    def sentence(self) -> str:
        """The answer in words."""
        few = f" Left out, as too few requests tell it: {', '.join(self.unjudged)}." if self.unjudged else ""
        return f"{self._answer()}{few}"

    def _answer(self) -> str:
        goal = f"To see {100 * self.effect:.3g} % of {self._named} with a chance of {self.power:.0%}"
        each = f"{self.requests:,} requests each{f' ({self.seconds:,.0f} s)' if self.seconds else ''}"
        if not self._is_known:
            return (
                f"One run does not show how much runs of one server differ, so one run a side proves nothing: "
                f"measure it again (perfkit run --repeat 3), or give --noise 4%. {goal} takes as many runs a side of "
                f"{each} as the table says."
            )
        if self.runs is None:
            return f"{goal} would take more than {MOST:,} runs a side of {each}: ask for a larger effect."
        measured = min(need.scatter.freedom for need in self.needs)
        assumed = f"runs of one server differ by {100 * (self.noise or 0):.2g} %, as assumed"
        basis = assumed if measured == inf else f"runs differ as these repeats do ({measured:.0f} degrees of freedom)"
        said = [
            f"{goal}, if {basis}: {self.runs:,} runs a side of {each}, or {self.rounds:,} rounds of perfkit ab "
            f"(--repeat {self.rounds})."
        ]
        if self.family > 1:
            said.append(
                f"Holm's correction for {self.family} comparisons is counted in; one decided on before takes less."
            )
        if measured < 4:
            said.append(
                "So few repeats leave the scatter open, and that is counted in: more of them ask for fewer runs."
            )
        if self.longer is not None:
            said.append(f"With {_LONGER * self.requests:,} requests each, {self.longer:,} runs a side do.")
        return " ".join(said)

    @property
    def _named(self) -> str:
        return self.needs[0].words if len(self.needs) == 1 else f"any of these {len(self.needs)} quantities"

    @property
    def _is_known(self) -> bool:
        return any(need.scatter.between == need.scatter.between for need in self.needs)

    def to_dict(self) -> dict[str, Json]:
        """Return everything as plain data for JSON; what is unknown is None."""
        found = {**asdict(self), "runs": self.runs, "rounds": self.rounds, "sentence": self.sentence}
        for need in found["needs"]:
            if need["scatter"]["freedom"] == inf:
                need["scatter"]["freedom"] = None
        return found

    def __str__(self) -> str:
        return f"{on_terminal(*self._cells())}\n\n{plain(self.sentence)}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"{as_html(*self._cells())}<small>{escape(self.sentence)}</small>"

    def _cells(self) -> tuple[list[str], list[list[Cell]]]:
        head = ["quantity", f"luck of {self.requests:,} requests"]
        if self._is_known:
            head += ["runs differ by", "runs a side", "rounds"]
        else:
            head += [
                f"runs a side if they differ by {text}" for text in ("that alone", *(f"{a:.0%} more" for a in ASSUMED))
            ]
        rows = []
        for need in self.needs:
            of_scatter = [_percent(need.scatter.luck)]
            counts = (need.runs, need.rounds) if self._is_known else need.assumed
            if self._is_known:
                of_scatter.append(_percent(need.scatter.between))
            rows.append([label(need.words), *of_scatter, *(Cell(number(nan if n is None else n)) for n in counts)])
        return head, rows


def plan_comparison(
    runs: Sequence[Run],
    names: Sequence[str],
    effect: str | float,
    noise: float | None = None,
    requests: int | None = None,
    power: float = 0.8,
) -> Plan:
    """Plan a comparison; see ``perfkit.analysis.results.plan``."""
    wished = share("effect", effect, most=10)
    if wished == 0:
        raise UsageError(f"the effect is a share above 0, such as '5%' or 0.05, got {effect!r}")
    if power <= 0.05:
        raise UsageError(f"the power is a chance above 5 %, such as 0.8, got {power:g}")
    if not runs:
        raise UsageError("a plan is made after one run or more that are like those to come, got none")
    if requests is not None and requests < 1:
        raise UsageError(f"requests of each run are 1 or more, got {requests}")
    wanted = [quantity(name) for name in names]
    needed = dict.fromkeys(["phase", "start_time", "completed_time", *(c for each in wanted for c in each.columns)])
    groups: dict[tuple[str, ...], list[pd.DataFrame]] = defaultdict(list)
    for run in runs:
        groups[_setting(run)].append(columns.load([run], needed))
    known = {each: [[each.estimate(rows) for rows in group] for group in groups.values()] for each in wanted}
    loads = len({setting[1] for setting in groups})
    every = [rows for group in groups.values() for rows in group]
    measured = float(np.mean([len(rows) for rows in every]))
    lasted = float(np.mean([rows["completed_time"].max() - rows["start_time"].min() for rows in every]))
    longer = requests / measured if requests else 1.0
    found = plan_estimates(known, wished, noise=noise, longer=longer, loads=loads, power=power)
    if not found:
        raise UsageError(
            f"{measured:,.0f} requests are too few to judge {' and '.join(each.words for each in wanted)} by; measure "
            f"{runs[0].label} longer"
        )
    further = None
    if (most := _most(need.runs for need in found)) is not None:
        more = plan_estimates(known, wished, noise=noise, longer=_LONGER * longer, loads=loads, power=power)
        further = _most(need.runs for need in more)
        further = further if further is not None and 3 * further <= 2 * most else None
    return Plan(
        wished,
        power,
        round(longer * measured),
        lasted * longer if lasted > 0 else None,
        found,
        loads * sum(map(_is_measured, known.values())),
        noise,
        tuple(each.words for each in wanted if each.name not in {need.quantity for need in found}),
        further,
    )


def _is_measured(groups: Sequence[Sequence[Estimate]]) -> bool:
    return any(each.n for group in groups for each in group)


def plan_estimates(
    known: Mapping[Quantity, Sequence[Sequence[Estimate]]],
    effect: float,
    *,
    noise: float | None = None,
    longer: float = 1.0,
    loads: int = 1,
    power: float = 0.8,
) -> tuple[Need, ...]:
    """Return what each quantity needs, by its estimates of each run, in groups of repeats; none for what is not known.

    Notes
    -----
    Each is planned as if it alone differed, so that Holm's correction is all of the family's: where others differ as
    well, fewer runs would do.
    """
    measured = {each: groups for each, groups in known.items() if _is_measured(groups)}
    found = []
    for each, groups in measured.items():
        scatter = Scatter.of(groups, noise, longer)
        family = loads * len(measured)
        runs = rounds = None
        assumed: tuple[int | None, ...] = ()
        if scatter.between == scatter.between:
            runs, rounds = (
                runs_needed(scatter.between, effect, power, family=family, rounds=way, freedom=scatter.freedom)
                for way in (False, True)
            )
        elif scatter.luck == scatter.luck:
            assumed = tuple(
                runs_needed(sqrt(log1p(more) ** 2 + scatter.luck**2), effect, power, family=family)
                for more in (0.0, *ASSUMED)
            )
        else:
            continue
        found.append(Need(each.name, each.words, scatter, runs, rounds, assumed))
    return tuple(found)


def _setting(run: Run) -> tuple[str, ...]:
    """Return what repeats have in common: their name, their load, and all that changes the work."""
    name = str(run.record.get("name") or run.label)
    load = repr([run.settings.get(each) for each in LOAD])
    return name, load, repr(sorted(work_of(run).items()))


def _most(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if None in known else max((each for each in known if each is not None), default=None)


def _percent(value: float) -> Cell:
    return Cell(f"{100 * value:.2g} %" if value == value else "–")
