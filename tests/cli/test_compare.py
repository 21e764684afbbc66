import argparse
import json

import pytest

import perfkit as pk
from perfkit.cli import compare
from perfkit.errors import Slower, UsageError
from tests.run_files import request, write_run


@pytest.fixture
def path(tmp_path):
    for name, factor in (("a", 1), ("b", 2)):
        rows = [request(i, i, ttft=0.1 * factor * (1 + i % 7 / 10)) for i in range(200)]
        write_run(tmp_path / "c.db", rows, name=name, run_id=name)
    return str(tmp_path / "c.db")


@pytest.fixture
def run():
    parser = argparse.ArgumentParser()
    compare.add(parser.add_subparsers())

    def run(*words: str) -> int:
        options = parser.parse_args(words)
        return options.function(options)

    return run


def test_compare_prints_sentences(run, path, capsys):
    assert run("compare", path, "--baseline", "a", "--quantity", "ttft_p50") == 0
    assert "b's p50 TTFT at 1 user is 2.00 times a's" in capsys.readouterr().out


def test_compare_json_has_the_table(run, path, capsys):
    run("compare", path, "--baseline", "a", "--json", "--quantity", "ttft_p50", "--match", "model")
    (row,) = json.loads(capsys.readouterr().out)["table"]
    assert (row["group"], row["judgement"]) == ("b", "slower")


def test_compare_raises_what_is_worse_than_its_tolerance_after_the_table(run, path, capsys):
    with pytest.raises(Slower, match=r"2.00 times a's .*\(allowed: 5%\)"):
        run("compare", path, "--baseline", "a", "--tolerance", "ttft_p50=5%")
    assert "b's p50 TTFT" in capsys.readouterr().out


def test_compare_is_content_within_its_tolerance_whatever_else_it_shows(run, path):
    words = ("compare", path, "--baseline", "b", "--quantity", "e2e_p50", "--tolerance", "ttft_p50=5%")
    assert run(*words) == 0


def test_compare_says_what_a_tolerance_looks_like(run, path):
    with pytest.raises(UsageError, match="such as ttft_p95=5%, got 'ttft_p95'"):
        run("compare", path, "--baseline", "a", "--tolerance", "ttft_p95")


def test_plan_takes_an_effect_in_per_cent(run, path, capsys):
    for effect in ("10%", "0.1"):
        run("plan", path, "--pick", "a", "--quantile", "0.5", "--effect", effect)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def test_plan_of_several_runs_says_to_choose_one(run, path):
    with pytest.raises(UsageError, match="got 2: choose one with pick"):
        run("plan", path)


def test_plan_prints_a_number_of_requests(run, path, capsys):
    run("plan", path, "--pick", "a", "--quantile", "0.5")
    assert "requests a side" in capsys.readouterr().out


def test_save_writes_the_chosen_runs(run, path, tmp_path, capsys):
    run("save", path, "--pick", "b", "--to", str(tmp_path / "b.db"), "--no-body")
    assert pk.open(capsys.readouterr().out.strip()).labels == ["b"]


def test_lens_lists_the_tools(run, path, capsys):
    run("lens", path, "--pick", "a", "--metric", "ttft")
    head, names, ours, *others = capsys.readouterr().out.splitlines()
    assert head == "time to first token [ms]"
    # 200 requests of 100 to 160 ms: 29 full rounds of 0 to 6, less the last three.
    assert (names.split()[:4], ours.split()[:3], ours.split()[4]) == (
        ["run", "definition", "n", "mean"],
        ["a", "perfkit", "200"],
        "130",
    )
    assert any(line.split()[0] == "vllm" for line in others)


def test_plan_json_says_what_the_sentence_says(run, path, capsys):
    run("plan", path, "--pick", "a", "--quantile", "0.5", "--json")
    told = json.loads(capsys.readouterr().out)
    run("plan", path, "--pick", "a", "--quantile", "0.5")
    assert f"about {told['requests']:,} requests a side" in capsys.readouterr().out
    assert (told["quantity"], told["effect"], told["like"]) == ("p50 TTFT", 0.05, "a")


def test_save_json_names_the_file_and_counts_its_runs(run, path, tmp_path, capsys):
    run("save", path, "--to", str(tmp_path / "both.db"), "--json")
    assert json.loads(capsys.readouterr().out) == {"path": str(tmp_path / "both.db"), "runs": 2}
    assert len(pk.open(tmp_path / "both.db")) == 2


@pytest.mark.parametrize(
    ("given", "allowed"), [("ttft_p50=0.05", "5%"), ("ttft_p50=5%", "5%"), ("ttft_p50=0.5%", "0.5%")]
)
def test_a_tolerance_is_a_share_or_a_percentage(run, path, given, allowed):
    with pytest.raises(Slower, match=rf"\(allowed: {allowed}\)"):
        run("compare", path, "--baseline", "a", "--tolerance", given)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("compare", "--baseline", "a", "--tolerance", "ttft_p50=5"), "tolerance of ttft_p50 is a share.*write '5%'"),
        (("compare", "--baseline", "a", "--match", "nosuch"), "no setting or tag 'nosuch'"),
        (
            ("compare", "--baseline", "a", "--quantity", "ttft_p150"),
            "within 0 and 100, as in ttft_p95, got 'ttft_p150'",
        ),
        (("plan", "--pick", "a", "--effect", "5"), "effect is a share.*for 5 % write '5%'"),
        (("plan", "--pick", "a", "--effect", "0"), "effect is a share above 0"),
        (("plan", "--pick", "a", "--effect", "x"), "effect is a share.*got 'x'"),
        (("plan", "--pick", "a", "--quantile", "95"), "quantile lies within 0 and 1.*got 95; did you mean 0.95"),
        (("plan", "--pick", "a", "--quantile", "-1"), "quantile lies within 0 and 1, such as 0.95, got -1$"),
        (("plan", "--pick", "a", "--quantile", "nan"), "quantile lies within 0 and 1"),
    ],
)
def test_a_number_or_name_that_cannot_be_meant_is_one_sentence(run, path, words, sentence):
    with pytest.raises(UsageError, match=sentence):
        run(words[0], path, *words[1:])


def test_a_gate_in_a_notebook_reads_tolerances_like_the_command_line(path):
    runs = pk.open(path)
    with pytest.raises(Slower, match=r"allowed: 5%"):
        runs.assert_not_slower("a", ttft_p50=0.05)
    for five in (5, "5"):
        with pytest.raises(UsageError, match="write '5%'"):
            runs.assert_not_slower("a", ttft_p50=five)
