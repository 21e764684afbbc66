"""What a token costs, worked out by hand: 8 users whose answers of 20 tokens take 1 s are 160 output tokens/s."""

import json

import pytest

import perfkit as pk
from perfkit.analysis.compare import quantity
from perfkit.analysis.metrics import RATES, rate
from perfkit.analysis.query import columns
from perfkit.cli import main
from tests.analysis.metrics.test_rates import closed, run_of
from tests.run_files import request, write_run

TAGS = {"gpus": "4", "price": "2.1", "power": "2800"}


@pytest.fixture
def runs(tmp_path):
    return run_of(tmp_path, closed(160, 8, lambda _: 1.0), parallel=8).tag(**TAGS)


def test_costs_follow_from_throughput_and_tags(runs):
    found = runs.summary().rates.iloc[0]
    assert found["throughput_per_gpu"] == pytest.approx(40)  # 160 / 4
    assert found["total_throughput_per_gpu"] == pytest.approx(60)  # and 80 prompt tokens/s: 240 / 4
    assert found["interactivity"] == pytest.approx(38)  # 0.5 s for 19 gaps
    assert found["cost_per_million_output_tokens"] == pytest.approx(4 * 2.1 / 3600 / 160 * 1e6)  # 14.58
    assert found["cost_per_million_prompt_tokens"] == pytest.approx(4 * 2.1 / 3600 / 80 * 1e6)
    assert found["energy_per_output_token"] == pytest.approx(2800 / 160)


def test_interactivity_is_the_inverse_of_the_median_tpot_and_leaves_out_ttft(tmp_path):
    answers = [request(seq, seq, ttft=9.0, gaps=[gap] * 10) for seq, gap in enumerate((0.01, 0.02, 0.1))]
    path = write_run(tmp_path / "a.db", answers, load="closed", parallel=1)
    assert pk.open(path).summary().rates["interactivity"].tolist() == [pytest.approx(50)]


def test_the_table_shows_costs_of_tagged_runs_alone(runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # heads on one line
    assert "throughput per GPU [tokens/s/GPU]" in str(runs)
    assert "interactivity [tokens/s/user]" in str(runs)
    untagged = str(runs.tag(gpus="", price="", power=""))
    assert "per GPU" not in untagged
    assert "interactivity" not in untagged


def test_a_tag_that_is_no_amount_is_named_and_makes_no_rate(runs):
    found = runs.tag(gpus="eight").summary()
    assert found.rates["throughput_per_gpu"].isna().all()
    assert [note for note in found.notes if "'eight'" in note] == [
        "gpus of run is 'eight', not a number above 0: no rate by it"
    ]


def test_groups_of_runs_with_different_tags_have_no_cost_and_say_why(runs, tmp_path):
    other = run_of(tmp_path, closed(160, 8, lambda _: 1.0), parallel=8).tag(**{**TAGS, "gpus": "8"})
    both = (runs.rename("a") + other.rename("b")).summary(by="model")
    assert both.rates["throughput_per_gpu"].isna().all()
    assert any(note.startswith("gpus differs within m (4, 8)") for note in both.notes)
    assert both.rates["output_throughput"].notna().all()


def test_an_interval_is_that_of_the_base_turned_round_where_the_rate_falls_with_it(tmp_path):
    rows = closed(400, 8, lambda rng: rng.lognormal(0, 0.5), in_step=False)
    runs = run_of(tmp_path, rows, parallel=8).tag(**TAGS)
    found = {}
    for name in (
        "output_throughput",
        "throughput_per_gpu",
        "cost_per_million_output_tokens",
        "tpot_p50",
        "interactivity",
    ):
        wanted = quantity(name)
        found[name] = wanted.estimate(columns.load(runs.members, [*wanted.columns, "phase"]))
    base, per_gpu, cost = (found[name] for name in list(found)[:3])
    assert 0 < base.low < base.value < base.high
    assert (per_gpu.low, per_gpu.high) == pytest.approx((base.low / 4, base.high / 4))
    per_second = 4 * 2.1 / 3600 * 1e6
    assert (cost.low, cost.high) == pytest.approx((per_second / base.high, per_second / base.low))
    tpot, speed = found["tpot_p50"], found["interactivity"]
    assert (speed.low, speed.high) == pytest.approx((1 / tpot.high, 1 / tpot.low))


def test_costs_are_compared_and_in_json(runs, tmp_path, capsys):
    half = runs.tag(gpus="2").rename("two")
    ratio = (runs.rename("four") + half).compare("four", quantities=["throughput_per_gpu"]).results[0].ratio.value
    assert ratio == pytest.approx(2)
    path = write_run(tmp_path / "tagged.db", [request(seq, seq) for seq in range(9)], tags=TAGS)
    assert main(["show", str(path), "--json"]) == 0
    (rates,) = json.loads(capsys.readouterr().out)["rates"]
    assert rates["throughput_per_gpu"] == pytest.approx(rates["output_throughput"] / 4)


def test_a_rate_of_ones_own_follows_from_a_statistic_and_a_tag_of_ones_own(runs):
    @rate("waiting", unit="currency", base="ttft_p50", settings=("salary",))
    def waiting(ttft_p50, salary):
        return ttft_p50 * salary

    assert runs.tag(salary="3").summary().rates["waiting"].tolist() == [pytest.approx(1.5)]
    assert RATES["waiting"].columns[-1] == "salary"
