import re

import numpy as np
import pytest

import perfkit as pk
from perfkit.analysis.compare import quantity
from perfkit.analysis.compare.grid import grid
from perfkit.analysis.results.plan import plan
from perfkit.errors import Slower, UsageError
from tests.run_files import request, write_run


def rows(seed, factor=1.0, n=300, noise=0.3, prompts=None):
    """Requests half a second apart with log-normal TTFT around 100 ms times a factor; gaps of 10 ms."""
    rng = np.random.default_rng(seed)
    shared = np.random.default_rng(7).lognormal(-2.3, 0.5, n) if prompts else np.full(n, 0.1)
    return [
        request(
            i,
            i * 0.5,
            ttft=float(shared[i] * factor * rng.lognormal(0, noise)),
            gaps=[0.01] * 3,
            prompt_hash=f"p{i}" if prompts else None,
        )
        for i in range(n)
    ]


def file(tmp_path, **runs):
    for number, (name, (content, record)) in enumerate(runs.items()):
        write_run(tmp_path / "c.db", content, name=name.split("__")[0], run_id=f"R{number}", **record)
    return pk.open(tmp_path / "c.db")


def only(comparison):
    (result,) = comparison.results
    return result


def repeats(factor=1.0, scatter=0.01, count=3, seed=0, **record):
    """Runs of one setting whose TTFT differs from run to run, as factors around one."""
    rng = np.random.default_rng(seed)
    return [(rows([seed, i], factor * rng.lognormal(0, scatter), noise=0.1), record) for i in range(count)]


def sides(tmp_path, **groups):
    return file(tmp_path, **{f"{name}__{i}": run for name, runs in groups.items() for i, run in enumerate(runs)})


@pytest.mark.slow
def test_a_clear_slow_down_is_a_ratio_with_an_interval_and_a_sentence(tmp_path):
    comparison = sides(tmp_path, a=repeats(), b=repeats(1.5, seed=1)).compare("a", quantities=["ttft_p50"])
    result = only(comparison)
    assert result.ratio.low < 1.5 < result.ratio.high
    assert (result.method, result.judgement) == ("runs", "slower")
    assert result.difference.value == pytest.approx(result.other.value - result.baseline.value)
    assert "b's p50 TTFT at 1 user is 1." in comparison.sentences[0]
    assert comparison.conclusion.startswith("b is slower than a at 1 user: p50 TTFT +")


@pytest.mark.slow
def test_one_run_a_side_never_claims_a_difference(tmp_path):
    comparison = file(tmp_path, a=(rows(1), {}), b=(rows(2, 5.0), {})).compare("a")
    assert set(comparison.table["judgement"]) == {"one run each"}
    assert comparison.table["p"].isna().all()
    first, second, *_ = comparison.conclusion.splitlines()
    assert first.startswith("A difference between b and a at 1 user cannot be claimed from one run each")
    assert "p50 TTFT +3" in first
    assert "--repeat 5" in second
    assert "--noise" in second


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "judgement"), [(1.05, "no clear difference"), (1.5, "slower")])
def test_a_noise_decides_one_run_a_side_and_is_said_to_be_assumed(tmp_path, factor, judgement):
    runs = file(tmp_path, a=(rows(1, noise=0.05), {}), b=(rows(2, factor, noise=0.05), {}))
    comparison = runs.compare("a", quantities=["ttft_p50"], noise="4%")
    result = only(comparison)
    assert (result.method, result.judgement) == ("noise", judgement)
    assert "if runs of one server differ by 4 %, as assumed" in comparison.conclusion.splitlines()[0]
    # Two runs differ by the root of two times as much; the requests leave a little more open.
    assert np.log(result.ratio.high / result.ratio.value) == pytest.approx(1.96 * 2**0.5 * np.log(1.04), rel=0.1)


