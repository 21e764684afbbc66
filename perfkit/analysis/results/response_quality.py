"""What came back under load: whether a server is fast because it says less."""

import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from perfkit.analysis.query.frame import requests
from perfkit.analysis.query.run import Run
from perfkit.analysis.stats.estimates import mean_estimate, ratio

LOOPING = 8.0
"""Compression beyond which a text repeats itself: prose of this length compresses about two to three times."""

_SHORTEST_LOOP = 200
_TRUNCATED = ("length", "max_tokens", "max_output_tokens", "MAX_TOKENS", "limit")
_STOPPED = ("stop", "end_turn", "stop_sequence", "completed", "STOP", "eos", "word", "eos_token")
"""What servers of the dialects that are read say of answers that ended by themselves."""
_COLUMNS = ("success", "finish_reason", "completion_tokens", "output_text", "prompt_hash", "prompt_text")


def answers(runs: Sequence[Run]) -> pd.DataFrame:
    """Describe the answers of each run."""
    loaded = {run: requests([run], _COLUMNS, "steady") for run in runs}
    rows = [
        {"run": run.label, **described(frame[frame["success"]]), **_drift(frame, loaded[_least_loaded(run, runs)])}
        for run, frame in loaded.items()
    ]
    return pd.DataFrame(rows).set_index("run")


def described(frame: pd.DataFrame) -> dict[str, float]:
    """Return the shares of one run's answers that ended early, are empty, loop or are all the same."""
    reasons, texts = frame["finish_reason"].dropna(), frame["output_text"].dropna()
    prompts = frame["prompt_hash"].fillna(frame["prompt_text"])
    return {
        "n": len(frame),
        "stopped": _share(reasons.isin(_STOPPED)),
        "truncated": _share(reasons.isin(_TRUNCATED)),
        "empty": _share(texts.map(lambda text: not text.strip())),
        "looping": _share(texts.map(loops)),
        "identical": _share(shared_by_prompts(texts, prompts[texts.index])),
        "tokens": float(frame["completion_tokens"].mean()),
    }


def loops(text: str) -> bool:
    """Tell whether a text repeats itself over and over.

    Examples
    --------
    >>> loops("I am sorry. " * 50), loops("".join(map(chr, range(32, 400))))
    (True, False)
    """
    data = text.encode("utf-8", "replace")
    return len(data) >= _SHORTEST_LOOP and len(data) / len(zlib.compress(data)) > LOOPING


def shared_by_prompts(texts: pd.Series, prompts: pd.Series) -> pd.Series:
    """Tell for each answer whether a request with another prompt got the very same one.

    Examples
    --------
    >>> shared_by_prompts(pd.Series(["no", "no", "yes"]), pd.Series(["a", "b", "c"])).tolist()
    [True, True, False]
    """
    return prompts.groupby(texts).transform("nunique") > 1


def _share(holds: pd.Series) -> float:
    return float(holds.mean()) if len(holds) else float("nan")


def _least_loaded(run: Run, runs: Sequence[Run]) -> Run:
    same = [other for other in runs if other.settings.get("model") == run.settings.get("model")]
    return min(same, key=_load)


def _load(run: Run) -> float:
    """Return what a run's load is ordered by; unknown loads and "all at once" come last."""
    settings = run.settings
    load = settings.get("parallel") if settings.get("load") != "open" else settings.get("rate")
    return float(load) if isinstance(load, (int, float)) and load > 0 else float("inf")


def _drift(frame: pd.DataFrame, least: pd.DataFrame) -> dict[str, float]:
    """Return the mean length against the least loaded run's, with its interval."""
    lengths, base = (each.loc[each["success"], "completion_tokens"].astype(float) for each in (frame, least))
    if frame is least:
        return {"length_ratio": 1.0, "low": np.nan, "high": np.nan}
    found = ratio(mean_estimate(lengths), mean_estimate(base))
    return {"length_ratio": found.value, "low": found.low, "high": found.high}
