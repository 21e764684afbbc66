"""Runs: what ``pk.open`` returns and everything is asked of. Immutable; each method that narrows returns another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from perfkit import columns, opening, saving, showing
from perfkit.comparing import QUANTITIES, Comparison, Plan, compared, planned, quantity, require_not_slower
from perfkit.comparing.gate import Unsure
from perfkit.comparing.judging import Test
from perfkit.dataframe import runs_of_frame
from perfkit.errors import UsageError
from perfkit.importers.canonical import as_tables
from perfkit.measured import Measured
from perfkit.metrics import RATES
from perfkit.opening import Places
from perfkit.showing import Shown

if TYPE_CHECKING:
    from perfkit.plots import Plots


def open(*places: Places, tags: str | None = None) -> "Runs":
    """Open result files.

    Parameters
    ----------
    *places : path, folder, glob pattern, or a list of these
        ``"run.db"``, ``"outputs/"``, ``"outputs/**/*.db"``, ``"a.db", "b.db"``, ``["a.db", "b.db"]``.
    tags : str, optional
        Tags that the paths hold, as a pattern of some of their parts: ``"{gpu}/run-{date}"``.

    Returns
    -------
    Runs
        Every run of every file; a file that cannot be opened is listed in ``problems``.

    Raises
    ------
    UsageError
        No file was found, or what was given is no place.
    UnsafeFile
        None of the files found could be opened.

    Examples
    --------
    >>> open("no/such/folder")
    Traceback (most recent call last):
    perfkit.errors.UsageError: no result file in 'no/such/folder'; give a file, a folder or a pattern such as \