@pytest.mark.slow
def test_repeats_of_one_setting_tell_how_much_runs_differ_elsewhere(tmp_path):
    runs = sides(tmp_path, a=repeats(scatter=0.1, count=5), b=[(rows(9, 1.05, noise=0.1), {})])
    result = only(runs.compare("a", quantities=["ttft_mean"]))
    assert (result.method, result.judgement, result.freedom) == ("noise", "no clear difference", 4)
    assert "as the repeats in these files do" in result.sentence("a")


@pytest.mark.slow
def test_three_repeats_a_side_are_compared_by_welchs_t(tmp_path):
    from scipy.stats import ttest_ind

    runs = sides(tmp_path, a=repeats(scatter=0.1), b=repeats(1.1, scatter=0.05, seed=1))
    result = only(runs.compare("a", quantities=["ttft_mean"]))
    values = [
        np.log([runs[label].requests["ttft"].mean() for label in runs.labels[part]]) for part in (slice(3), slice(3, 6))
    ]
    expected = ttest_ind(values[1], values[0], equal_var=False)
    assert result.p == pytest.approx(expected.pvalue)
    assert np.log([result.ratio.low, result.ratio.high]) == pytest.approx(list(expected.confidence_interval()))


@pytest.mark.slow
def test_an_unclear_comparison_says_how_many_runs_would_do(tmp_path):
    runs = sides(tmp_path, a=repeats(scatter=0.05), b=repeats(scatter=0.05, seed=1))
    assert "to see a difference of 10 %" in runs.compare("a", quantities=["ttft_mean"]).conclusion


@pytest.mark.slow
def test_runs_measured_in_rounds_are_compared_round_by_round(tmp_path):
    # Rounds differ by a factor, both sides alike: only the ratios within rounds tell that b is 3 % slower.
    shared = (0.7, 1.0, 1.6, 1.2)
    groups = {
        name: [(rows([k, i], f * factor, noise=0.02), {"tags": {"round": str(i)}}) for i, f in enumerate(shared)]
        for k, (name, factor) in enumerate({"a": 1.0, "b": 1.03}.items())
    }
    result = only(sides(tmp_path, **groups).compare("a", quantities=["ttft_mean"]))
    assert (result.method, result.freedom, result.judgement) == ("rounds", 3, "slower")


@pytest.mark.slow
def test_several_loads_have_one_range_of_their_average(tmp_path):
    runs = sides(
        tmp_path,
        a=[*repeats(parallel=1), *repeats(seed=2, parallel=8)],
        b=[*repeats(1.2, seed=3, parallel=1), *repeats(1.8, seed=4, parallel=8)],
    )
    comparison = runs.compare("a", quantities=["ttft_mean"])
    first = comparison.conclusion.splitlines()[0]
    low, high = (float(each) for each in re.findall(r"\((\+\d+) % to (\+\d+) %\)", first)[0])
    assert first.startswith("b is slower than a at each of the 2 loads: mean TTFT +4")
    assert 40 < low < 100 * (np.sqrt(1.2 * 1.8) - 1) < high < 55


@pytest.mark.slow
def test_runs_are_paired_at_equal_load_and_the_rest_is_named(tmp_path):
    runs = file(
        tmp_path,
        a__1=(rows(1), {"parallel": 1}),
        a__8=(rows(2, 2.0), {"parallel": 8}),
        b__1=(rows(3), {"parallel": 1}),
        b__8=(rows(4, 4.0), {"parallel": 8}),
        b__64=(rows(5, 9.0), {"parallel": 64}),
    )
    comparison = runs.compare("a", quantities=["ttft_p50"], noise="5%")
    assert comparison.table["parallel"].tolist() == [1, 8]
    assert comparison.table["judgement"].tolist() == ["no clear difference", "slower"]
    assert comparison.unmatched == ("b parallel=64 (parallel 64, not 1)",)
    assert (
        "left out, as nothing of equal load and settings is on the other side: b parallel=64 (parallel 64, not 1)"
        in str(comparison)
    )


