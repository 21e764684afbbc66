"""Runs: what ``pk.open`` returns and everything is asked of. Immutable; each method that narrows returns another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from perfkit import aggregates, columns, decoding, definitions, frame, opening, saving, showing
from perfkit.checks import verdict_of
from perfkit.comparing import QUANTITIES, Comparison, Plan, compared, planned, quantity, require_not_slower
from perfkit.comparing.gate import Unsure
from perfkit.comparing.pairing import MATCH
from perfkit.metrics import RATES
from perfkit.opening import Place
from perfkit.selection import Selection
from perfkit.showing import Shown
from perfkit.summary import Summary, metrics_shown
from perfkit.verdict import Verdict

if TYPE_CHECKING:
    from perfkit.plots import Plots

By = str | Sequence[str]


def open(places: Place | Iterable[Place]) -> "Runs":
    """Open result files.

    Parameters
    ----------
    places : path, folder, glob pattern, or several of these
        ``"run.db"``, ``"outputs/"``, ``"outputs/**/*.db"``, ``["a.db", "b.db"]``.

    Returns
    -------
    Runs
        Every run of every file; a file that cannot be opened is listed in ``problems``.

    Raises
    ------
    UsageError
        No file was found.
    UnsafeFile
        None of the files found could be opened.

    Examples
    --------
    >>> open("no/such/folder")
    Traceback (most recent call last):
    perfkit.errors.UsageError: no result file in 'no/such/folder'; give a file, a folder or a pattern such as \
