import numpy as np
import pytest

import perfkit as pk
from perfkit.comparing import quantity
from perfkit.errors import Slower, UsageError
from perfkit.runs import plan
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


def test_a_clear_slow_down_is_a_ratio_with_an_interval_and_a_sentence(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2, 1.5), {}))
    comparison = runs.compare("a", quantities=["ttft_p50"])
    result = only(comparison)
    assert result.ratio.low < 1.5 < result.ratio.high
    assert result.judgement == "slower"
    assert result.difference.value == pytest.approx(result.other.value - result.baseline.value)
    assert "b's p50 TTFT at 1 user is 1." in comparison.sentences[0]
    assert "95 % interval" in comparison.sentences[0]


def test_equal_runs_have_no_clear_difference_and_say_how_many_would_show_one(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2), {}))
    (sentence,) = runs.compare("a", quantities=["ttft_p95"]).sentences
    assert "no clear difference; to see 5 % you need about" in sentence


def test_runs_are_paired_at_equal_load_and_the_rest_is_named(tmp_path):
    runs = file(
        tmp_path,
        a__1=(rows(1), {"parallel": 1}),
        a__8=(rows(2, 2.0), {"parallel": 8}),
        b__1=(rows(3), {"parallel": 1}),
        b__8=(rows(4, 4.0), {"parallel": 8}),
        b__64=(rows(5, 9.0), {"parallel": 64}),
    )
    comparison = runs.compare("a", quantities=["ttft_p50"])
    assert comparison.table["parallel"].tolist() == [1, 8]
    assert comparison.table["judgement"].tolist() == ["no clear difference", "slower"]
    assert comparison.unmatched == ("b parallel=64 (parallel 64, not 1)",)
    assert (
        "left out, as nothing of equal load and settings is on the other side: b parallel=64 (parallel 64, not 1)"
        in str(comparison)
    )


def test_groups_can_be_told_apart_by_a_tag_or_a_setting(tmp_path):
    runs = file(tmp_path, a=(rows(1), {"tags": {"gpu": "A100"}}), b=(rows(2, 0.5), {"tags": {"gpu": "H100"}}))
    assert only(runs.compare("A100", by="gpu", quantities=["ttft_p50"])).judgement == "faster"
    other = file(tmp_path / "m", a=(rows(1), {"model": "x"}), b=(rows(2, 0.5), {"model": "y"}))
    assert only(other.compare("x", by="model", quantities=["ttft_p50"])).pairing.other == "y"


def test_the_same_prompts_on_both_sides_make_pairs_which_see_more(tmp_path):
    paired = file(tmp_path, a=(rows(1, noise=0.05, prompts=True), {}), b=(rows(2, 1.03, noise=0.05, prompts=True), {}))
    result = only(paired.compare("a", quantities=["ttft_mean"]))
    assert result.method == "pairs"
    assert result.judgement == "slower"
    apart = file(tmp_path / "x", a=(rows(1, noise=0.05, prompts=True), {}), b=(rows(2, 1.03), {}))
    assert only(apart.compare("a", quantities=["ttft_mean"])).method == "requests"


def test_three_repeats_a_side_are_compared_run_by_run(tmp_path):
    # Within a run requests agree closely, but runs differ by a tenth: that is the error that counts.
    sides = {
        **{f"a__{i}": (rows(i, f, noise=0.02), {}) for i, f in enumerate((0.9, 1.0, 1.1))},
        **{f"b__{i}": (rows(9 + i, f, noise=0.02), {}) for i, f in enumerate((0.95, 1.05, 1.15))},
    }
    result = only(file(tmp_path, **sides).compare("a", quantities=["ttft_mean"]))
    assert (result.method, result.ratio.n) == ("runs", 3)
    assert result.judgement == "no clear difference"
    assert result.noise == pytest.approx(0.22, abs=0.02)


def test_a_difference_that_repeats_show_too_is_called_so(tmp_path):
    sides = {
        "a__1": (rows(1, noise=0.02), {}),
        "a__2": (rows(2, 1.2, noise=0.02), {}),
        "b__1": (rows(3, 1.2, noise=0.02), {}),
    }
    (sentence,) = file(tmp_path, **sides).compare("a", quantities=["ttft_mean"]).sentences
    assert "repeats of one setting differ by as much" in sentence


def test_throughput_is_compared_and_higher_is_said(tmp_path):
    slow = [request(i, i * 1.0, ttft=0.1) for i in range(300)]
    fast = [request(i, i * 0.5, ttft=0.1) for i in range(300)]
    comparison = file(tmp_path, a=(slow, {}), b=(fast, {})).compare("a", quantities=["output_throughput"])
    result = only(comparison)
    assert result.ratio.value == pytest.approx(2, rel=0.01)
    assert result.judgement == "higher"
    assert result.baseline.value == pytest.approx(900 / (299 + 0.6))


def test_p_values_of_several_quantities_are_corrected(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2, 1.03), {}))
    table = runs.compare("a", quantities=["ttft_mean", "ttft_p50", "ttft_p95"]).table
    assert (table["p_holm"] >= table["p"]).all()


def test_exchanging_requests_calls_a_slow_down_and_no_noise(tmp_path):
    slower = file(tmp_path, a=(rows(1), {}), b=(rows(2, 1.5), {}))
    table = slower.compare("a", quantities=["ttft_p50", "ttft_mean", "output_throughput"], test="permutation").table
    assert table["judgement"].tolist() == ["slower", "slower", "no clear difference"]
    # The smallest that 1,999 exchanges can show.
    assert table["p"].tolist()[:2] == [2 / 2000] * 2
    same = file(tmp_path / "same", a=(rows(1), {}), b=(rows(2), {}))
    assert only(same.compare("a", quantities=["ttft_p95"], test="permutation")).p > 0.1


