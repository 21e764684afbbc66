import csv
import inspect
import io

import pandas as pd
import pytest

import perfkit as pk
from perfkit.analysis.report import export as exports
from perfkit.analysis.report.export import export
from perfkit.analysis.report.report import report
from perfkit.errors import UsageError
from tests.run_files import request, write_run


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs.db"
    for users in (1, 8):
        rows = [request(i, i, ttft=0.1 * users + 0.01 * i) for i in range(12)]
        write_run(path, rows, name=f"=users({users})", parallel=users)
    return pk.open(path)


@pytest.mark.slow
def test_each_chart_is_written_as_png_svg_and_csv(runs, tmp_path):
    written = export(runs, tmp_path / "charts", ["ecdf", "hist:tpot"])
    assert [path.name for path in written] == [
        "ecdf-ttft.png", "ecdf-ttft.svg", "ecdf-ttft.csv",
        "hist-tpot.png", "hist-tpot.svg", "hist-tpot.csv",
        "percentiles.csv",
    ]  # fmt: skip
    assert all(path.stat().st_size for path in written)


@pytest.mark.slow
def test_the_usual_charts_are_at_least_five(runs, tmp_path):
    written = export(runs, tmp_path, formats=["csv"])
    assert len([path for path in written if path.stem != "percentiles"]) >= 5


@pytest.mark.slow
def test_a_sweep_is_left_out_where_there_is_one_load(runs, tmp_path):
    written = export(runs[:1], tmp_path, formats=["csv"])
    assert written
    assert [path for path in written if path.name.startswith("sweep")] == []


@pytest.mark.slow
def test_charts_of_a_metric_without_values_are_left_out(tmp_path):
    path = write_run(tmp_path / "whole.db", [request(i, i, ttft=None, gaps=()) for i in range(3)])
    written = export(pk.open(path), tmp_path, formats=["csv"])
    assert written
    assert [path for path in written if "ttft" in path.name] == []


@pytest.mark.slow
def test_the_same_runs_give_the_same_bytes(runs, tmp_path):
    formats = ["png", "svg", "pdf", "csv", "tex"]
    first, second = (export(runs, tmp_path / name, ["ecdf"], formats=formats) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.slow
def test_the_csv_holds_what_the_chart_shows(runs, tmp_path):
    export(runs, tmp_path, ["ecdf"], formats=["csv"])
    table = pd.read_csv(tmp_path / "ecdf-ttft.csv")
    assert table["time to first token [ms]"].iloc[0] == pytest.approx(100)
    assert table["share of requests"].iloc[11] == 1


@pytest.mark.slow
def test_names_never_become_formulas(runs, tmp_path):
    export(runs, tmp_path, ["ecdf"], formats=["csv"])
    rows = list(csv.reader(io.StringIO((tmp_path / "ecdf-ttft.csv").read_text())))
    assert rows[1][0] == "'=users(1)"


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@A1", "\t=1", "\r=1", "\n=1"])
def test_a_text_that_a_spreadsheet_would_run_is_marked_as_text(cell):
    rows = list(csv.reader(io.StringIO(exports.csv(pd.DataFrame({"text": [cell]})).decode(), newline="")))
    assert rows[1] == ["'" + cell.replace("\r", "\n")]


def test_negative_numbers_stay_numbers():
    assert exports.csv(pd.DataFrame({"lag": [-0.25]})) == b"lag\n-0.25\n"


@pytest.mark.slow
def test_paper_gets_pdf_and_a_latex_table(runs, tmp_path):
    written = export(runs, tmp_path, ["ecdf"], size="paper", width="89mm")
    assert {"ecdf-ttft.pdf", "percentiles.tex"} <= {path.name for path in written}
    assert b"/MediaBox [ 0 0 252.28" in (tmp_path / "ecdf-ttft.pdf").read_bytes()


def test_a_latex_table_escapes_names_and_greys_thin_percentiles(runs, tmp_path):
    export(runs.rename("a_b & $c$", "50%"), tmp_path, [], formats=["tex"])
    text = (tmp_path / "percentiles.tex").read_text()
    assert r"a\_b \& \$c\$" in text
    assert r"\textcolor{gray}{" in text


def test_an_unknown_format_suggests_the_nearest(runs, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'svg'"):
        export(runs, tmp_path, formats=["svgz"])


def test_an_unknown_chart_writes_nothing(runs, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'ecdf'"):
        export(runs, tmp_path / "charts", ["hist", "ecfd"])
    assert not (tmp_path / "charts").exists()


@pytest.mark.slow
def test_the_style_chosen_for_the_notebook_is_kept(runs, tmp_path):
    pk.style("notebook", width="5in")
    try:
        export(runs, tmp_path, ["ecdf"], size="paper", formats=["pdf"])
        assert runs.plot.ecdf().figure.get_size_inches()[0] == 5
    finally:
        pk.style()


def test_an_unknown_size_writes_nothing(runs, tmp_path):
    with pytest.raises(UsageError, match="size must be 'notebook' or 'paper', got 'a4'"):
        runs.export(tmp_path / "new", size="a4")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("asked", "offered"), [(export, pk.Runs.export), (report, pk.Runs.report)])
def test_what_can_be_chosen_is_seen_on_the_runs(asked, offered):
    choices = [
        [(each.name, each.default) for each in inspect.signature(one).parameters.values()] for one in (asked, offered)
    ]
    assert choices[0][1:] == choices[1][1:]
