"""Runs: what ``pk.open`` returns and everything is asked of. Immutable; each method that narrows returns another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import pandas as pd

from perfkit.analysis import definitions
from perfkit.analysis.compare import QUANTITIES, Comparison, Gate, check_gate, compare, quantity, require
from perfkit.analysis.compare.gate import FAILURES, Unsure
from perfkit.analysis.compare.result import Test
from perfkit.analysis.compare.slow_requests import Cohorts, why_slow
from perfkit.analysis.compare.work import noted
from perfkit.analysis.query import columns, decoding, frame, server
from perfkit.analysis.query.annotations import said_of_removed
from perfkit.analysis.query.labels import distinct
from perfkit.analysis.query.opening import Problem
from perfkit.analysis.query.run import Run
from perfkit.analysis.query.server import Levels
from perfkit.analysis.results import aggregates, save, show
from perfkit.analysis.results.annotate import annotate
from perfkit.analysis.results.evidence import verdict_of
from perfkit.analysis.results.response_quality import answers
from perfkit.analysis.results.selection import identity, labelled, matching, numbered, rename, renumbered, with_requests
from perfkit.analysis.results.show import Shown
from perfkit.analysis.results.summarise import no_rates, summarise
from perfkit.analysis.results.summary import Summary
from perfkit.analysis.results.trend import Trend
from perfkit.analysis.results.warmup import Amount, trim
from perfkit.analysis.text_table import plain
from perfkit.errors import NotComparable, Slower, UsageError, nearest
from perfkit.options.objectives import Objectives
from perfkit.options.units import share
from perfkit.runfile.annotations import Annotation
from perfkit.validity.verdict import Verdict

if TYPE_CHECKING:
    from perfkit.analysis.plots import Plots

By = str | Sequence[str]


@dataclass(frozen=True, eq=False, repr=False)
class Runs:
    """Some runs that are looked at together, and of each the rows that are looked at.

    Nothing here changes a file, but ``annotate``.

    A container of runs: ``len``, ``for``, ``runs[0]``, ``runs["tp8"]``, ``runs["tp*"]``, ``runs[["tp2", "tp8"]]``,
    ``"tp8" in runs``, ``==``, ``a + b`` (both, told apart) and ``a | b`` (each run once).
    """

    members: tuple[Run, ...] = ()
    problems: tuple[Problem, ...] = ()
    """Files that were found but could not be opened, each with the reason."""
    by_outcome: bool = False
    """True after a filter on outcomes: what is left has no rate."""
    palette: tuple[str, ...] = ()
    """Labels in the order of their colours, those of runs no longer looked at included."""
    left_out: tuple[Run, ...] = ()
    """Runs of these files that someone has removed."""

    # Choosing ------------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> list[str]:
        """What the runs are called."""
        return [run.label for run in self.members]

    @property
    def removed(self) -> list[str]:
        """What those runs of these files are called that are left out as someone removed them; see ``annotate``."""
        return [run.label for run in self.left_out]

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Self]:
        return (self._with([run]) for run in self.members)

    def __getitem__(self, key: "int | slice | str | Iterable[int | str]") -> Self:
        """Return runs by number, label, pattern of labels (``"tp*"``), or a list of these."""
        found: Iterable[Run]
        if isinstance(key, str):
            found = self._called(key)
        elif isinstance(key, int):
            found = [numbered(self.members, key)]
        elif isinstance(key, slice):
            found = self.members[key]
        else:
            found = dict.fromkeys(run for each in key for run in self[each].members)
        return self._with(found)

    def _ipython_key_completions_(self) -> list[str]:
        return self.labels

    def _called(self, label: str) -> list[Run]:
        found = labelled(self.members, label)
        if not found:
            raise KeyError(f"no run is called {label!r}{nearest(label, self.labels)}{self._were_removed}")
        return found

    @property
    def _were_removed(self) -> str:
        return "".join(f"; {said}" for said in said_of_removed(self.removed))

    def __contains__(self, item: object) -> bool:
        """Tell whether a run has this label, or whether the same rows of all these runs are looked at here."""
        if isinstance(item, Runs):
            return {identity(run) for run in item.members} <= {identity(run) for run in self.members}
        return item in self.labels

    def __eq__(self, other: object) -> bool:
        """Tell whether both look at the same rows of the same runs, in the same order and under the same labels."""
        if not isinstance(other, Runs):
            return NotImplemented
        return self.labels == other.labels and [*map(identity, self.members)] == [*map(identity, other.members)]

    def __hash__(self) -> int:
        return hash(tuple(map(identity, self.members)))

    def __or__(self, other: Self) -> Self:
        """Return both, each run once: one of which the same rows are looked at in both is that of the left side."""
        if not isinstance(other, Runs):
            return NotImplemented
        here = {identity(run) for run in self.members}
        return self + other._with(run for run in other.members if identity(run) not in here)

    def __add__(self, other: Self) -> Self:
        """Return both; labels that collide are told apart, and rows of the other are numbered past these."""
        if not isinstance(other, Runs):
            return NotImplemented
        both = (*self.members, *renumbered(other.members, self.members))
        names = distinct([run.label for run in both], [run.settings for run in both])
        named = tuple(replace(run, label=name) for run, name in zip(both, names, strict=True))
        return replace(
            self,
            members=named,
            problems=(*self.problems, *other.problems),
            by_outcome=self.by_outcome or other.by_outcome,
            palette=tuple(dict.fromkeys([*self.palette, *other.palette, *names])),
            left_out=(*self.left_out, *(run for run in other.left_out if run not in self.left_out)),
        )

    def _with(self, runs: Iterable[Run]) -> Self:
        return replace(self, members=tuple(runs))

    def pick(self, *labels: str, **settings: Any) -> Self:
        """Return the runs that match.

        Parameters
        ----------
        *labels : str
            Labels, or patterns such as ``"tp*"``; a run that matches any of them is kept, in the order given.
        **settings : value, pattern or list of these
            What a setting or tag must be: ``model="qwen"``, ``parallel=[8, 32]``.

        Returns
        -------
        Runs
            At least one.

        Raises
        ------
        UsageError
            Nothing matches, or no run has such a setting.
        """
        candidates = matching(self.members, labels, settings)
        if not candidates:
            asked = ", ".join([*map(repr, labels), *(f"{name}={wanted!r}" for name, wanted in settings.items())])
            there = ", ".join(self.labels) or "none"
            raise UsageError(f"no run matches {asked}; there are {there}{self._were_removed}")
        return self._with(candidates)

    def where(self, condition: "str | pd.Series[bool]") -> Self:
        """Return the runs with only the requests for which a condition holds.

        Parameters
        ----------
        condition : str or Series of bool
            ``"ttft > 231ms and finish_reason = 'stop'"`` (see ``query.where``), or a mask on the index of
            ``requests``; rows that a mask does not name are dropped.

        Returns
        -------
        Runs
            Rows keep their index. After a filter on outcomes, rates are NaN.

        Raises
        ------
        UsageError
            The expression cannot be read, names what nothing has, or the mask is not of bools.
        """
        if isinstance(condition, str):
            kept, outcome = columns.filtered(self.members, condition)
        else:
            if not isinstance(condition, pd.Series) or not pd.api.types.is_bool_dtype(condition):
                raise UsageError("a mask is a Series of bool on the index of requests; a text is an expression")
            kept, outcome = columns.chosen(self.members, condition.index[condition.to_numpy(dtype=bool)]), True
        return replace(self, members=kept, by_outcome=self.by_outcome or outcome)

    def trim(self, warmup: Amount = None, cooldown: Amount = None) -> Self:
        """Choose anew which requests are steady; the phases that were stored with them no longer count.

        Latencies are those of the requests that start in the steady state; rates count what happens in it, requests
        that were in flight at a cut included.

        Parameters
        ----------
        warmup : int, float, str or None
            What to leave out at the start: a count of requests, a share of them (``0.1``, ``"10%"``), a time such as
            ``"10s"``, or ``"auto"`` (see ``perfkit.analysis.results.warmup.warmup_length``).
        cooldown : int, float, str or None
            What to leave out at the end: likewise, a time counting back from the last answer's end.

        Returns
        -------
        Runs
            ``trim()`` takes the whole load as steady.

        Raises
        ------
        UsageError
            An amount cannot be read, or leaves nothing.
        """
        return self._with(trim(self.members, warmup, cooldown))

    def annotate(
        self,
        *labels: str,
        name: str | None = None,
        tags: Mapping[str, str | None] | None = None,
        note: str | None = None,
        removed: bool | None = None,
    ) -> Self:
        """Write about runs, so that it lasts: whoever opens these files again finds the names, tags and notes.

        It is kept in the run file itself, even while a run is being measured into it; of another tool's file in one
        beside it, ``results.json.perfkit.json``. What is not given stays as it was.

        Parameters
        ----------
        *labels : str
            Which runs: labels, or patterns such as ``"tp*"``; default: all of these.
        name : str, optional
            What they are called; several may share a name, as the points of a sweep do.
        tags : mapping of str to str, optional
            Labels for grouping, added to those there are; None takes one away: ``{"gpu": "A100", "old": None}``.
        note : str, optional
            Free text; ``""`` takes it away.
        removed : bool, optional
            True leaves them out from now on, and says so; no row is deleted. False brings back some of ``removed``.

        Returns
        -------
        Runs
            These, as they are when the files are opened again.

        Raises
        ------
        UsageError
            No run has such a label or a file, a text is too long, or nothing is given.
        StorageError
            A file is read-only or busy; nothing was written to it.

        Examples
        --------
        >>> import tempfile
        >>> import perfkit as pk
        >>> frame = pd.DataFrame({"which": ["baseline", "old"], "ttft": [0.1, 0.2], "e2e": [1.0, 2.0]})
        >>> path = pk.from_frame(frame, run="which").save(f"{tempfile.mkdtemp()}/runs.db")
        >>> runs = pk.open(path)
        >>> _ = runs["baseline"].annotate(name="A100", tags={"gpu": "A100"}, note="after the driver update")
        >>> _ = runs["old"].annotate(removed=True)
        >>> runs = pk.open(path)
        >>> runs.table[["gpu", "note"]].to_dict("index"), runs.removed
        ({'A100': {'gpu': 'A100', 'note': 'after the driver update'}}, ['old'])
        >>> runs.annotate("old", removed=False).labels
        ['A100', 'old']
        """
        members, left_out, called = annotate(
            self.members, self.left_out, labels, Annotation(name, tags or {}, note, removed)
        )
        palette = dict.fromkeys(
            [*(called.get(label, label) for label in self.palette), *(run.label for run in members)]
        )
        return replace(self, members=members, palette=tuple(palette), left_out=left_out)

    def rename(self, *names: str, **renamed: str) -> Self:
        """Return the runs under other names: all of them in order, or ``old="new"`` (``**{"old name": "new"}``).

        A run's new name is its label, and what tables, comparisons and all charts call it. A name that several runs
        share, as the points of a sweep do, is replaced in the labels of all of them.

        Raises
        ------
        UsageError
            The number of names is not that of the runs, a name is unknown, or two labels would be the same.

        Examples
        --------
        >>> runs.labels  # doctest: +SKIP
        ['tp2 parallel=1', 'tp2 parallel=8']
        >>> runs.rename(tp2="two GPUs").labels  # doctest: +SKIP
        ['two GPUs parallel=1', 'two GPUs parallel=8']
        """
        named = rename(self.members, names, renamed)
        labels = [run.label for run in named]
        new = dict(zip(self.labels, labels, strict=True))
        palette = dict.fromkeys(new.get(label, label) for label in self.palette)
        return replace(self, members=tuple(named), palette=tuple(palette))

    def tag(self, **tags: str) -> Self:
        """Return the runs with tags added: ``runs.tag(gpu="H100")``. The files stay as they are; see ``annotate``."""
        return self._with(replace(run, tags={**run.tags, **tags}) for run in self.members)

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
        """One row a chunk of an answer; see ``perfkit.analysis.query.frame.chunks`` for the columns."""
        return frame.chunks(self.members)

    @cached_property
    def server(self) -> pd.DataFrame:
        """One row for each look at each page that servers published during the runs (``scrape``).

        ``run``, ``page`` (URL), ``time`` (Unix seconds), ``t`` (seconds since the run's first start), ``up`` (False:
        the page could not be read), and by common names, NaN where the page does not tell: ``running`` and
        ``waiting`` (requests), ``kv_cache_use`` and ``prefix_cache_hits`` (shares, 0 to 1), ``preemptions`` (1/s),
        ``power`` (W), ``utilisation`` (share), ``memory`` (bytes). docs/server.md names what each is made of.
        """
        return server.table(self.members)

    @cached_property
    def published(self) -> dict[str, Levels | None]:
        """What the servers of each run published over time, all its pages together; None where nothing was read."""
        return {run.label: server.levels(run) for run in self.members}

    @property
    def summarized(self) -> list[str]:
        """What those runs are called that are known by a tool's summary alone, without single requests."""
        return [run.label for run in self.members if run.is_summary]

    @property
    def figures(self) -> pd.DataFrame:
        """What summaries say of the runs that are known by them alone: one row a number.

        ``run``, ``quantity`` (``"ttft_p50"``, ``"output_throughput"``), ``value`` in seconds and tokens, ``n``
        (requests), ``basis``: whose definition it is, such as ``"summary:vllm"``; see ``docs/definitions.md``.
        """
        return aggregates.figures(self.members)

    def with_summaries(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows of requests with one more for each run that is known by a summary, which has its ``figures``."""
        return frame.with_summaries(rows, self.members)

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
        slo: Objectives | None = None,
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
        slo : str, several, or mapping of metric to bound, optional
            Objectives such as ``"ttft < 200ms"`` or ``{"ttft": "200ms"}``: the rates gain the ``goodput`` within them.

        Returns
        -------
        Summary
            ``frame``, ``rates``, ``verdicts``, ``notes``, ``to_dict()``.

        Raises
        ------
        UsageError
            There is no such metric or definition.
        """
        return summarise(self, _names(by), metrics, unit, definition, slo)

    def lens(self, metric: str) -> definitions.Lens:
        """Show a metric under every tool's definitions, with the cause of each difference.

        Parameters
        ----------
        metric : {"ttft", "ttfat", "itl", "tpot", "e2e"}
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
        tables = {run.label: definitions.lens(run, metric) for run in with_requests(self, "lens")}
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
            Index: the groups and ``metric``; columns ``unit``, ``n``, ``effective`` (how many independent requests say
            as much), ``mean``, ``p50``, ..., and ``marks``: which of these numbers are not to be relied on, and why,
            such as ``"too few: p95, p99"``; see ``docs/definitions.md``. ``pooled`` names the loads that stand together
            in a group: add parallel or rate to ``by`` to part them. Steady requests that succeeded.
        """
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        rows = aggregates.rows_for(self.members, _names(by), names)
        return aggregates.percentiles(rows, names, quantiles, _names(by), unit, intervals=intervals)

    def goodput(self, slo: Objectives, *, by: By = "run") -> "pd.Series[float]":
        """Return successful requests per second that meet every objective.

        Parameters
        ----------
        slo : str, several, or mapping of metric to bound
            ``["ttft < 200ms", "tpot < 50ms"]`` or ``{"ttft": "200ms", "tpot": 0.05}``.
        by : str or sequence of str
            Settings or tags to group by.

        Returns
        -------
        Series of float, requests/s
            NaN after a filter on outcomes.
        """
        members = with_requests(self, "goodput") if self.members else ()
        return aggregates.goodput(members, slo, _names(by), no_rates(self, _names(by)))

    def pareto(
        self,
        x: str = "interactivity",
        y: str | None = None,
        *,
        by: str | None = "run",
        slo: Any = None,
        dominated: bool = False,
    ) -> pd.DataFrame:
        """Return the loads of each deployment that no other of its loads beats, as ``plot.pareto`` draws them.

        Parameters
        ----------
        x, y : str
            Rates, or statistics of metrics, of which more or less is better; default of y: ``"throughput_per_gpu"``,
            and where no run has the tag ``gpus`` ``"output_throughput"``.
        by : str or None
            What tells deployments apart; None: all loads are one deployment's.
        slo : str, several, or mapping of quantity to bound, optional
            Objectives that a load must meet: ``{"interactivity": 30, "p95 ttft": "500ms"}``.
        dominated : bool
            Whether to return the others, too.

        Returns
        -------
        DataFrame
            A row per load: ``group``, ``run``, ``load``, ``requests``, ``failed``, ``x`` and ``y`` with the ends of
            their 95 % intervals (in seconds where they are durations), ``mark``, ``misses``, ``dominated_by``,
            ``frontier``. What is not known is NaN.

        Raises
        ------
        UsageError
            A quantity is not known, or an objective cannot be read.

        Examples
        --------
        >>> runs.tag(gpus="8").pareto(by="deployment")  # doctest: +SKIP
        """
        from perfkit.analysis.plots.accessor import numbers

        points = numbers(self, "pareto", by=by, x=x, y=y, slo=slo)
        return points if dominated else points[points["frontier"]].reset_index(drop=True)

    def trend(
        self, quantity: str = "ttft", *, over: str = "night", by: str | None = "run", percentile: float = 95
    ) -> Trend:
        """Follow a quantity over nights or commits, and say where it changed, or that no change is shown.

        Parameters
        ----------
        quantity : str
            A metric, of which the percentile is taken; a statistic such as ``"mean tpot"``; or a rate.
        over : str
            ``"night"``: the day (UTC) on which a run started; or a tag or setting such as ``"commit"``.
        by : str or None
            What tells series apart, beside the load.
        percentile : float
            0 to 100, of a metric.

        Returns
        -------
        Trend
            ``sentences``, ``changes``, ``plot()``, and ``table``: a row per series and point with ``group``,
            ``point``, ``started``, ``runs``, ``requests``, ``value``, ``low``, ``high`` (in seconds where it is a
            duration), ``mark``, ``level``, ``change`` (the ratio to the level before), ``change_low``,
            ``change_high``, ``p``. The rule is in ``perfkit.analysis.stats.changes``.

        Raises
        ------
        UsageError
            No run is dated or has such a tag, or there is no such quantity.

        Examples
        --------
        >>> runs.trend("p95 ttft", over="commit", by="gpu")  # doctest: +SKIP
        """
        from perfkit.analysis.plots.accessor import numbers
        from perfkit.analysis.plots.trend import wanted_of

        options = {"over": over, "by": by, "percentile": percentile}
        table = numbers(self, "trend", quantity, **options)
        return Trend(wanted_of(quantity, percentile), over, table, lambda: self.plot.trend(quantity, **options))

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
        return why_slow(with_requests(self, "why_slow"), question)

    def answers(self) -> pd.DataFrame:
        """Describe what came back in each run, so that "fast because it says less" is seen.

        Returns
        -------
        DataFrame
            Shares of answers that were truncated, empty, looping or identical, and their length against the least
            loaded run; see ``perfkit.analysis.results.response_quality``.
        """
        return answers(with_requests(self, "answers"))

    @cached_property
    def verdicts(self) -> dict[str, Verdict | None]:
        """Whether each run's numbers are the server's: VALID, SUSPECT or CLIENT-BOUND; None where nothing is known."""
        return {run.label: verdict_of(run) for run in self.members}

    # Comparing -----------------------------------------------------------------------------------------------------

    def compare(
        self,
        baseline: "str | Runs",
        *,
        by: str = "run",
        match: Sequence[str] | None = None,
        quantities: Iterable[str] = QUANTITIES,
        test: Test = "interval",
        noise: str | float | None = None,
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
        quantities : str, or iterable of str
            ``"p95 ttft"``, ``"ttft_p95"``, ``"tpot_mean"``, ``"output_throughput"``, ...
        test : {"interval", "permutation"}
            What p rests on: Student's t, as the interval does, or how many exchanges of runs between the sides set
            them as far apart (three runs a side cannot fall below 0.1, four can reach 0.03).
        noise : str or float, optional
            By how much runs of one setting differ, as a standard deviation: ``"4%"``. It decides where a side has fewer
            than three runs; without it, repeats of any setting in these files do, else nothing is claimed.

        Returns
        -------
        Comparison
            ``conclusion`` (is it faster?), ``table`` (a ratio with a 95 % interval per row), ``sentences``, ``plot()``;
            prints itself. The run is the unit: with two runs a side or more, Welch's t on the logarithms of their
            numbers, or Student's on the ratios of rounds. With one run on a side a ratio is shown and no difference
            claimed. A difference is called clear when p, corrected by Holm's method for all quantities and loads at
            which a group is compared, is below 0.05.

        Raises
        ------
        UsageError
            No run is the baseline, none has its load, or a quantity is unknown.
        """
        quantities = [quantities] if isinstance(quantities, str) else list(quantities)
        if isinstance(baseline, Runs):
            apart = baseline.tag(side="baseline") + self.tag(side="these")
            return apart.compare("baseline", by="side", match=match, quantities=quantities, test=test, noise=noise)
        assumed = None if noise is None else share("noise", noise)
        found = compare(self.members, baseline, by, match, quantities, test, assumed)
        levels = {run: verdict.level if verdict else None for run, verdict in self.verdicts.items()}
        return replace(found, notes=tuple(self._doubts(quantities)), levels=levels)

    def _doubts(self, quantities: Iterable[str]) -> list[str]:
        """Say what speaks against trusting numbers of these runs side by side."""
        doubted = [(run, verdict) for run, verdict in self.verdicts.items() if verdict and verdict.checks]
        metrics = dict.fromkeys(quantity(name).metric.name for name in quantities)
        said = [f"{run} is {verdict.level}: {verdict.reasons[0]}" for run, verdict in doubted]
        bases = columns.mixed_bases(self.members, metrics)
        return [*said, *bases, *noted(self.members), *said_of_removed(self.removed)]

    def assert_not_slower(
        self,
        baseline: "str | Runs",
        *,
        by: str = "run",
        match: Sequence[str] | None = None,
        noise: str | float | None = None,
        unsure: Unsure | None = None,
        **tolerances: str | float,
    ) -> Gate:
        """Raise unless these runs are as fast as a baseline, within tolerances; for continuous integration.

        Parameters
        ----------
        baseline, by, match, noise
            As for ``compare``.
        unsure : {"pass", "fail"}, optional
            What an undecided gate counts as; default: neither.
        **tolerances : str or float
            ``ttft_p95="5%"``, ``output_throughput=0.05``; and ``failures="1%"``, by how much larger a share of the
            requests may fail on one side.

        Returns
        -------
        Gate
            What it rests on.

        Raises
        ------
        Slower
            (an AssertionError) A quantity is clearly worse than allowed, more requests failed than allowed, or the
            sides cannot be compared: CLIENT-BOUND, other loads, other work.
        Undecided
            (an AssertionError) Too little was measured to tell: fewer than three runs a side and no ``noise``, or an
            interval that holds the tolerance.
        """
        names = [name for name in tolerances if name != FAILURES]
        try:
            comparison = self.compare(baseline, by=by, match=match, quantities=names, noise=noise)
        except NotComparable as error:
            raise Slower(f"gate failed: the loads or the work differ; {error}") from None
        return require(check_gate(comparison, tolerances), unsure)

    # Showing and keeping -------------------------------------------------------------------------------------------

    @property
    def plot(self) -> "Plots":
        """Charts of these runs: ``runs.plot.ecdf("ttft", by="model")``."""
        from perfkit.analysis.plots import Plots

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
        return show.show(with_requests(self, "show"), which, count, metric)

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
        """Write charts, and the numbers behind each, into a folder; see ``report.export.export`` for the options."""
        from perfkit.analysis.report.export import export

        return export(self, folder, charts, size=size, formats=formats, width=width, grey=grey, by=by)

    def report(
        self,
        path: str | Path = "report.html",
        *,
        title: str | None = None,
        charts: Iterable[str] | None = None,
        by: str | None = None,
        baseline: str | None = None,
        format: Literal["html", "md"] | None = None,
    ) -> Path:
        """Write one HTML file that needs nothing else, or Markdown for a pull request: ``report.md``.

        See ``report.report.report`` for the options.
        """
        from perfkit.analysis.report.report import report

        return report(self, path, title=title, charts=charts, by=by, baseline=baseline, format=format)

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
        return save.save(self.members, path, body=body)

    def __repr__(self) -> str:
        return str(self.summary()) if self.members else f"no runs{self._were_removed}"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_() if self.members else escape(plain(f"no runs{self._were_removed}"))


def _names(by: By) -> list[str]:
    return [by] if isinstance(by, str) else list(by)