def test_exchanging_partners_sees_what_exchanging_requests_does_not(tmp_path):
    paired = file(tmp_path, a=(rows(1, noise=0.05, prompts=True), {}), b=(rows(2, 1.03, noise=0.05, prompts=True), {}))
    result = only(paired.compare("a", quantities=["ttft_mean"], test="permutation"))
    assert (result.method, result.judgement) == ("pairs", "slower")


def test_four_runs_a_side_of_which_all_are_slower_are_two_of_seventy_splits(tmp_path):
    sides = {
        **{f"a__{i}": (rows(i, f, noise=0.02), {}) for i, f in enumerate((0.9, 1.0, 1.1, 1.2))},
        **{f"b__{i}": (rows(9 + i, f, noise=0.02), {}) for i, f in enumerate((1.5, 1.6, 1.7, 1.8))},
    }
    result = only(file(tmp_path, **sides).compare("a", quantities=["ttft_mean"], test="permutation"))
    assert (result.method, result.p) == ("runs", pytest.approx(2 / 70))


def test_an_unknown_test_is_refused_with_those_there_are(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2), {}))
    with pytest.raises(UsageError, match="test is one of interval, permutation, got 'permutations'; did you mean"):
        runs.compare("a", test="permutations")


def test_quantities_that_nobody_measured_are_left_out(tmp_path):
    unstreamed = [request(i, i, ttft=None, gaps=()) for i in range(50)]
    comparison = file(tmp_path, a=(unstreamed, {}), b=(unstreamed, {})).compare("a")
    assert set(comparison.table["quantity"]) <= {"e2e_p50", "e2e_p95", "output_throughput"}


def test_few_requests_are_too_few(tmp_path):
    runs = file(tmp_path, a=(rows(1, n=5), {}), b=(rows(2, 3.0, n=5), {}))
    assert only(runs.compare("a", quantities=["ttft_p95"])).judgement == "too few"


def test_runs_that_are_not_valid_are_named_beneath(tmp_path):
    busy = {"samples": {"cpu_share": [0.99] * 3}}
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2), busy))
    assert "b is CLIENT-BOUND" in str(runs.compare("a", quantities=["ttft_p50"]))


def test_a_baseline_from_another_file_is_compared_too(tmp_path):
    before = file(tmp_path, old=(rows(1), {}))
    after = file(tmp_path / "new", new=(rows(2, 1.5), {}))
    assert only(after.compare(before, quantities=["ttft_p50"])).judgement == "slower"


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


def test_the_chart_has_an_interval_a_row_and_names_the_baseline(tmp_path):
    runs = file(tmp_path, a=(rows(1), {}), b=(rows(2, 1.5), {}))
    ax = runs.compare("a", quantities=["ttft_p50", "e2e_p50"]).plot()
    assert [line.get_gid() for line in ax.lines].count("interval") == 2
    assert ax.get_xlabel() == "ratio to a"
    assert ax.get_yticklabels()[0].get_text().startswith("p50 TTFT, b")


def test_a_gate_passes_what_is_proved_and_fails_what_is_clear(tmp_path):
    runs = file(tmp_path, a=(rows(1, n=1000, noise=0.1), {}), b=(rows(2, n=1000, noise=0.1), {}))
    runs.assert_not_slower("a", ttft_p50="10%")
    slower = file(tmp_path / "s", a=(rows(1), {}), b=(rows(2, 1.5), {}))
    with pytest.raises(Slower, match="slower"):
        slower.assert_not_slower("a", ttft_p50="10%")
    slower.assert_not_slower("a", ttft_p50=0.9)


def test_a_gate_does_not_pass_what_it_cannot_tell_unless_told_to(tmp_path):
    runs = file(tmp_path, a=(rows(1, n=60), {}), b=(rows(2, n=60), {}))
    with pytest.raises(AssertionError, match="cannot tell"):
        runs.assert_not_slower("a", ttft_p50="1%")
    runs.assert_not_slower("a", ttft_p50="1%", unsure="pass")


def test_a_gate_on_throughput_fails_when_it_falls(tmp_path):
    before = [request(i, i * 0.5, ttft=0.1) for i in range(300)]
    after = [request(i, i * 1.0, ttft=0.1) for i in range(300)]
    runs = file(tmp_path, a=(before, {}), b=(after, {}))
    with pytest.raises(Slower, match="lower"):
        runs.assert_not_slower("a", output_throughput="5%")


def test_a_gate_fails_on_what_was_not_measured(tmp_path):
    runs = file(tmp_path, a=([request(0, ttft=None, gaps=())], {}), b=([request(0, ttft=None, gaps=())], {}))
    with pytest.raises(Slower, match="not measured"):
        runs.assert_not_slower("a", ttft_p50="5%")


def test_a_plan_asks_for_four_times_as_many_to_see_half_as_much(tmp_path):
    runs = file(tmp_path, a=(rows(1, n=1000), {}))
    five, ten = plan(like=runs, effect=0.05), plan(like=runs, effect=0.10)
    assert five.requests / ten.requests == pytest.approx(3.8, rel=0.1)
    assert "requests a side" in str(five)
    with pytest.raises(UsageError, match="too few"):
        plan(like=runs.where("seq < 5"))


@pytest.mark.parametrize("name", ["ttft_p95", "tpot_mean", "e2e", "itl_p99.9", "output_throughput"])
def test_quantities_are_read_by_name(name):
    assert quantity(name).name == name


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
    assert plan(like=runs["a"], metric="output_throughput", effect=0.05).requests < 200
