"""What servers published while runs were under way: as it is stored, and by common names.

Stored are the values that changed; here each look at a page has every value that stood on it then.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from perfkit.analysis.query.server_names import QUANTITIES, TTFT, Published, Quantity
from perfkit.analysis.stats.distribution import Floats
from perfkit.runfile.published import UP, ServerSample
from perfkit.runfile.record import as_object
from perfkit.runfile.safe_file import stored_columns
from perfkit.runfile.schema import SERVER_SAMPLE, SERVER_SERIES

if TYPE_CHECKING:
    from perfkit.analysis.query.run import Run, Source

STALE = 2.5
"""Seconds after a look from which nothing is known: two looks have failed, or there was none."""

_TABLES = {"server_series": SERVER_SERIES, "server_sample": SERVER_SAMPLE}
_ROWS = """
    SELECT series, page, name, labels, kind, time, CASE WHEN typeof(value) IN ('real', 'integer') THEN value END
    FROM server_series JOIN server_sample USING (series)
    WHERE run_id = ? AND typeof(time) = 'real' {} ORDER BY time, server_sample.rowid"""


def has_tables(source: "Source") -> bool:
    """Tell whether a file has the tables: those of an earlier perfkit have not."""
    names = {table: {column.name for column in columns} for table, columns in _TABLES.items()}
    return all(set(stored_columns(source.connection, table, known)) == known for table, known in names.items())


def has_any(run: "Run") -> bool:
    """Tell whether anything was read of a run's servers."""
    query = "SELECT 1 FROM server_series WHERE run_id = ? LIMIT 1"
    return has_tables(run.source) and run.source.connection.execute(query, [run.run_id]).fetchone() is not None


def stored_samples(run: "Run") -> Iterator[list[ServerSample]]:
    """Yield all that is stored of a run, in order of time, a batch at a time."""
    if not has_tables(run.source):
        return
    for rows in run.source.batches(_ROWS.format(""), [run.run_id]):
        yield [
            ServerSample(run.run_id, page, name, tuple(_labels(labels).items()), kind, time, value)
            for _, page, name, labels, kind, time, value in rows
        ]


@dataclass(frozen=True)
class Line:
    """One series: the values it changed to, and when."""

    labels: Mapping[str, str]
    times: Floats
    values: Floats

    def at(self, times: Floats) -> Floats:
        """Return its value at each of some times; NaN before its first."""
        index = np.searchsorted(self.times, times, "right") - 1
        return np.where(index >= 0, self.values[index], np.nan)


@dataclass(frozen=True)
class Page:
    """What one page told during a run."""

    url: str
    looks: Floats
    """Unix seconds at which it was asked for."""
    is_up: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
    """Whether it answered."""
    lines: Mapping[str, Sequence[Line]]
    """Its series by name."""

    @cached_property
    def times(self) -> Floats:
        """Unix seconds of the looks that it answered."""
        return self.looks[self.is_up]

    def chosen(self, one: Published) -> list[Line]:
        """Return the series of a published name."""
        lines = self.lines.get(one.name, ())
        return [line for line in lines if one.where is None or line.labels.get(one.where[0]) == one.where[1]]

    def has(self, one: Published) -> bool:
        """Tell whether it has a published name."""
        return bool(self.chosen(one)) and all(name in self.lines for name in one.of)

    def of(self, quantity: Quantity, one: Published) -> Floats:
        """Return a quantity at each of the times."""
        lines = self.chosen(one)
        if one.of:
            return _share(self._growth(lines), self._growth([line for name in one.of for line in self.lines[name]]))
        if quantity.is_rate:
            took = np.diff(self.times, prepend=np.nan)
            return self._growth(lines) / np.where(took > 0, took, np.nan)
        values = _together([line.at(self.times) for line in lines], quantity.together) * one.scale
        # Shares below 0 are how some say that they do not know yet.
        return np.where(values < 0, np.nan, values) if quantity.unit == "share" else values

    def _growth(self, lines: Sequence[Line]) -> Floats:
        """Return by how much counters have grown since the look before; NaN where one has begun anew."""
        grown = [np.diff(line.at(self.times), prepend=np.nan) for line in lines]
        return _together([np.where(each < 0, np.nan, each) for each in grown], "sum")


