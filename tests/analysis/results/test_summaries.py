"""Runs that are known by a summary alone, beside runs whose requests are there."""

from contextlib import suppress

import numpy as np
import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.importers.figures import summary
from perfkit.analysis.importers.registry import ImportedRun
from perfkit.analysis.notebook.explorer import explore
from perfkit.analysis.plots import CHARTS
from perfkit.cli import main
from perfkit.errors import UsageError
from tests.run_files import request, write_run


@pytest.fixture
def told(tmp_path):
    """Open summaries of a tool: each has the figures given, at 8 users."""

    @pk.importer("stopwatch")
    class Stopwatch:
        def matches(self, path, head):
            return head.startswith(b"stopwatch")

        def read(self, path):
            for line in path.read_text().splitlines()[1:]:
                name, users, *figures = line.split()
                pairs = (pair.split("=") for pair in figures)
                run = {"name": name, "parallel": int(users), "load": "closed", "model": "m", "tags": {"gpus": "2"}}
                yield summary("stopwatch", run, {key: float(n) for key, n in pairs}, succeeded=90, failed=10)

    def open_(*lines):
        path = tmp_path / "a.txt"
        path.write_text("\n".join(["stopwatch", *lines]))
        return pk.open(path)

    return open_


@pytest.fixture
def full(tmp_path):
    answers = [request(seq, seq, gaps=[0.25, 0.25]) for seq in range(40)]
    return pk.open(write_run(tmp_path / "full.db", answers, name="full", parallel=8, tags={"gpus": "2"}))


LINE = "told 8 ttft_p50=0.25 ttft_p95=0.5 tpot_p50=0.02 tpot_mean=0.03 output_throughput=100 request_throughput=4"


def test_the_table_holds_both_and_says_which_is_which(told, full):
    found = (full + told(LINE)).summary()
    assert found.frame.loc[("told", "ttft"), ["p50", "p95"]].tolist() == [0.25, 0.5]
    assert found.frame.loc[("told", "ttft"), "n"] == 90
    assert np.isnan(found.frame.loc[("told", "ttft"), "p99"])
    assert found.frame.loc[("full", "ttft"), "p50"] == 0.5
    assert found.rates.loc["told", ["requests", "failed", "throughput_per_gpu", "interactivity"]].tolist() == [
        100,
        10,
        50,
        50,
    ]
    text = str(found)
    assert "1 of the runs is a summary without requests" in text
    assert "told: a summary of stopwatch without single requests" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith(("full  ", "told  "))][:2] == [
        "VALID",
        "summary",
    ]


def test_a_group_of_both_holds_the_requests_alone_and_says_so(told, full):
    found = (full + told(LINE)).summary(by="model")
    assert found.frame.loc[("m", "ttft"), "n"] == 40
    assert found.rates["requests"].tolist() == [40]
    assert any("told: left out of m, as a summary cannot be pooled with requests" in note for note in found.notes)


def test_repeats_of_a_summary_are_their_geometric_mean_and_say_so(told):
    found = told("a 8 ttft_p50=0.1", "a 8 ttft_p50=0.4").summary(by="name")
    assert found.frame.loc[("a", "ttft"), "p50"] == pytest.approx(0.2)
    assert any("geometric means of 2 summaries" in note for note in found.notes)


def test_a_comparison_has_ratios_and_says_why_there_is_no_interval(told, full):
    found = (full + told(LINE)).compare("full", quantities=["ttft_p50", "output_throughput"])
    first = found.results[0]
    assert first.ratio.value == pytest.approx(0.5)
    assert not first.ratio.known
    assert "a summary without single requests tells nothing of either" in first.sentence("full")
    assert any("ttft is not measured the same way" in note for note in found.notes)
    assert found.counts[first.pairing].failed == (0, 10)


def test_repeats_of_summaries_are_compared_as_runs_are(told):
    lines = [
        f"{name} 8 ttft_p50={value}"
        for name, values in (("a", (1, 1.1, 0.9)), ("b", (2, 2.2, 1.8)))
        for value in values
    ]
    (result,) = told(*lines).compare("a", quantities=["ttft_p50"]).results
    assert result.ratio.value == pytest.approx(2)
    assert (result.method, result.judgement) == ("runs", "slower")


