"""Prompts that a server had been sent before: counted in sqlite, so that no row is loaded."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many requests of a run repeated a prompt, and how often the server had it in its cache.

    ``requests`` leaves the preflight request out, but what that one sent counts as sent. ``cached`` are repeats that
    the server reported cached tokens for. ``runs`` are the names of the earlier runs whose prompts came again.
    """

    requests: int = 0
    repeated: int = 0
    within: int = 0
    """Of these: of a prompt of the run itself, sent by no earlier one."""
    cached: int = 0
    runs: tuple[str, ...] = ()

    @property
    def cached_share(self) -> float | None:
        """Share of the requests that came from the server's cache; None where nothing was sent."""
        return self.cached / self.requests if self.requests else None

    @property
    def where(self) -> str:
        """Where the prompts had been sent before, in words.

        Examples
        --------
        >>> Repeats(repeated=4, within=1, runs=("a", "b", "c")).where
        'this run and of a, b and 1 more'
        """
        more = len(self.runs) - 2
        named = ", ".join(self.runs[:2]) + (f" and {more} more" if more > 0 else "")
        return " and of ".join(part for part in ("this run" if self.within or not named else "", named) if part)


_EARLIER = """
    SELECT run_id FROM run
    WHERE run_id < :run_id AND target = (SELECT target FROM run WHERE run_id = :run_id)"""

_PROMPTS = f"""
    SELECT sum(phase IS NOT 'preflight') AS sent,
           sum(phase IS NOT 'preflight' AND cached_tokens > 0) AS cached,
           max(phase IS 'preflight') AS asked,
           prompt_hash IN (SELECT prompt_hash FROM result WHERE run_id IN ({_EARLIER})) AS known
    FROM result WHERE run_id = :run_id AND prompt_hash IS NOT NULL GROUP BY prompt_hash"""

_COUNTS = f"""
    WITH prompts AS ({_PROMPTS}),
         counted AS (SELECT sent, cached, known, sent - (NOT known AND NOT asked) AS again FROM prompts WHERE sent > 0)
    SELECT total(sent), total(again), total(again * NOT known), total(min(coalesce(cached, 0), again)) FROM counted"""

_NAMES = f"""
    SELECT coalesce(run.name, run.run_id) FROM run
    WHERE run_id IN ({_EARLIER}) AND EXISTS (
        SELECT 1 FROM result WHERE result.run_id = run.run_id
        AND prompt_hash IN (SELECT prompt_hash FROM result WHERE run_id = :run_id))
    ORDER BY run_id"""


def repeats(connection: sqlite3.Connection, run_id: str) -> Repeats:
    """Count the prompts of a run that its target had been sent before, in this run or an earlier one of the file.

    Parameters
    ----------
    connection : sqlite3.Connection
        To a run file.
    run_id : str

    Returns
    -------
    Repeats
    """
    key = {"run_id": run_id}
    counts = connection.execute(_COUNTS, key).fetchone()
    requests, repeated, within, cached = (int(count) for count in counts)
    names = [str(name) for (name,) in connection.execute(_NAMES, key)] if repeated > within else []
    return Repeats(requests, repeated, within, cached, tuple(dict.fromkeys(names)))


def cached_repeats(connection: sqlite3.Connection, run_id: str) -> Repeats | None:
    """Return the repeats of a run whose server reports cached tokens; None for any other, found out cheaply."""
    query = "SELECT 1 FROM result WHERE run_id = ? AND cached_tokens > 0 AND phase IS NOT 'preflight' LIMIT 1"
    return repeats(connection, run_id) if connection.execute(query, (run_id,)).fetchone() else None