'outputs/**/*.db'
    """
    runs, problems = opening.open_all(places)
    return Runs(runs, problems, palette=tuple(run.label for run in runs))


def plan(*, like: "Runs", effect: float = 0.05, metric: str = "ttft", quantile: float | None = 0.95) -> Plan:
    """Say how many requests a side a comparison needs.

    Parameters
    ----------
    like : Runs
        One run, like those to come.
    effect : float
        The difference to see, as a share.
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
        The run is too short to judge by, or a name is unknown.
    """
    if metric in RATES:
        return planned(like.members, metric, effect)
    return planned(like.members, f"{metric}_mean" if quantile is None else f"{metric}_p{100 * quantile:g}", effect)


@dataclass(frozen=True, eq=False, repr=False)
class Runs(Selection):
    """Runs that are looked at together. Nothing here changes a file; choosing is described in ``selection``."""

    # Looking -------------------------------------------------------------------------------------------------------

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a request of the load, failed ones and all phases included, preflight and bodies left out.

        ``run``, ``run_id``, ``seq``, ``phase``, ``t`` (seconds since the run's first start), the stored columns,
        one column per metric, the run's settings and tags. Times in seconds. The index stays with a row whatever
        is filtered.
        """
        return columns.load(self.members, columns.everything(self.members))

    @property
    def steady(self) -> pd.DataFrame:
        """The rows of ``requests`` that summaries and charts rest on: those of the steady phase."""
        return self.requests[self.requests["phase"] == "steady"]

    @cached_property
    def preflight(self) -> pd.DataFrame:
        """The requests sent before the load to see that the server answers, with the columns of ``requests``."""
        return columns.load(self.members, columns.everything(self.members), "preflight")

    @cached_property
    def chunks(self) -> pd.DataFrame:
        """One row a chunk of an answer; see ``perfkit.frame.chunks`` for the columns."""
        return frame.chunks(self.members)

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: its settings, counts, verdict, and tags."""
        return frame.table(self.members)

    def decoded(self, *, raw: bool = False) -> pd.DataFrame:
        """Return ``requests`` with the bodies: ``request`` (dict), ``response_messages`` (list of dicts), texts.

        Parameters
        ----------
        raw : bool
            Leave ``response_messages`` as the tool stored it.

        Returns
        -------
        DataFrame
            Adds ``request``, ``response_messages``, ``prompt``, ``output_text`` and ``refused``: why a cell was not
            decoded. Filter first: only what is left is decoded.
        """
        return self.requests.join(decoding.decoded(self.members, raw))

    def column(self, *names: str) -> pd.DataFrame:
        """Return only some columns of ``requests``, reading no others; for files too large to load whole."""
        return columns.load(self.members, names)

    # Judging -------------------------------------------------------------------------------------------------------

    def summary(
        self,
        metrics: Iterable[str] | None = None,
        *,
        by: By = "run",
        unit: str | None = None,
        definition: str | None = None,
    ) -> Summary:
        """Return counts, latencies, rates and verdicts as tables.

        Parameters
        ----------
        metrics : iterable of str, optional
            Names in ``METRICS``; by default those that a person looks at first, and the users' own.
        by : str or sequence of str
            Columns, settings or tags to group by.
        unit : str, optional
            Of durations in ``frame``, such as ``"ms"``; default seconds.
        definition : str, optional
            Another tool's, such as ``"vllm"``, for TTFT, ITL, TPOT and E2E of each run; see ``lens``.

        Returns
        -------
        Summary
            ``frame``, ``rates``, ``verdicts``, ``notes``, ``to_dict()``.

        Raises
        ------
        UsageError
            There is no such metric or definition.
        """
        by, metrics = _names(by), tuple(metrics or metrics_shown())
        rows = aggregates.rows_for(self.members, by, metrics, RATES)
        reason = self._no_rates(by)
        mixed = columns.mixed_bases(self.members, metrics)
        unread = [f"not opened: {problem.reason}" for problem in self.problems]
        summary = Summary(
            aggregates.head(self.members),
            aggregates.percentiles(rows, metrics, aggregates.QUANTILES, by, unit),
            aggregates.run_rates(rows, by, reason),
            self.verdicts,
            (*([reason] if reason else []), *mixed, *unread),
        )
        return self._defined(summary, definition, unit) if definition else summary

    def _defined(self, summary: Summary, definition: str, unit: str | None) -> Summary:
        """Replace the latencies by those of another tool's definition."""
        frame, reasons = definitions.summarised(self.members, definition, aggregates.QUANTILES, unit)
        return replace(
            summary, frame=frame, notes=(*summary.notes, f"latencies as {definition} defines them", *reasons)
        )

    def lens(self, metric: str) -> pd.DataFrame:
        """Show a metric under every tool's definitions, with the cause of each difference.

        Parameters
        ----------
        metric : {"ttft", "itl", "tpot", "e2e"}
            What to look at.

        Returns
        -------
        DataFrame
            Index ``run`` and ``definition``; ``mean``, ``p50``, ``p95``, ``p99`` in seconds, ``n``, ``changed``
            (requests whose value is not perfkit's), ``cause``, ``checked`` (what the formulas were compared with).

        Raises
        ------
        UsageError
            No definition has that metric.
        """
        return pd.concat({run.label: definitions.lens(run, metric) for run in self.members}, names=["run"])

    def percentiles(
        self,
        metrics: str | Iterable[str] = ("ttft", "itl", "tpot", "e2e"),
        quantiles: Iterable[float] = aggregates.QUANTILES,
        *,
        by: By = "run",
        unit: str | None = None,
    ) -> pd.DataFrame:
        """Return n, mean and percentiles of metrics, one row per group and metric.

        Parameters
        ----------
        metrics : str or iterable of str
            Names in ``METRICS``.
        quantiles : iterable of float
            0 to 100, by linear interpolation (Hyndman & Fan 7).
        by : str or sequence of str
            Columns, settings or tags to group by.
        unit : str, optional
            Of durations, such as ``"ms"``; default seconds.

        Returns
        -------
        DataFrame
            Index: the groups and ``metric``; columns ``unit``, ``n``, ``mean``, ``p50``, ... Steady requests that
            succeeded.
        """
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        rows = aggregates.rows_for(self.members, _names(by), names)
        return aggregates.percentiles(rows, names, quantiles, _names(by), unit)

    def goodput(self, slo: Mapping[str, float | str], *, by: By = "run") -> "pd.Series[float]":
        """Return successful requests per second that meet every objective.

        Parameters
        ----------
        slo : mapping of metric to bound
            Seconds, or texts such as ``{"ttft": "200ms", "tpot": "50ms"}``.
        by : str or sequence of str
            Settings or tags to group by.

        Returns
        -------
        Series of float, requests/s
            NaN after a filter on outcomes.
        """
        return aggregates.goodput(self.members, slo, _names(by), self._no_rates(_names(by)))

    def compare(
        self,
        baseline: "str | Runs",
        *,
        by: str = "run",
        match: Sequence[str] = MATCH,
        quantities: Iterable[str] = QUANTITIES,
    ) -> Comparison:
        """Compare groups of runs with a baseline, at equal load.

        Parameters
        ----------
        baseline : str or Runs
            A value of ``by``: a run's name or label, or the value of a setting or tag. Or other runs, of any files.
        by : str
            What tells the groups apart.
        match : sequence of str
            Settings that must be equal for two runs to be compared.
        quantities : iterable of str
            ``"ttft_p95"``, ``"tpot_mean"``, ``"output_throughput"``, ...

        Returns
        -------
        Comparison
            ``table`` (a ratio with a 95 % interval per row), ``sentences``, ``plot()``; prints itself. Where both
            sides have three runs or more, the runs are resampled, else their requests; p-values are corrected by
            Holm's method over the quantities of a pairing.

        Raises
        ------
        UsageError
            No run is the baseline, none has its load, or a quantity is unknown.
        """
        quantities = list(quantities)
        if isinstance(baseline, Runs):
            apart = baseline.tag(side="baseline") + self.tag(side="these")
            return apart.compare("baseline", by="side", match=match, quantities=quantities)
        found = compared(self.members, baseline, by, match, quantities)
        return replace(found, notes=tuple(self._doubts(quantities)))

    def _doubts(self, quantities: Iterable[str]) -> list[str]:
        """Say what speaks against trusting numbers of these runs side by side."""
        levels = {run: verdict.level for run, verdict in self.verdicts.items() if verdict}
        bad = [
            f"{run} is {level}: {self.verdicts[run].reasons[0]}" for run, level in levels.items() if level != "VALID"
        ]
        return [
            *bad,
            *columns.mixed_bases(self.members, dict.fromkeys(quantity(name).metric.name for name in quantities)),
        ]

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

    def failures(self) -> pd.DataFrame:
        """Return what went wrong: one row per run, kind of error and status, with a count, a share and an example."""
        return aggregates.failures(self.members)

    @cached_property
    def verdicts(self) -> dict[str, Verdict | None]:
        """Whether each run's numbers are the server's: VALID, SUSPECT or CLIENT-BOUND; None where nothing is known."""
        return {run.label: verdict_of(run) for run in self.members}

    def _no_rates(self, by: Sequence[str]) -> str | None:
        if self.by_outcome:
            return aggregates.NO_RATE
        return None if columns.of_runs(self.members, by) else aggregates.NO_WINDOW

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

    def export(self, folder: str | Path, **options: Any) -> list[Path]:
        """Write charts, and the numbers behind each, into a folder; see ``perfkit.export.export`` for the options."""
        from perfkit.export import export

        return export(self, folder, **options)

    def report(self, path: str | Path = "report.html", **options: Any) -> Path:
        """Write one HTML file that needs nothing else; see ``perfkit.report.report`` for the options."""
        from perfkit.report import report

        return report(self, path, **options)

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


def _names(by: By) -> list[str]:
    return [by] if isinstance(by, str) else list(by)
