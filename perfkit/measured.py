"""The numbers of a selection: its requests as frames, their summary, percentiles, failures and verdicts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from perfkit import aggregates, columns, decoding, definitions, frame
from perfkit.answers import answers
from perfkit.checks import verdict_of
from perfkit.cohorts import Cohorts, why_slow
from perfkit.metrics import RATES
from perfkit.selection import Selection
from perfkit.summary import Summary, metrics_shown
from perfkit.verdict import Verdict

By = str | Sequence[str]


@dataclass(frozen=True, eq=False, repr=False)
class Measured(Selection):
    """A selection that answers with numbers."""

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
        decoded = decoding.decoded(self.members, raw)
        # A run that was given --prompt has a setting of that name, too; the request's own text is what is asked for.
        return self.requests.drop(columns=decoded.columns, errors="ignore").join(decoded)

    def column(self, *names: str) -> pd.DataFrame:
        """Return only some columns of ``requests``, reading no others; for files too large to load whole."""
        return columns.load(self.members, names)

    def batches(self, *names: str) -> Iterator[pd.DataFrame]:
        """Yield columns of ``requests`` some 20,000 rows at a time, for files larger than memory.

        Parameters
        ----------
        *names : str
            Columns, metrics, settings or tags.

        Yields
        ------
        DataFrame
            With the index of ``requests``.
        """
        yield from columns.batches(self.members, names)

    # Judging -------------------------------------------------------------------------------------------------------

    def summary(
        self,
        metrics: Iterable[str] | None = None,
        *,
        by: By = "run",
        unit: str | None = None,
        definition: str | None = None,
        slo: Mapping[str, float | str] | None = None,
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
        slo : mapping of metric to bound, optional
            Objectives such as ``{"ttft": "200ms"}``: the rates gain the ``goodput`` within them.

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
        whose = () if definition else (columns.mixed_bases, columns.stored_bases)
        bases = [sentence for say in whose for sentence in say(self.members, metrics)]
        unread = [f"not opened: {problem.reason}" for problem in self.problems]
        unfinished = [
            f"{run.label} is {status}"
            if status == "running"
            else f"{run.label} {run.record.get('problem') or f'was {status}: rates count what was sent'}"
            for run in self.members
            if (status := run.record.get("status")) in ("running", "interrupted")
        ]
        rates = aggregates.run_rates(rows, by, reason)
        if slo:
            rates["goodput"] = self.goodput(slo, by=by).to_numpy()
        summary = Summary(
            aggregates.head(self.members),
            aggregates.percentiles(rows, metrics, aggregates.QUANTILES, by, unit),
            rates,
            self.verdicts,
            (
                *aggregates.nothing_left(self.members),
                *([reason] if reason else []),
                *unfinished,
                *bases,
                *unread,
            ),
        )
        return self._defined(summary, definition, unit) if definition else summary

    def _defined(self, summary: Summary, definition: str, unit: str | None) -> Summary:
        """Replace the latencies by those of another tool's definition."""
        frame, reasons = definitions.summarised(self.members, definition, aggregates.QUANTILES, unit)
        return replace(
            summary, frame=frame, notes=(*summary.notes, f"latencies as {definition} defines them", *reasons)
        )

    def lens(self, metric: str) -> definitions.Lens:
        """Show a metric under every tool's definitions, with the cause of each difference.

        Parameters
        ----------
        metric : {"ttft", "itl", "tpot", "e2e"}
            What to look at.

        Returns
        -------
        Lens
            Prints itself; ``table`` is a DataFrame: index ``run`` and ``definition``; ``mean``, ``p50``, ``p95``,
            ``p99`` in seconds, ``n``, ``changed`` (requests whose value is not perfkit's; NaN where either has none),
            ``cause``, ``checked`` (what the formulas were compared with).

        Raises
        ------
        UsageError
            No definition has that metric.
        """
        tables = {run.label: definitions.lens(run, metric) for run in self.members}
        return definitions.Lens(metric, pd.concat(tables, names=["run"]))

    def percentiles(
        self,
        metrics: str | Iterable[str] = ("ttft", "itl", "tpot", "e2e"),
        quantiles: Iterable[float] = aggregates.QUANTILES,
        *,
        by: By = "run",
        unit: str | None = None,
        intervals: bool = False,
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
        intervals : bool
            Add the ends of 95 % intervals: ``mean_low``, ``mean_high``, ``p50_low``, ... NaN where there are too few.

        Returns
        -------
        DataFrame
            Index: the groups and ``metric``; columns ``unit``, ``n``, ``mean``, ``p50``, ... Steady requests that
            succeeded.
        """
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        rows = aggregates.rows_for(self.members, _names(by), names)
        return aggregates.percentiles(rows, names, quantiles, _names(by), unit, intervals=intervals)

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

    def failures(self) -> pd.DataFrame:
        """Return what went wrong: one row per run, kind of error and status, with a count, a share and an example."""
        return aggregates.failures(self.members)

    def why_slow(self, question: str = "ttft > p95") -> Cohorts:
        """Rank what tells slow requests from the others: prompt, second of the run, connection, worker, ...

        Parameters
        ----------
        question : str
            A metric beyond one of its percentiles: ``"ttft > p95"``, ``"decode_rate < p5"``.

        Returns
        -------
        Cohorts
            ``table``, ranked by effect (-1 to 1 for numbers: the chance that a slow request's is larger minus that
            it is smaller; 0 to 1 for kinds: Cramér's V), and ``sentences``. An association is no cause.

        Raises
        ------
        UsageError
            The question cannot be read, or too few requests lie on one side.
        """
        return why_slow(self.members, question)

    def answers(self) -> pd.DataFrame:
        """Describe what came back in each run, so that "fast because it says less" is seen.

        Returns
        -------
        DataFrame
            Shares of answers that were truncated, empty, looping or identical, and their length against the least
            loaded run; see ``perfkit.answers``.
        """
        return answers(self.members)

    @cached_property
    def verdicts(self) -> dict[str, Verdict | None]:
        """Whether each run's numbers are the server's: VALID, SUSPECT or CLIENT-BOUND; None where nothing is known."""
        return {run.label: verdict_of(run) for run in self.members}

    def _no_rates(self, by: Sequence[str]) -> str | None:
        if self.by_outcome:
            return aggregates.NO_RATE
        return None if columns.of_runs(self.members, by) else aggregates.NO_WINDOW


def _names(by: By) -> list[str]:
    return [by] if isinstance(by, str) else list(by)
