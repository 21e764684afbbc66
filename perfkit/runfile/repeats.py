"""Prompts and beginnings that a server had been sent before: counted in sqlite, so that no row is loaded."""

import sqlite3
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many requests of a run repeated a prompt or its beginning, and how often the server had it in its cache.

    ``requests`` leaves the preflight request out, but what that one sent counts as sent. ``cached`` are repeats that
    the server reported cached tokens for. ``runs`` are the names of the earlier runs whose prompts came again.

    ``prefixed`` are requests whose prompt is new, and of which the server yet had a tenth or more in its cache; later
    turns of a conversation are none, nor any where a shared prefix was asked for. ``prefix_runs`` are the earlier runs
    that sent a prompt with the same first characters, and ``prefix_within`` tells whether this one did.
    """

    requests: int = 0
    repeated: int = 0
    within: int = 0
    """Of these: of a prompt of the run itself, sent by no earlier one."""
    cached: int = 0
    runs: tuple[str, ...] = ()
    prefixed: int = 0
    prefix_within: bool = False
    prefix_runs: tuple[str, ...] = ()

    @property
    def evidence(self) -> dict[str, Any]:
        """What a verdict asks, under the names of ``Evidence``; nothing where nothing was sent."""
        if not self.requests:
            return {}
        return {
            "cached_repeats": self.cached / self.requests,
            "repeated_in": self.where,
            "cached_prefixes": self.prefixed / self.requests,
            "prefixed_in": self.prefix_where,
        }

    @property
    def where(self) -> str:
        """Where the prompts had been sent before, in words.

        Examples
        --------
        >>> Repeats(repeated=4, within=1, runs=("a", "b", "c")).where
        'this run and of a, b and 1 more'
        """
        named = _listed(self.runs)
        return " and of ".join(part for part in ("this run" if self.within or not named else "", named) if part)

    @property
    def prefix_where(self) -> str:
        """What had begun so before, in words.

        Examples
        --------
        >>> Repeats(prefixed=4, prefix_within=True, prefix_runs=("a",)).prefix_where
        'others of this run and prompts of a'
        """
        named = f"prompts of {_listed(self.prefix_runs)}" if self.prefix_runs else ""
        parts = ("others of this run" if self.prefix_within else "", named)
        return " and ".join(part for part in parts if part) or "something that the server knew already"


def _listed(names: tuple[str, ...]) -> str:
    more = len(names) - 2
    return ", ".join(names[:2]) + (f" and {more} more" if more > 0 else "")


_EARLIER = """
    SELECT run_id FROM run
    WHERE run_id < :run_id AND target = (SELECT target FROM run WHERE run_id = :run_id)"""

_KNOWN = f"SELECT prompt_hash FROM {{sent}} WHERE prompt_hash IS NOT NULL AND run_id IN ({_EARLIER})"

_PROMPTS = f"""
    SELECT sum(phase IS NOT 'preflight') AS sent,
           sum(phase IS NOT 'preflight' AND cached_tokens > 0) AS cached,
           max(phase IS 'preflight') AS asked,
           prompt_hash IN ({_KNOWN}) AS known
    FROM {{sent}} WHERE run_id = :run_id AND prompt_hash IS NOT NULL GROUP BY prompt_hash"""

_COUNTS = f"""
    WITH prompts AS ({_PROMPTS}),
         counted AS (SELECT sent, cached, known, sent - (NOT known AND NOT asked) AS again FROM prompts WHERE sent > 0)
    SELECT total(sent), total(again), total(again * NOT known), total(min(coalesce(cached, 0), again)) FROM counted"""

_NAMES = f"""
    SELECT coalesce(run.name, run.run_id) FROM run
    WHERE run_id IN ({_EARLIER}) AND EXISTS (
        SELECT 1 FROM {{sent}} AS earlier WHERE earlier.run_id = run.run_id
        AND prompt_hash IN (SELECT prompt_hash FROM {{sent}} WHERE run_id = :run_id))
    ORDER BY run_id"""

HEAD = 64
"""Characters by which beginnings are found again: some 16 tokens, a block of the caches in use."""

_PREFIXED = f"""
    SELECT {{column}} FROM (
        SELECT min(start_time), phase, turn, cached_tokens, prompt_tokens, {{column}} FROM {{sent}}
        WHERE run_id = :run_id AND prompt_hash IS NOT NULL AND prompt_hash NOT IN ({_KNOWN}) GROUP BY prompt_hash)
    WHERE phase IS NOT 'preflight' AND coalesce(turn, 1) = 1
    AND cached_tokens > 0 AND cached_tokens >= 0.1 * coalesce(prompt_tokens, 0) AND NOT EXISTS (
        SELECT 1 FROM run WHERE run_id = :run_id AND json_valid(arguments)
        AND json_extract(arguments, '$.prefix_length') > 0)"""

_COUNT_PREFIXED = f"SELECT count(*) FROM ({_PREFIXED.replace('{column}', 'seq')})"
_HEADS = f"SELECT substr(prompt_text, 1, {HEAD}) FROM ({_PREFIXED.replace('{column}', 'prompt_text')})"

_PREFIX_WITHIN = f"""
    SELECT count(*) > count(DISTINCT substr(prompt_text, 1, {HEAD})) FROM {{sent}}
    WHERE run_id = :run_id AND coalesce(turn, 1) = 1 AND substr(prompt_text, 1, {HEAD}) IN ({_HEADS})"""

_PREFIX_NAMES = f"""
    SELECT coalesce(run.name, run.run_id) FROM run
    WHERE run_id IN ({_EARLIER}) AND EXISTS (
        SELECT 1 FROM {{sent}} AS earlier
        WHERE earlier.run_id = run.run_id AND substr(prompt_text, 1, {HEAD}) IN ({_HEADS}))
    ORDER BY run_id"""

_COLUMNS = "run_id, seq, phase, turn, start_time, prompt_hash, prompt_text, prompt_tokens, cached_tokens"
_BOTH = f"(SELECT {_COLUMNS} FROM result UNION ALL SELECT {_COLUMNS} FROM preflight)"
_HAS_PREFLIGHT = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'preflight'"


def repeats(connection: sqlite3.Connection, run_id: str) -> Repeats:
    """Count the prompts of a run that its target had been sent before, in this run or an earlier one of the file."""
    # Files of earlier perfkits have the preflight requests among the others.
    sent = _BOTH if connection.execute(_HAS_PREFLIGHT).fetchone() else "result"

    def rows(query: str) -> list[tuple[Any, ...]]:
        return connection.execute(query.replace("{sent}", sent), {"run_id": run_id}).fetchall()

    def names(query: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(name) for (name,) in rows(query)))

    requests, repeated, within, cached = (int(count) for count in rows(_COUNTS)[0])
    runs = names(_NAMES) if repeated > within else ()
    ((prefixed,),) = rows(_COUNT_PREFIXED)
    if not prefixed:  # the texts are read only where there is something to name
        return Repeats(requests, repeated, within, cached, runs)
    ((prefix_within,),) = rows(_PREFIX_WITHIN)
    return Repeats(requests, repeated, within, cached, runs, prefixed, bool(prefix_within), names(_PREFIX_NAMES))


def cached_repeats(connection: sqlite3.Connection, run_id: str) -> Repeats | None:
    """Return the repeats of a run whose server reports cached tokens; None for any other, found out cheaply."""
    query = "SELECT 1 FROM result WHERE run_id = ? AND cached_tokens > 0 AND phase IS NOT 'preflight' LIMIT 1"
    return repeats(connection, run_id) if connection.execute(query, (run_id,)).fetchone() else None