def pages(run: "Run", names: Iterable[str]) -> list[Page]:
    """Return the pages that were read during a run, with the series of some names."""
    if not has_tables(run.source):
        return []
    wanted = sorted({UP, *names})
    holes = f"AND name IN ({', '.join('?' * len(wanted))})"
    found: dict[tuple[str, str, str, int], list[tuple[float, float]]] = {}
    for rows in run.source.batches(_ROWS.format(holes), [run.run_id, *wanted]):
        for series, page, name, labels, _, time, value in rows:
            found.setdefault((str(page), str(name), str(labels), series), []).append((time, _number(value)))
    return [_page(url, {key: rows for key, rows in found.items() if key[0] == url}) for url in _urls(found)]


def _urls(found: Iterable[tuple[str, str, str, int]]) -> list[str]:
    return list(dict.fromkeys(url for url, name, _, _ in found if name == UP))


def _page(url: str, found: Mapping[tuple[str, str, str, int], list[tuple[float, float]]]) -> Page:
    lines: dict[str, list[Line]] = {}
    for (_, name, labels, _), rows in found.items():
        times, values = np.array(rows, dtype=float).T
        lines.setdefault(name, []).append(Line(_labels(labels), times, values))
    up = lines.pop(UP)[0]
    return Page(url, up.times, up.values == 1, lines)


def table(runs: "Sequence[Run]") -> pd.DataFrame:
    """Return a row for each look at each page, with what it told by its common names; see ``Runs.server``."""
    names = {name for quantity in QUANTITIES.values() for one in quantity.names for name in (one.name, *one.of)}
    frames = [_frame(run, page) for run in runs for page in pages(run, names)]
    if frames:
        return pd.concat(frames, ignore_index=True)
    return pd.DataFrame(columns=["run", "page", "time", "t", "up", *QUANTITIES])


def _frame(run: "Run", page: Page) -> pd.DataFrame:
    frame = pd.DataFrame({"run": run.label, "page": page.url, "time": page.looks, "t": page.looks - run.origin})
    frame["up"] = page.is_up
    for name, quantity in QUANTITIES.items():
        values = np.full(page.looks.size, np.nan)
        one = next(filter(page.has, quantity.names), None)
        if one is not None:
            values[page.is_up] = page.of(quantity, one)
        frame[name] = values
    return frame


def missed(runs: "Sequence[Run]") -> list[str]:
    """Say which looks at pages were in vain, and of which runs nothing is there that was asked for."""
    said = []
    for run in runs:
        every = pages(run, ())
        if not every and run.arguments.get("scrape"):
            said.append(f"{run.label}: nothing is stored of what its server published, though scrape asked for it")
        for page in every:
            failed = int((~page.is_up).sum())
            many = f"{failed:,} of {page.looks.size:,} looks" if failed < page.looks.size else "every look"
            said += (
                [f"{run.label}: {many} at {page.url} failed, and what it published then is not known"] if failed else []
            )
    return said


def over_all_pages(run: "Run", name: str) -> tuple[Floats, Floats]:
    """Return the times and values of a quantity: several replicas' or GPUs' pages together.

    The pages that have the first of its names count. A page's value holds until its next look, at most ``STALE``.
    """
    quantity = QUANTITIES[name]
    every = pages(run, [each for one in quantity.names for each in (one.name, *one.of)])
    one = next((one for one in quantity.names if any(page.has(one) for page in every)), None)
    told = [(page.looks, _with_gaps(page, page.of(quantity, one))) for page in every if one and page.has(one)]
    if not told:
        return np.empty(0), np.empty(0)
    times = np.unique(np.concatenate([looks for looks, _ in told]))
    values = [known_at(looks, values, times) for looks, values in told]
    if quantity.together == "sum":
        return times, np.sum(values, axis=0)  # of all pages, or unknown: a page that fell silent is not nothing
    return times, _together(values, quantity.together)


