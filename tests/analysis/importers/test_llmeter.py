"""llmeter dates requests to the whole second: its rates come from the total time in ``summary.json``."""

import json
import shutil
from pathlib import Path

import pytest

import perfkit as pk

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "fixtures/peers/llmeter_4/20261120-2005"


def test_rates_are_taken_over_the_total_time_of_the_summary():
    runs = pk.open(FOLDER)
    stats = json.loads((FOLDER / "stats.json").read_text())
    rates = runs.summary().rates.iloc[0]
    assert rates["output_throughput"] == pytest.approx(512 / 1.5650274)
    assert rates["request_throughput"] == pytest.approx(8 / stats["total_test_time"])
    assert rates["concurrency"] == pytest.approx(8 * stats["time_to_last_token-average"] / stats["total_test_time"])
    assert "so rates are taken over the total time in its summary.json" in str(runs.summary())


def test_without_a_summary_the_table_says_that_rates_rest_on_whole_seconds(tmp_path):
    shutil.copy(FOLDER / "responses.jsonl", tmp_path)
    assert "llmeter dates requests to the whole second, so rates are off by up to a second" in str(
        pk.open(tmp_path).summary()
    )
