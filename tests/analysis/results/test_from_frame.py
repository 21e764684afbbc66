import numpy as np
import pandas as pd
import pytest

import perfkit as pk
from perfkit.errors import UsageError


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "t_first": [100.0, 300.0, np.nan],
            "e2e": [1000.0, 2000.0, np.nan],
            "gaps": [[10.0, 20.0], np.array([30.0]), None],
            "completion_tokens": [3, 2, 0],
            "start_time": [1.75e9, 1.75e9 + 1, 1.75e9 + 2],
            "error": [None, None, "boom"],
            "colour": ["red", "red", "blue"],
        }
    )


def test_own_numbers_have_metrics_in_seconds_and_a_label(frame):
    names = {"t_first": "ttft", "gaps": "inter_token_latencies"}
    runs = pk.from_frame(frame, run="gateway", columns=names, unit="ms", tags={"gpu": "H100"}, parallel=8)
    requests = runs.requests
    assert runs.labels == ["gateway"]
    assert requests["ttft"].tolist() == pytest.approx([0.1, 0.3, np.nan], nan_ok=True)
    assert requests["itl_mean"].tolist() == pytest.approx([0.015, 0.03, np.nan], nan_ok=True)
    assert requests["success"].tolist() == [True, True, False]
    assert requests["t"].tolist() == pytest.approx([0, 1, 2])
    assert runs.pick(gpu="H100", parallel=8).labels == ["gateway"]


@pytest.mark.slow
def test_points_in_time_stay_unix_seconds_and_end_is_start_plus_latency(frame):
    requests = pk.from_frame(frame, run="x", unit="ms").requests
    assert requests["completed_time"].iloc[1] == pytest.approx(1.75e9 + 3)
    rates = pk.from_frame(frame, run="x", unit="ms").summary().rates.iloc[0]
    assert rates["whole_run_request_throughput"] == pytest.approx(2 / 3)


def test_a_column_can_tell_the_runs_apart(frame):
    assert pk.from_frame(frame, run="colour", unit="ms").labels == ["red", "blue"]


def test_own_numbers_are_not_judged(frame):
    assert pk.from_frame(frame, run="x", unit="ms").verdicts == {"x": None}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"columns": {"t_frist": "ttft"}}, "did you mean 't_first'"),
        ({"columns": {"t_first": "tfft"}}, "did you mean 'ttft'"),
        ({"unit": "tokens"}, "unit is one of"),
    ],
)
def test_a_name_that_means_nothing_suggests_the_nearest(frame, arguments, sentence):
    with pytest.raises(UsageError, match=sentence):
        pk.from_frame(frame, run="x", **arguments)