def columns_told(series: Iterable[tuple[str, Mapping[str, str]]]) -> list[str]:
    """Return which columns of ``runs.server`` a page tells, given the names and labels on it.

    Examples
    --------
    >>> columns_told([("tgi_queue_size", {}), ("nv_trt_llm_request_metrics", {"request_type": "max"})])
    ['waiting']
    """
    lines: dict[str, list[Line]] = {}
    for name, labels in series:
        lines.setdefault(name, []).append(Line(labels, np.zeros(1), np.zeros(1)))
    page = Page("", np.zeros(1), np.ones(1, dtype=bool), lines)
    return [name for name, quantity in QUANTITIES.items() if any(map(page.has, quantity.names))]


@dataclass(frozen=True, eq=False)
class Levels:
    """What the servers of a run published over time, all pages together.

    Parameters
    ----------
    t : array of float, seconds since the run's first start
    values : mapping of str to array of float
        By the columns of ``runs.server``; NaN where nothing is known.
    """

    t: Floats
    values: Mapping[str, Floats]

    def of(self, quantity: str) -> Floats:
        """Return a quantity at each time; NaN where no page tells it."""
        return self.values.get(quantity, np.full(self.t.size, np.nan))

    def mean(self, quantity: str, low: float, high: float) -> float:
        """Return the mean over a time, each look's value counted until the next one; NaN where nothing is known.

        Examples
        --------
        >>> Levels(np.array([0.0, 1.0, 3.0]), {"power": np.array([100.0, 400.0, 0.0])}).mean("power", 0.5, 2.5)
        325.0
        """
        inside = self.between(low, high)
        values, lasted = inside.of(quantity), np.diff(inside.t, append=high)
        known = np.isfinite(values) & (lasted > 0)
        return float(np.average(values[known], weights=lasted[known])) if known.any() else float("nan")

    def between(self, low: float, high: float) -> "Levels":
        """Return those between two times; what was known before the first of them stands at it."""
        first = max(int(np.searchsorted(self.t, low, "right")) - 1, 0)
        inside = slice(first, int(np.searchsorted(self.t, high, "right")))
        return Levels(np.maximum(self.t[inside], low), {name: each[inside] for name, each in self.values.items()})


def levels(run: "Run") -> Levels | None:
    """Return what the servers of a run published; None where nothing was read."""
    if not has_any(run):
        return None
    told = {name: over_all_pages(run, name) for name in QUANTITIES}
    times = np.unique(np.concatenate([looks for looks, _ in told.values()]))
    known = {name: known_at(looks, values, times) for name, (looks, values) in told.items() if looks.size}
    return Levels(times - run.origin, known) if times.size else None


def _with_gaps(page: Page, values: Floats) -> Floats:
    every = np.full(page.looks.size, np.nan)
    every[page.is_up] = values
    return every


def known_at(looks: Floats, values: Floats, times: Floats) -> Floats:
    """Return what was known at some times from the last look before each.

    Examples
    --------
    >>> known_at(np.array([0.0, 1.0]), np.array([3.0, 5.0]), np.array([-1.0, 0.5, 1.0, 3.4, 3.6])).tolist()
    [nan, 3.0, 5.0, 5.0, nan]
    """
    index = np.searchsorted(looks, times, "right") - 1
    known = (index >= 0) & (times - looks[index] <= STALE)
    return np.where(known, values[index], np.nan)


def at_start(run: "Run", name: str) -> Callable[[float | None], float | None] | None:
    """Return a function of a time, Unix seconds, that says what a quantity was then; None if nothing tells it."""
    times, values = over_all_pages(run, name)
    if not np.isfinite(values).any():
        return None
    looks, told = times.tolist(), values.tolist()

    def at(time: float | None) -> float | None:
        if not isinstance(time, (int, float)):
            return None
        index = bisect_right(looks, time) - 1
        if index < 0 or time - looks[index] > STALE or told[index] != told[index]:
            return None
        return float(told[index])

    return at


