"""Runs: what ``pk.open`` returns and everything is asked of. Immutable; each method that narrows returns another."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from perfkit import aggregates, columns, decoding, frame, opening
from perfkit.checks import verdict_of
from perfkit.errors import UsageError, nearest
from perfkit.frame import Run
from perfkit.labels import distinct
from perfkit.opening import Place, Problem
from perfkit.records import Json
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
    return Runs(*opening.open_all(places))


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs that are looked at together. Nothing here changes a file."""

    _runs: tuple[Run, ...]
    problems: tuple[Problem, ...] = ()
    """Files that were found but could not be opened, each with the reason."""
    _by_outcome: bool = False
    """True after a filter on outcomes: what is left has no rate."""

    # Choosing ------------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> list[str]:
        """What the runs are called."""
        return [run.label for run in self._runs]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator["Runs"]:
        return (self._with([run]) for run in self._runs)

    def __getitem__(self, key: int | slice | str) -> "Runs":
        if isinstance(key, str):
            if key not in self.labels:
                raise KeyError(f"no run is called {key!r}{nearest(key, self.labels)}")
            key = self.labels.index(key)
        found = self._runs[key]
        return self._with(found if isinstance(found, tuple) else [found])

    def __add__(self, other: "Runs") -> "Runs":
        """Return both; rows of a file that only the other has are numbered anew, labels that collide are told apart."""
        if not isinstance(other, Runs):
            return NotImplemented
        both = (*self._runs, *_renumbered(other._runs, self._runs))
        labels = distinct([run.label for run in both], [run.settings for run in both])
        named = tuple(replace(run, label=label) for run, label in zip(both, labels, strict=True))
        return Runs(named, (*self.problems, *other.problems), self._by_outcome or other._by_outcome)

    def _with(self, runs: Iterable[Run]) -> "Runs":
        return replace(self, _runs=tuple(runs))

    def pick(self, *labels: str, **settings: Any) -> "Runs":
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
        named = [run for label in labels for run in self._runs if run.label == label or fnmatchcase(run.label, label)]
        candidates = list(dict.fromkeys(named)) if labels else list(self._runs)
        for name, wanted in settings.items():
            columns.check_setting(self._runs, name)
            candidates = [run for run in candidates if _matches(run.settings.get(name), wanted)]
        if not candidates:
            asked = ", ".join([*map(repr, labels), *(f"{name}={wanted!r}" for name, wanted in settings.items())])
            raise UsageError(f"no run matches {asked}; there are {', '.join(self.labels) or 'none'}")
        return self._with(candidates)

    def where(self, condition: "str | pd.Series[bool]") -> "Runs":
        """Return the runs with only the requests for which a condition holds.

        Parameters
        ----------
        condition : str or Series of bool
            ``"ttft > 231ms and finish_reason = 'stop'"`` (see ``perfkit.where``), or a mask on the index of
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
            kept, outcome = columns.filtered(self._runs, condition)
        else:
            if not pd.api.types.is_bool_dtype(condition):
                raise UsageError(f"a mask is a Series of bool on the index of requests, got {type(condition).__name__}")
            kept, outcome = columns.chosen(self._runs, condition.index[condition.to_numpy(dtype=bool)]), True
        return replace(self, _runs=kept, _by_outcome=self._by_outcome or outcome)

    def rename(self, *names: str, **renamed: str) -> "Runs":
        """Return the runs under other labels: all of them in order, or ``old="new"`` (``**{"old name": "new"}``).

        Raises
        ------
        UsageError
            The number of names is not that of the runs, a label is unknown, or two would be the same.
        """
        if names and len(names) != len(self):
            raise UsageError(f"rename got {len(names)} names for {len(self)} runs")
        for old in renamed:
            if old not in self.labels:
                raise UsageError(f"no run is called {old!r}{nearest(old, self.labels)}")
        labels = [renamed.get(label, label) for label in (names or self.labels)]
        if len(set(labels)) < len(labels):
            raise UsageError(f"labels must differ, got {', '.join(labels)}")
        return self._with(replace(run, label=label) for run, label in zip(self._runs, labels, strict=True))

    def tag(self, **tags: str) -> "Runs":
        """Return the runs with tags added: ``runs.tag(gpu="H100")``. The files stay as they are."""
        return self._with(replace(run, tags={**run.tags, **tags}) for run in self._runs)

    # Looking -------------------------------------------------------------------------------------------------------

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a request of the load, failed ones and all phases included, preflight and bodies left out.

        ``run``, ``run_id``, ``seq``, ``phase``, ``t`` (seconds since the run's first start), the stored columns,
        one column per metric, the run's settings and tags. Times in seconds. The index stays with a row whatever
        is filtered.
        """
        return columns.load(self._runs, columns.everything(self._runs))

    @property
    def steady(self) -> pd.DataFrame:
        """The rows of ``requests`` that summaries and charts rest on: those of the steady phase."""
        return self.requests[self.requests["phase"] == "steady"]

    @cached_property
    def preflight(self) -> pd.DataFrame:
        """The requests sent before the load to see that the server answers, with the columns of ``requests``."""
        return columns.load(self._runs, columns.everything(self._runs), "preflight")

    @cached_property
    def chunks(self) -> pd.DataFrame:
        """One row a chunk of an answer; see ``perfkit.frame.chunks`` for the columns."""
        return frame.chunks(self._runs)

    @property
    def table(self) -> pd.DataFrame:
        """One row a run: its settings, counts, verdict, and tags."""
        return frame.table(self._runs)

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
        return self.requests.join(decoding.decoded(self._runs, raw))

    def column(self, *names: str) -> pd.DataFrame:
        """Return only some columns of ``requests``, reading no others; for files too large to load whole."""
        return columns.load(self._runs, names)

    # Judging -------------------------------------------------------------------------------------------------------

    def summary(self, metrics: Iterable[str] | None = None, *, by: By = "run", unit: str | None = None) -> Summary:
        """Return counts, latencies, rates and verdicts as tables.

        Parameters
        ----------
        metrics : iterable of str, optional
            Names in ``METRICS``; by default those that a person looks at first, and the users' own.
        by : str or sequence of str
            Columns, settings or tags to group by.
        unit : str, optional
            Of durations in ``frame``, such as ``"ms"``; default seconds.

        Returns
        -------
        Summary
            ``frame``, ``rates``, ``verdicts``, ``notes``, ``to_dict()``.
        """
        by = _names(by)
        reason = self._no_rates(by)
        table = self.percentiles(metrics or metrics_shown(), by=by, unit=unit)
        notes = [*([reason] if reason else []), *(f"not opened: {problem.reason}" for problem in self.problems)]
        rates = aggregates.run_rates(self._runs, by, reason)
        return Summary(aggregates.head(self._runs), table, rates, self.verdicts, tuple(notes))

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
        metrics = [metrics] if isinstance(metrics, str) else metrics
        return aggregates.percentiles(self._runs, metrics, quantiles, _names(by), unit)

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
        return aggregates.goodput(self._runs, slo, _names(by), self._no_rates(_names(by)))

    def failures(self) -> pd.DataFrame:
        """Return what went wrong: one row per run, kind of error and status, with a count, a share and an example."""
        return aggregates.failures(self._runs)

    @cached_property
    def verdicts(self) -> dict[str, Verdict | None]:
        """Whether each run's numbers are the server's: VALID, SUSPECT or CLIENT-BOUND; None where nothing is known."""
        return {run.label: verdict_of(run) for run in self._runs}

    def _no_rates(self, by: Sequence[str]) -> str | None:
        if self._by_outcome:
            return aggregates.NO_RATE
        return None if columns.of_runs(self._runs, by) else aggregates.NO_WINDOW

    # Showing -------------------------------------------------------------------------------------------------------

    @property
    def plot(self) -> "Plots":
        """Charts of these runs: ``runs.plot.ecdf("ttft", by="model")``."""
        from perfkit.plots import Plots

        return Plots(lambda chart, metric: self.chunks if chart.needs == "chunks" else self.steady)

    def __repr__(self) -> str:
        return str(self.summary()) if self._runs else "no runs"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_() if self._runs else "no runs"


def _names(by: By) -> list[str]:
    return [by] if isinstance(by, str) else list(by)


def _matches(value: Json, wanted: Any) -> bool:
    if isinstance(wanted, (list, tuple, set, frozenset, range)):
        return any(_matches(value, each) for each in wanted)
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted or fnmatchcase(value, wanted)
    return bool(value == wanted)


def _renumbered(runs: Sequence[Run], taken: Sequence[Run]) -> list[Run]:
    """Return runs whose rows share no index with those taken: files (or runs twice looked at) move past them."""
    there = {run.source for run in taken}
    twice = {(run.source, run.run_id) for run in taken} & {(run.source, run.run_id) for run in runs}
    base = max((source.base + source.height + 1 for source in there), default=0)
    moved = {}
    for source in dict.fromkeys(run.source for run in runs):
        if source not in there or any(source is other for other, _ in twice):
            moved[source] = replace(source, base=base)
            base += source.height + 1
    return [replace(run, source=moved.get(run.source, run.source)) for run in runs]
