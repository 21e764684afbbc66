"""Where runs come from: files, and people's own DataFrames."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from perfkit.analysis.importers.canonical import as_tables
from perfkit.analysis.query import opening
from perfkit.analysis.query.opening import Places
from perfkit.analysis.results.from_frame import runs_of_frame
from perfkit.analysis.results.runs import Runs
from perfkit.analysis.results.warmup import trimmed_as_asked
from perfkit.plugins import load_entry_points


def open(*places: Places, tags: str | None = None) -> Runs:
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
        No file was found, or what was given is not a place.
    UnsafeFile
        None of the files found could be opened.

    Examples
    --------
    >>> open("no/such/folder")
    Traceback (most recent call last):
    perfkit.errors.UsageError: no result file in 'no/such/folder'; give a file, a folder or a pattern such as \
'outputs/**/*.db'
    """
    load_entry_points()
    found, problems = opening.open_all([*map(opening.flattened, places)], tags)
    runs, removed = ([run for run in found if run.is_removed == gone] for gone in (False, True))
    palette = tuple(run.label for run in runs)
    return Runs(trimmed_as_asked(runs), problems, palette=palette, left_out=trimmed_as_asked(removed))


def from_frame(
    frame: pd.DataFrame,
    *,
    run: str,
    columns: Mapping[str, str] | None = None,
    unit: str = "s",
    tags: Mapping[str, str] | None = None,
    **settings: Any,
) -> Runs:
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
    found = opening.with_labels(opening.runs_of(opening.source_of("frame", connection)))
    return Runs(found, palette=tuple(each.label for each in found))