@dataclass(frozen=True)
class Distribution:
    """What a histogram counted between two looks."""

    name: str
    begin: float
    end: float
    """Unix seconds of these looks."""
    count: float
    mean: float
    edges: Floats
    """Upper ends of the buckets, ascending; the last one is infinite."""
    cumulative: Floats
    """How many values lie at or below each."""

    def bucket(self, percent: float) -> tuple[float, float]:
        """Return the ends of the bucket in which a percentile lies.

        Examples
        --------
        >>> waits = Distribution("w", 0.0, 9.0, 4.0, 0.5, np.array([0.1, 0.2, np.inf]), np.array([0.0, 3.0, 4.0]))
        >>> waits.bucket(50), waits.bucket(95)
        ((0.1, 0.2), (0.2, inf))
        """
        at = min(int(np.searchsorted(self.cumulative, percent / 100 * self.count)), len(self.edges) - 1)
        return (float(self.edges[at - 1]) if at else 0.0), float(self.edges[at])


def ttft(run: "Run", first: float, last: float) -> Distribution | None:
    """Return the server's own histogram of the time to the first token; None without one.

    Parameters
    ----------
    run : Run
    first, last : float, Unix seconds
        Of the first tokens that are asked for: it is taken from the last look before these to the first one after.
    """
    every = pages(run, [f"{one.name}{end}" for one in TTFT for end in ("_count", "_sum", "_bucket")])
    for one in TTFT:
        having = [page for page in every if f"{one.name}_count" in page.lines and page.times.size > 1]
        if having:
            return _between(one.name, having, first, last)
    return None


def _between(name: str, having: Sequence[Page], first: float, last: float) -> Distribution | None:
    """Return what the histograms of several replicas counted together; None where they counted nothing, or anew."""
    spans = [_looks_around(page.times, first, last) for page in having]

    def grown(end: str) -> list[tuple[Line, float]]:
        return [
            (line, float(np.subtract(*np.nan_to_num(line.at(np.array(span[::-1]))))))
            for page, span in zip(having, spans, strict=True)
            for line in page.lines.get(f"{name}{end}", ())
        ]

    count, total = (sum(growth for _, growth in grown(end)) for end in ("_count", "_sum"))
    buckets: dict[float, float] = {}
    for line, growth in grown("_bucket"):
        edge = _edge(line.labels.get("le"))
        buckets[edge] = buckets.get(edge, 0.0) + growth
    edges = np.array(sorted(edge for edge in buckets if edge == edge))
    if count <= 0 or not edges.size or min(buckets.values()) < 0:
        return None
    begin, end = min(low for low, _ in spans), max(high for _, high in spans)
    cumulative = np.array([buckets[edge] for edge in edges])
    return Distribution(name, begin, end, count, total / count, edges, cumulative)


def _looks_around(looks: Floats, first: float, last: float) -> tuple[float, float]:
    before = max(int(np.searchsorted(looks, first, "right")) - 1, 0)
    after = min(int(np.searchsorted(looks, last)), looks.size - 1)
    return float(looks[before]), float(looks[after])


def _edge(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _share(part: Floats, whole: Floats) -> Floats:
    return part / np.where(whole > 0, whole, np.nan)


def _together(values: Sequence[Floats], how: str) -> Floats:
    """Return the sum or mean of several series, of those that are known; NaN where none is."""
    every = np.array(values, dtype=float)
    known = np.isfinite(every)
    total = np.where(known, every, 0.0).sum(axis=0)
    count = known.sum(axis=0)
    return np.where(count > 0, total / (np.maximum(count, 1) if how == "mean" else 1), np.nan)


def _labels(cell: object) -> dict[str, str]:
    found = as_object(cell) if isinstance(cell, str) else {}
    return {str(name): str(value) for name, value in found.items()}


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")
