"""What a server was asked to do: the settings that change the work of a request, and whether two sides had as much."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields

import pandas as pd

from perfkit.arguments import Arguments
from perfkit.estimates import Estimate, mean_estimate, ratio
from perfkit.frame import Run
from perfkit.records import Json

WORK = (
    *("dataset_path", "dataset_offset", "dataset_args", "prompt", "system", "prefix_length", "shuffle"),
    *("min_prompt_length", "max_prompt_length", "apply_chat_template", "query_template", "extra_args", "parameters"),
    *("stream", "max_tokens", "min_tokens", "stop", "stop_token_ids", "n_choices", "logprobs", "temperature"),
    *("top_p", "top_k", "frequency_penalty", "presence_penalty", "repetition_penalty"),
    *("arrival", "burstiness", "max_concurrency", "think_time", "ramp", "ramp_shape", "steps", "speed"),
)
"""Arguments that change what a server is asked, or when."""

_OF_VERSIONS = ("min_prompt_length", "max_prompt_length", "apply_chat_template")
"""Arguments whose defaults other tools changed between versions, which by itself changes no prompt."""

ALIKE = 0.05
"""Share by which the mean tokens of two sides may differ before it is said."""

_COUNTED = {"completion_tokens": "answers", "prompt_tokens": "prompts"}
COUNTED = tuple(_COUNTED)
"""Columns that tell how much work a request was."""

_DEFAULTS = {
    each.name: each.default if each.default is not MISSING else {} for each in fields(Arguments) if each.name in WORK
}


def work_of(run: Run) -> dict[str, str]:
    """Return the settings of a run that change the work, as comparable texts.

    What was not given is the default where perfkit itself measured, and unknown, so absent, where another tool did.
    """
    asked = {name: run.arguments[name] for name in WORK if name in run.arguments}
    if run.record.get("source") == "perfkit":
        return {name: _text(value) for name, value in {**_DEFAULTS, **asked}.items()}
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