'outputs/**/*.db'
    """
    runs, problems = opening.open_all([*map(opening.flattened, places)], tags)
    return Runs(runs, problems, palette=tuple(run.label for run in runs))


def from_frame(
    frame: pd.DataFrame,
    *,
    run: str,
    columns: Mapping[str, str] | None = None,
    unit: str = "s",
    tags: Mapping[str, str] | None = None,
    **settings: Any,
) -> "Runs":
    """Take people's own numbers as runs.

    Parameters
    ----------
    frame : DataFrame
        One row a request.
    run : str
        What the run is called; or a column, each value of which is a run.
    columns : mapping of str to str
        What the columns are: ``{"t_first": "ttft"}``. Those with a name that perfkit knows need no mention.
    unit : str
        Of durations: ``"s"``, ``"ms"``, ...; points in time are Unix seconds.
    tags : mapping of str to str
        Labels for grouping.
    **settings
        What the run was asked to do: ``model="qwen"``, ``parallel=8``, ``load="closed"``.

    Returns
    -------
    Runs

    Raises
    ------
    UsageError
        A column is missing or means nothing to perfkit.

    Examples
    --------
    >>> frame = pd.DataFrame({"t_first": [120.0, 80.0], "total": [900.0, 700.0]})
    >>> runs = from_frame(frame, run="gateway", columns={"t_first": "ttft", "total": "e2e"}, unit="ms")
    >>> runs.percentiles("ttft", [50])["p50"].tolist()
    [0.1]
    """
    record = {**{name: value for name, value in settings.items() if name in opening.RECORDED}, "tags": dict(tags or {})}
    record["arguments"] = {name: value for name, value in settings.items() if name not in opening.RECORDED}
    imported = runs_of_frame(frame, run, columns or {}, unit, record)
    connection = as_tables(imported, "frame", lambda index: f"frame-{index}")
    found = opening.labelled(opening.runs_of(opening.source_of("frame", connection)))
    return Runs(found, palette=tuple(each.label for each in found))


def plan(*, like: "Runs", effect: str | float = 0.05, metric: str = "ttft", quantile: float | None = 0.95) -> Plan:
    """Say how many requests a side a comparison needs.

    Parameters
    ----------
    like : Runs
        One run, like those to come.
    effect : float or str
        The difference to see, as a share: ``0.05`` or ``"5%"``.
    metric : str
        A metric, or a throughput.
    quantile : float or None
        0 to 1; None for the mean.

    Returns
    -------
    Plan
        Prints as a sentence; ``requests`` is the number.

    Raises
    ------
    UsageError
        The run is too short to judge by, a name is unknown, or a number out of its range.
    """
    if metric in RATES:
        return planned(like.members, metric, effect)
    if quantile is not None and not 0 <= quantile <= 1:
        meant = f"; did you mean {quantile / 100:g}?" if 1 < quantile <= 100 else ""
        raise UsageError(f"quantile lies within 0 and 1, such as 0.95, got {quantile:g}{meant}")
    return planned(like.members, f"{metric}_mean" if quantile is None else f"{metric}_p{100 * quantile:g}", effect)


@dataclass(frozen=True, eq=False, repr=False)
class Runs(Measured):
    """Runs that are looked at together. Nothing here changes a file.

    How runs and rows are chosen is described in ``selection``, their numbers in ``measured``.
    """

    # Comparing -----------------------------------------------------------------------------------------------------

    def compare(
        self,
        baseline: "str | Runs",
        *,
        by: str = "run",
        match: Sequence[str] | None = None,
        quantities: Iterable[str] = QUANTITIES,
        test: Test = "interval",
    ) -> Comparison:
        """Compare groups of runs with a baseline, at equal load.

        Parameters
        ----------
        baseline : str or Runs
            A value of ``by``: a run's name or label, or the value of a setting or tag. Or other runs, of any files.
        by : str
            What tells the groups apart.
        match : sequence of str or None
            Settings that must be equal for two runs to be compared, and no others. None: model, dataset and load, and
            every setting that changes the work of a request, such as ``max_tokens``, ``stream`` or ``temperature``.
        quantities : iterable of str
            ``"ttft_p95"``, ``"tpot_mean"``, ``"output_throughput"``, ...
        test : {"interval", "permutation"}
            What p rests on: how far the interval of the ratio lies from 1, or how many of 1,999 exchanges between the
            sides set them as far apart. Runs are exchanged where both sides have three or more (three a side cannot
            fall below 0.1, four can reach 0.03), else the two requests of a prompt, else stretches of requests that
            depend on each other.

        Returns
        -------
        Comparison
            ``conclusion`` (is it faster?), ``table`` (a ratio with a 95 % interval per row), ``sentences``, ``plot()``;
            prints itself. Where both sides have three runs or more, the runs are resampled, else their requests. A
            difference is called clear when its interval leaves out 1 and its p, corrected by Holm's method for the
            quantities looked at together, is below 0.05; where these disagree, its sentence says so.

        Raises
        ------
        UsageError
            No run is the baseline, none has its load, or a quantity is unknown.
        """
        quantities = list(quantities)
        if isinstance(baseline, Runs):
            apart = baseline.tag(side="baseline") + self.tag(side="these")
            return apart.compare("baseline", by="side", match=match, quantities=quantities, test=test)
        found = compared(self.members, baseline, by, match, quantities, test)
        levels = {run: verdict.level if verdict else None for run, verdict in self.verdicts.items()}
        return replace(found, notes=tuple(self._doubts(quantities)), levels=levels)

    def _doubts(self, quantities: Iterable[str]) -> list[str]:
        """Say what speaks against trusting numbers of these runs side by side."""
        doubted = [(run, verdict) for run, verdict in self.verdicts.items() if verdict and verdict.checks]
        metrics = dict.fromkeys(quantity(name).metric.name for name in quantities)
        said = [f"{run} is {verdict.level}: {verdict.reasons[0]}" for run, verdict in doubted]
        return [*said, *columns.mixed_bases(self.members, metrics)]

    def assert_not_slower(
        self, baseline: "str | Runs", *, by: str = "run", unsure: Unsure = "raise", **tolerances: str | float
    ) -> None:
        """Raise unless these runs are as fast as a baseline, within tolerances; for continuous integration.

        Parameters
        ----------
        baseline : str or Runs
            As for ``compare``.
        by : str
            What tells the groups apart.
        unsure : {"raise", "pass"}
            What to do when the requests are too few to tell.
        **tolerances : str or float
            ``ttft_p95="5%"``, ``output_throughput=0.05``.

        Raises
        ------
        Slower
            (an AssertionError) A quantity is clearly worse than allowed, or, unless ``unsure="pass"``, might be.
        """
        require_not_slower(self.compare(baseline, by=by, quantities=tolerances), tolerances, unsure)

    # Showing and keeping -------------------------------------------------------------------------------------------

    @property
    def plot(self) -> "Plots":
        """Charts of these runs: ``runs.plot.ecdf("ttft", by="model")``."""
        from perfkit.plots import Plots

        return Plots(self)

    def show(self, which: str = "slowest", count: int = 3, *, metric: str = "e2e") -> Shown:
        """Show a few requests with their prompts and answers.

        Parameters
        ----------
        which : {"slowest", "fastest", "failed", "first", "random"}
            Which of them.
        count : int
            How many.
        metric : str
            By which they are slow or fast.

        Returns
        -------
        Shown
            Prints itself; ``frame`` has the requests decoded.
        """
        return showing.show(self.members, which, count, metric)

    def export(
        self,
        folder: str | Path,
        charts: Iterable[str] | None = None,
        *,
        size: Literal["notebook", "paper"] = "notebook",
        formats: Sequence[str] | None = None,
        width: str | float | None = None,
        grey: bool = False,
        by: str | None = None,
    ) -> list[Path]:
        """Write charts, and the numbers behind each, into a folder; see ``perfkit.export.export`` for the options."""
        from perfkit.export import export

        return export(self, folder, charts, size=size, formats=formats, width=width, grey=grey, by=by)

    def report(
        self,
        path: str | Path = "report.html",
        *,
        title: str | None = None,
        charts: Iterable[str] | None = None,
        by: str | None = None,
    ) -> Path:
        """Write one HTML file that needs nothing else; see ``perfkit.report.report`` for the options."""
        from perfkit.report import report

        return report(self, path, title=title, charts=charts, by=by)

    def to_parquet(self, path: str | Path) -> Path:
        """Write ``requests`` to a parquet file, for tools that read these; needs the extra ``perfkit[parquet]``.

        Raises
        ------
        UsageError
            pyarrow is not installed.
        """
        try:
            self.requests.to_parquet(path)
        except ImportError:
            raise UsageError("writing parquet needs pyarrow: pip install 'perfkit[parquet]'") from None
        return Path(path)

    def save(self, path: str | Path, *, body: bool = True) -> Path:
        """Write these runs, with the rows that are looked at, to one new run file.

        Parameters
        ----------
        path : str or Path
            Must not exist.
        body : bool
            False leaves out prompts, bodies and answers.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        UsageError
            The file exists.
        """
        return saving.save(self.members, path, body=body)

    def __repr__(self) -> str:
        return str(self.summary()) if self.members else "no runs"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_() if self.members else "no runs"