def test_charts_of_loads_draw_them_beside_full_runs_and_mark_them(told, full):
    both = full + told(LINE, LINE.replace("told 8", "told 16").replace("=100", "=150"))
    points = both.pareto(dominated=True).set_index("run")
    assert points.loc["told parallel=8", ["x", "y", "mark"]].tolist() == [50, 50, "summary"]
    assert points.loc["full", "mark"] != "summary"
    for chart in ("sweep", "tradeoff", "pareto"):
        ax = both.plot(chart)
        assert ax.has_data()
        assert "summary" in next(text.get_text() for text in ax.texts if text.get_gid() == "notes")
    assert CHARTS["sweep"].summaries


def test_a_sweep_keeps_only_the_percentiles_that_stand_in_the_summary(told):
    runs = told(LINE, LINE.replace("told 8", "told 16"))
    ax = runs.plot.sweep("ttft", percentiles=[50, 95, 99])
    assert sorted({float(y) for line in ax.lines for y in line.get_ydata()}) == [250, 500]


@pytest.mark.parametrize("what", ["ecdf", "hist", "timeline"])
def test_other_charts_say_in_a_sentence_that_they_need_requests(told, full, what):
    with pytest.raises(UsageError, match=f"the chart {what} needs single requests, and told has none"):
        told(LINE).plot(what)
    notes = next(text.get_text() for text in (full + told(LINE)).plot(what).texts if text.get_gid() == "notes")
    assert "nothing is drawn of told, known by summaries alone" in notes


@pytest.mark.parametrize(
    "asked",
    [
        lambda runs: runs.lens("ttft"),
        lambda runs: runs.show(),
        lambda runs: runs.why_slow(),
        lambda runs: runs.answers(),
        lambda runs: runs.goodput("ttft < 1s"),
        lambda runs: pk.plan(like=runs),
    ],
)
def test_what_needs_requests_says_so_and_passes_over_summaries_beside_full_runs(told, full, asked):
    with pytest.raises(UsageError, match="needs single requests, and told has none: it is known by a summary"):
        asked(told(LINE))
    with suppress(UsageError):  # 40 requests are too few for some of these
        assert str(asked(full + told(LINE))) == str(asked(full))


def test_a_filter_leaves_nothing_of_a_summary_and_says_so(told, full):
    found = (full + told(LINE)).where("prompt_tokens > 5").summary()
    assert ("told", "ttft") not in found.frame.index
    assert any(note.startswith("nothing is left of told: no filter or warm-up") for note in found.notes)
    assert told(LINE).trim("10%").figures.empty


def test_they_are_saved_annotated_and_reported(told, full, tmp_path):
    runs = full + told(LINE)
    again = pk.open(runs.save(tmp_path / "both.db"))
    assert again.summarized == ["told"]
    pd.testing.assert_frame_equal(again.figures, runs.figures)
    again["told"].annotate(tags={"gpu": "H100"})
    assert pk.open(tmp_path / "both.db").table.loc["told", "gpu"] == "H100"
    page = again.report(tmp_path / "report.html").read_text()
    assert "a summary of stopwatch without single requests" in page


def test_a_listing_says_which_runs_are_summaries(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    figures = '{"ttft_p50": 0.1}'
    write_run(tmp_path / "a.db", [], name="told", run_id="told", figures=figures, sent=3)
    write_run(tmp_path / "a.db", [request(0)], name="full", run_id="full")
    assert main(["ls", str(tmp_path / "a.db")]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert " summary " in lines["told"]
    assert " summary " not in lines["full"]


def test_figures_that_are_no_numbers_are_not_read(tmp_path):
    path = write_run(
        tmp_path / "a.db", [], figures='{"ttft_p50": "0.1", "ttft_p95": 1e999, "e2e_p50": 2, "x": [1]}', sent=3
    )
    assert pk.open(path).figures[["quantity", "value"]].to_numpy().tolist() == [["e2e_p50", 2.0]]


def test_an_importers_run_without_requests_needs_no_more_than_figures():
    assert ImportedRun({"name": "a"}, figures={"ttft_p50": 0.1}).results == ()


@pytest.mark.slow
def test_the_explorer_opens_summaries_alone_and_draws_their_charts(told):
    panel = explore(told(LINE, LINE.replace("told 8", "told 16")))
    for tab in ("runs", "summary", "failures", "requests", "export"):
        panel.bench.change(tab=tab)
        assert panel.tabs[tab].trouble.value == ""
    panel.bench.change(tab="chart", metric="ttft")
    for chart, is_drawn in (("sweep", True), ("tradeoff", True), ("pareto", True), ("ecdf", False)):
        panel.bench.change(chart=chart)
        said = panel.tabs["chart"].trouble.value
        assert (said == "", "needs single requests" in said) == (is_drawn, not is_drawn)