@pytest.mark.slow
def test_groups_can_be_told_apart_by_a_tag_or_a_setting(tmp_path):
    runs = file(tmp_path, a=(rows(1), {"tags": {"gpu": "A100"}}), b=(rows(2, 0.5), {"tags": {"gpu": "H100"}}))
    assert only(runs.compare("A100", by="gpu", quantities=["ttft_p50"], noise="5%")).judgement == "faster"
    other = file(tmp_path / "m", a=(rows(1), {"model": "x"}), b=(rows(2, 0.5), {"model": "y"}))
    assert only(other.compare("x", by="model", quantities=["ttft_p50"])).pairing.other == "y"


@pytest.mark.slow
def test_throughput_is_compared_and_higher_is_said(tmp_path):
    slow, fast = ([request(i, i * pause, ttft=0.1) for i in range(300)] for pause in (1.0, 0.5))
    result = only(file(tmp_path, a=(slow, {}), b=(fast, {})).compare("a", quantities=["output_throughput"], noise="1%"))
    assert result.ratio.value == pytest.approx(2, rel=0.01)
    assert result.judgement == "higher"
    assert result.baseline.value == pytest.approx(3)


@pytest.mark.slow
def test_p_values_of_all_quantities_and_loads_of_a_group_are_corrected(tmp_path):
    runs = sides(
        tmp_path,
        a=[*repeats(parallel=1), *repeats(seed=2, parallel=8)],
        b=[*repeats(1.02, seed=3, parallel=1), *repeats(1.02, seed=4, parallel=8)],
    )
    comparison = runs.compare("a", quantities=["ttft_mean", "ttft_p50", "ttft_p95"])
    assert (comparison.table["p_holm"] >= comparison.table["p"]).all()
    assert {result.together for result in comparison.results} == {6}


@pytest.mark.slow
def test_four_runs_a_side_of_which_all_are_slower_are_two_of_seventy_splits(tmp_path):
    runs = sides(tmp_path, a=repeats(count=4), b=repeats(1.7, count=4, seed=1))
    result = only(runs.compare("a", quantities=["ttft_mean"], test="permutation"))
    assert (result.method, result.p) == ("runs", pytest.approx(2 / 70))


def test_an_unknown_test_is_refused_with_those_there_are(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2), {}))
    with pytest.raises(UsageError, match="test is one of interval, permutation, got 'permutations'; did you mean"):
        runs.compare("a", test="permutations")


@pytest.mark.slow
def test_quantities_that_nobody_measured_are_left_out(tmp_path):
    unstreamed = [request(i, i, ttft=None, gaps=()) for i in range(50)]
    comparison = file(tmp_path, a=(unstreamed, {}), b=(unstreamed, {})).compare("a")
    assert set(comparison.table["quantity"]) <= {"e2e_p50", "e2e_p95", "output_throughput"}


@pytest.mark.slow
def test_runs_that_are_not_valid_are_named_beneath(tmp_path):
    busy = {"samples": {"cpu_share": [0.99] * 3}}
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2), busy))
    assert "b is CLIENT-BOUND" in str(runs.compare("a", quantities=["ttft_p50"]))


@pytest.mark.slow
def test_a_baseline_from_another_file_is_compared_too(tmp_path):
    before = file(tmp_path, old=(rows(1), {}))
    after = file(tmp_path / "new", new=(rows(2, 1.5), {}))
    assert only(after.compare(before, quantities=["ttft_p50"], noise="4%")).judgement == "slower"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"baseline": "c"}, "no run is called 'c'.*with by"),
        ({"baseline": "a", "quantities": ["ttft_q95"]}, "ttft_q95"),
        ({"baseline": "a", "match": ["name"]}, "match="),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(tmp_path, arguments, sentence):
    runs = file(tmp_path, a=(rows(1, n=5), {}), b=(rows(2, n=5), {}))
    with pytest.raises(UsageError, match=sentence):
        runs.compare(**arguments)


