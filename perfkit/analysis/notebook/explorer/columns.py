"""The columns of requests, loaded once: charts of the same runs ask for the same ones again and again."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import pandas as pd

from perfkit.analysis.query.server import Levels
from perfkit.analysis.results.evidence import verdict_of
from perfkit.analysis.results.runs import Runs
from perfkit.validity.verdict import Verdict


class Columns:
    """Runs as charts ask for them, with each column that was loaded kept.

    Parameters
    ----------
    runs : Runs
        What is looked at.
    verdicts : dict
        Those known, by file and run: a verdict is of the whole run, whatever of it is looked at.
    """

    def __init__(self, runs: Runs, verdicts: dict[Any, Verdict | None]) -> None:
        self.runs, self._verdicts = runs, verdicts
        self._loaded: dict[str, pd.Series[Any]] = {}

    def column(self, *names: str) -> pd.DataFrame:
        """Return columns of ``requests``."""
        if missing := [name for name in names if name not in self._loaded]:
            found = self.runs.column(*missing)
            self._loaded |= {name: found[name] for name in missing}
        return pd.DataFrame({name: self._loaded[name] for name in names}, copy=False)

    @property
    def summarized(self) -> Sequence[str]:
        """Labels of the runs that are known by a summary alone."""
        return self.runs.summarized

    def with_summaries(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows with one more for each run that is known by a summary."""
        return self.runs.with_summaries(rows)

    @property
    def requests(self) -> pd.DataFrame:
        """All columns, for charts that do not say which they read."""
        return self.runs.requests

    @property
    def chunks(self) -> pd.DataFrame:
        """One row per chunk."""
        return self.runs.chunks

    @property
    def published(self) -> Mapping[str, Levels | None]:
        """What the servers of each run published."""
        return self.runs.published

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per run."""
        return self.runs.table

    @property
    def palette(self) -> Sequence[str]:
        """Labels in the order of their colours."""
        return self.runs.palette

    @property
    def by_outcome(self) -> bool:
        """True after a filter on outcomes."""
        return self.runs.by_outcome

    @property
    def verdicts(self) -> Mapping[str, Verdict | None]:
        """The verdict on each run."""
        for run in self.runs.members:
            if (run.source.path, run.run_id) not in self._verdicts:
                self._verdicts[run.source.path, run.run_id] = verdict_of(run)
        return {run.label: self._verdicts[run.source.path, run.run_id] for run in self.runs.members}
