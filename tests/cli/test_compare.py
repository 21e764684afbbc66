import json

import pytest

import perfkit as pk
from perfkit.errors import Slower, UsageError
from tests.cli.commands import carried_out as run
from tests.run_files import request, write_run

NOISE = ("--noise", "2%")
"""Known, so that one run a side is enough to judge by."""


@pytest.fixture
def path(tmp_path):
    for name, factor in (("a", 1), ("b", 2)):
        rows = [request(i, i, ttft=0.1 * factor * (1 + i % 7 / 10)) for i in range(200)]
        write_run(tmp_path / "c.db", rows, name=name, run_id=name)
    return str(tmp_path / "c.db")


@pytest.mark.slow
def test_compare_prints_sentences(path, capsys):
    assert run("compare", path, "--baseline", "a", "--quantity", "ttft_p50") == 0
    assert "b's p50 TTFT at 1 user is 2.00 times a's" in capsys.readouterr().out


@pytest.mark.slow
def test_compare_json_has_the_table(path, capsys):
    run("compare", path, "--baseline", "a", "--json", "--quantity", "ttft_p50", "--match", "model", *NOISE)
    (row,) = json.loads(capsys.readouterr().out)["table"]
    assert (row["group"], row["judgement"]) == ("b", "slower")


@pytest.mark.slow
def test_compare_raises_what_is_worse_than_its_tolerance_after_the_table(path, capsys):
    with pytest.raises(Slower, match=r"2.00 times a's .*\(allowed: 5%\)"):
        run("compare", path, "--baseline", "a", "--tolerance", "ttft_p50=5%", *NOISE)
    assert "b's p50 TTFT" in capsys.readouterr().out


@pytest.mark.slow
def test_compare_is_content_within_its_tolerance_whatever_else_it_shows(path):
    words = ("compare", path, "--baseline", "b", "--quantity", "e2e_p50", "--tolerance", "ttft_p50=5%", *NOISE)
    assert run(*words) == 0


def test_compare_says_what_a_tolerance_looks_like(path):
    with pytest.raises(UsageError, match="such as ttft_p95=5%, got 'ttft_p95'"):
        run("compare", path, "--baseline", "a", "--tolerance", "ttft_p95")


def test_plan_takes_an_effect_in_per_cent(path, capsys):
    said = []
    for effect in ("10%", "0.1"):
        run("plan", path, "--pick", "a", "--quantity", "p50 ttft", "--effect", effect)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]


def test_plan_of_one_run_asks_for_repeats_and_says_what_scatters_would_take(path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run("plan", path, "--pick", "a", "--quantity", "p50 ttft")
    said = capsys.readouterr().out
    assert "One run does not show how much runs of one server differ" in said
    assert "perfkit run --repeat 3" in said
    assert "5% more" in said


def test_plan_with_a_noise_says_how_many_runs_and_rounds(path, capsys):
    run("plan", path, "--pick", "a", "--quantity", "p50 ttft", "--noise", "5%", "--effect", "10%")
    assert "runs a side of 200 requests each" in capsys.readouterr().out


def test_save_writes_the_chosen_runs(path, tmp_path, capsys):
    run("save", path, "--pick", "b", "--to", str(tmp_path / "b.db"), "--no-body")
    assert pk.open(capsys.readouterr().out.strip()).labels == ["b"]


@pytest.mark.slow
def test_lens_lists_the_tools(path, capsys):
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


def test_plan_json_says_what_the_sentence_says(path, capsys):
    words = ("plan", path, "--pick", "a", "--quantity", "p50 ttft", "--noise", "5%")
    run(*words, "--json")
    told = json.loads(capsys.readouterr().out)
    run(*words)
    assert told["sentence"] in capsys.readouterr().out
    assert (told["needs"][0]["quantity"], told["effect"], told["requests"]) == ("ttft_p50", 0.05, 200)
    assert f"{told['runs']} runs a side" in told["sentence"]


@pytest.mark.slow
def test_save_json_names_the_file_and_counts_its_runs(path, tmp_path, capsys):
    run("save", path, "--to", str(tmp_path / "both.db"), "--json")
    assert json.loads(capsys.readouterr().out) == {"path": str(tmp_path / "both.db"), "runs": 2}
    assert len(pk.open(tmp_path / "both.db")) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "allowed"), [("ttft_p50=0.05", "5%"), ("ttft_p50=5%", "5%"), ("ttft_p50=0.5%", "0.5%")]
)
def test_a_tolerance_is_a_share_or_a_percentage(path, given, allowed):
    with pytest.raises(Slower, match=rf"\(allowed: {allowed}\)"):
        run("compare", path, "--baseline", "a", "--tolerance", given, *NOISE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("compare", "--baseline", "a", "--tolerance", "ttft_p50=5"), "tolerance of ttft_p50 is a share.*write '5%'"),
        (("compare", "--baseline", "a", "--match", "nosuch"), "no setting or tag 'nosuch'"),
        (
            ("compare", "--baseline", "a", "--quantity", "ttft_p150"),
            "between 0 and 100, as in ttft_p95, got 'ttft_p150'",
        ),
        (("plan", "--pick", "a", "--effect", "5"), "effect is a share.*for 5 % write '5%'"),
        (("plan", "--pick", "a", "--effect", "0"), "effect is a share above 0"),
        (("plan", "--pick", "a", "--effect", "x"), "effect is a share.*got 'x'"),
        (("plan", "--pick", "a", "--power", "95"), "power is a share.*got '95'; for 95 % write '95%'"),
        (("plan", "--pick", "a", "--noise", "nan"), "noise is a share"),
        (("plan", "--pick", "a", "-n", "-1"), "requests of each run are 1 or more, got -1$"),
    ],
)
def test_a_number_or_name_that_cannot_be_meant_is_one_sentence(path, words, sentence):
    with pytest.raises(UsageError, match=sentence):
        run(words[0], path, *words[1:])


@pytest.mark.slow
def test_a_gate_in_a_notebook_reads_tolerances_like_the_command_line(path):
    runs = pk.open(path)
    with pytest.raises(Slower, match=r"allowed: 5%"):
        runs.assert_not_slower("a", noise="2%", ttft_p50=0.05)
    for five in (5, "5"):
        with pytest.raises(UsageError, match="write '5%'"):
            runs.assert_not_slower("a", ttft_p50=five)