@pytest.mark.slow
def test_the_chart_has_an_interval_a_row_and_names_the_baseline(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2, 1.5), {}))
    ax = runs.compare("a", quantities=["ttft_p50", "e2e_p50"]).plot()
    assert [line.get_gid() for line in ax.lines].count("interval") == 2
    assert ax.get_xlabel() == "ratio to a"
    assert ax.get_yticklabels()[0].get_text().startswith("p50 TTFT, b")


def two_loads(tmp_path):
    """Three repeats a side at 1 and 8 users: at 1 user b is as fast, at 8 its TTFT is twice as long."""
    repeated = {
        f"{name}__{users}{repeat}": (rows(repeat + 10 * users, factor, noise=0.1), {"parallel": users})
        for name in "ab"
        for users, factor in ((1, 1.0), (8, 2.0 if name == "b" else 1.0))
        for repeat in range(3)
    }
    return file(tmp_path, **repeated).compare("a", quantities=["e2e_p50", "ttft_p50"])


def test_several_loads_are_columns_of_ratios_and_what_is_clear_is_said(tmp_path):
    found = two_loads(tmp_path)
    head, (e2e, ttft) = grid(found.results, found.baseline)
    assert head == ["against a", "ratio of", "1 user", "8 users"]
    assert [cell.text for cell in e2e[:2]] == ["b", "p50 E2E"]
    assert [cell.text for cell in ttft[:2]] == ["", "p50 TTFT"]
    ratio = found.table.set_index(["quantity", "parallel"])["ratio"]
    assert e2e[3].text.startswith(f"{ratio['e2e_p50', 8]:.2f} (")
    assert (e2e[2].strong, e2e[3].strong) == (False, True)
    assert e2e[3].text.endswith(" slower")
    shown = found._repr_html_()
    assert shown.index("8 users</th>") < shown.index("<details>") < shown.index("95 % interval</th>")


def test_the_chart_of_several_loads_has_the_rows_of_each_under_its_name(tmp_path):
    ax = two_loads(tmp_path).plot()
    labels = [tick.get_text() for tick in ax.get_yticklabels()]
    assert labels == ["1 user", "p50 E2E", "p50 TTFT", "8 users", "p50 E2E", "p50 TTFT"]
    assert [tick.get_text() for tick in ax.get_yticklabels() if tick.get_fontweight() == "bold"] == [
        "1 user",
        "8 users",
    ]
    assert [line.get_ydata()[0] for line in ax.lines if line.get_gid() == "interval"] == [1, 2, 4, 5]
    assert ax.get_xlabel() == "ratio of b to a"


def test_a_gate_fails_on_what_was_not_measured(tmp_path):
    runs = file(tmp_path, a=([request(0, ttft=None, gaps=())], {}), b=([request(0, ttft=None, gaps=())], {}))
    with pytest.raises(Slower, match="not measured"):
        runs.assert_not_slower("a", ttft_p50="5%")


@pytest.mark.parametrize("name", ["ttft_p95", "tpot_mean", "e2e", "itl_p99.9", "output_throughput"])
def test_quantities_are_read_by_name(name):
    assert quantity(name).name == name


@pytest.mark.slow
def test_equal_runs_need_few_requests_to_tell_a_throughput(tmp_path):
    # Eight users whose answers end together, every second, 1 % apart: known to a share of that after 25 rounds.
    sides = {}
    for side in "ab":
        rounds = np.cumsum(np.random.default_rng(ord(side)).normal(1, 0.01, 25))
        starts = [0.0, *rounds[:-1]]
        lasting = np.diff(rounds, prepend=0.0)
        sides[side] = ([request(i, starts[i // 8], ttft=0.1, gaps=[lasting[i // 8] - 0.1]) for i in range(200)], {})
    runs = file(tmp_path, **sides)
    ratio = only(runs.compare("a", quantities=["output_throughput"])).ratio
    assert 0.98 < ratio.low < 1 < ratio.high < 1.02
    assert plan(like=runs["a"], quantities="output_throughput", noise="1%", effect=0.05).runs == 3
