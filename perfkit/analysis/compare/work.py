"""What a server was asked to do: the settings that change the work of a request, and whether two sides had as much."""

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.estimates import Estimate, mean_estimate, ratio
from perfkit.options.arguments import OPTIONS, default_of
from perfkit.records import Json

WORK = tuple(name for name, field in OPTIONS.items() if field.metadata.get("work") is True)
"""Arguments that change what a server is asked, or when."""

NOTED = tuple(name for name, field in OPTIONS.items() if field.metadata.get("work") == "noted")
"""Arguments that may change it, such as the seed by which repeats differ on purpose: that they differ is said."""

_OF_VERSIONS = ("min_prompt_length", "max_prompt_length", "apply_chat_template")
"""Arguments whose defaults other tools changed between versions, which by itself changes no prompt."""

ALIKE = 0.05
"""Share by which the mean tokens of two sides may differ before it is said."""

_COUNTED = {"completion_tokens": "answers", "prompt_tokens": "prompts"}
COUNTED = tuple(_COUNTED)
"""Columns that tell how much work a request was."""

_DEFAULTS = {name: default_of(name) for name in (*WORK, *NOTED)}


def work_of(run: Run) -> dict[str, str]:
    """Return the settings of a run that change the work, as comparable texts.

    What was not given is the default where perfkit itself measured, and unknown, so absent, where another tool did.
    """
    return _settings(run, WORK)


def noted(runs: Sequence[Run]) -> list[str]:
    """Say which settings differ between runs that are compared all the same."""
    said = []
    for name in NOTED:
        values = {run.label: _settings(run, (name,)).get(name) for run in runs}
        if len({value for value in values.values() if value is not None}) > 1:
            said.append(f"{name} differs: " + ", ".join(f"{label} {value}" for label, value in values.items()))
    return said


def _settings(run: Run, names: Sequence[str]) -> dict[str, str]:
    given = run.settings if names != WORK else run.arguments
    asked = {name: given[name] for name in names if name in given}
    if not {"round", "repeat"}.isdisjoint(run.tags):
        # Each round has prompts of its own.
        names = [name for name in names if name != "dataset_offset"]
        asked.pop("dataset_offset", None)
    if run.record.get("source") == "perfkit":
        return {name: _text(asked.get(name, _DEFAULTS[name])) for name in names}
    return {name: _text(value) for name, value in asked.items() if name not in _OF_VERSIONS}


def is_alike(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Tell whether nothing that is known of both differs.

    Examples
    --------
    >>> is_alike({"max_tokens": "32"}, {"max_tokens": "16"}), is_alike({"max_tokens": "32"}, {})
    (False, True)
    """
    return all(other.get(name, value) == value for name, value in one.items())


def unequal(other: str, theirs: Sequence[pd.DataFrame], baseline: str, ours: Sequence[pd.DataFrame]) -> list[str]:
    """Say where the requests of two sides were clearly not as much work, going by their tokens.

    Examples
    --------
    >>> short, long = (pd.DataFrame({"completion_tokens": [n] * 20, "success": True}) for n in (16, 32))
    >>> unequal("b", [short], "a", [long])
    ["b's answers have 16.0 tokens on average, a's 32.0"]
    """
    said = []
    for column, what in _COUNTED.items():
        before, after = _mean(ours, column), _mean(theirs, column)
        apart = ratio(after, before)
        if apart.known and not apart.low <= 1 <= apart.high and abs(apart.value - 1) > ALIKE:
            said.append(f"{other}'s {what} have {after.value:,.1f} tokens on average, {baseline}'s {before.value:,.1f}")
    return said


def _mean(side: Sequence[pd.DataFrame], column: str) -> Estimate:
    rows = pd.concat(side)
    return mean_estimate(rows.loc[rows["success"], column] if column in rows else [])


def _text(value: Json) -> str:
    """Return a setting as a text that is the same for what means the same: 32 and 32.0, an empty list and none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value or None if not isinstance(value, (bool, int, float)) else value, sort_keys=True)
