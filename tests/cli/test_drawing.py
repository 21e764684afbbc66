import pytest

import perfkit as pk
from perfkit.analysis.plots.accessor import numbers
from perfkit.errors import UsageError
from tests.cli.commands import carried_out
from tests.run_files import request, write_run


@pytest.fixture
def perfkit(tmp_path, monkeypatch):
    """Run a command as the command line would, in a folder with one file of two runs."""
    for users in (1, 8):
        write_run(tmp_path / "runs.db", [request(i, i) for i in range(5)], name=f"u{users}", parallel=users)
    monkeypatch.chdir(tmp_path)
    return carried_out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("csv", b"group,")]
)
def test_plot_writes_what_its_ending_says(perfkit, tmp_path, ending, head):
    assert perfkit("plot", "runs.db", "--chart", "hist", "--metric", "e2e", "--out", f"new/chart.{ending}") == 0
    assert (tmp_path / f"new/chart.{ending}").read_bytes().startswith(head)


@pytest.mark.slow
def test_plot_names_its_file_after_chart_and_metric(perfkit, tmp_path, capsys):
    perfkit("plot", "runs.db")
    assert capsys.readouterr().out == "ecdf-ttft.png\n"
    assert (tmp_path / "ecdf-ttft.png").exists()


@pytest.mark.slow
def test_plot_takes_runs_and_filters(perfkit, tmp_path):
    perfkit("plot", "runs.db", "--pick", "u8", "--where", "seq < 3", "--out", "a.csv")
    assert (tmp_path / "a.csv").read_text().count("u8") == 3
    assert "u1" not in (tmp_path / "a.csv").read_text()


# Chart and its own options, as runs.plot and the command line spell them.
OPTIONS = [
    ("scatter", {"x": "completion_tokens"}),
    ("pareto", {"x": "interactivity", "y": "request_throughput", "slo": ["p95 ttft < 10s"]}),
    ("goodput", {"slo": ["ttft < 10s"]}),
    ("trend", {"over": "name", "percentile": 50.0}),
    ("tradeoff", {"rate": "request_throughput"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("chart", "options"), OPTIONS, ids=[chart for chart, _ in OPTIONS])
def test_plot_gives_a_chart_its_own_options(perfkit, tmp_path, chart, options):
    words = [
        str(word)
        for name, value in options.items()
        for word in (f"--{name}", *([value] if not isinstance(value, list) else value))
    ]
    assert perfkit("plot", "runs.db", "--chart", chart, *words, "--out", "a.png") == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert perfkit("plot", "runs.db", "--chart", chart, *words, "--out", "a.csv") == 0
    expected = numbers(pk.open(tmp_path / "runs.db"), chart, **options)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == len(expected) + 1


@pytest.mark.slow
def test_plot_refuses_an_option_that_the_chart_has_not(perfkit):
    with pytest.raises(UsageError, match="the chart 'ecdf' has no --x; it has none of the kind"):
        perfkit("plot", "runs.db", "--chart", "ecdf", "--x", "ttft")
    with pytest.raises(UsageError, match="the chart 'scatter' has no --slo; it has --x"):
        perfkit("plot", "runs.db", "--chart", "scatter", "--slo", "ttft < 1s")


@pytest.mark.parametrize("command", ["plot", "export", "report"])
def test_a_filter_that_leaves_nothing_is_refused(perfkit, tmp_path, command):
    with pytest.raises(UsageError, match="no request is left to draw: --where 'ttft > 1000s' holds for none"):
        perfkit(command, "runs.db", "--where", "ttft > 1000s")
    assert [path.name for path in tmp_path.iterdir()] == ["runs.db"]


def test_plot_refuses_another_ending(perfkit):
    with pytest.raises(UsageError, match=r"did you mean '\.png'"):
        perfkit("plot", "runs.db", "--out", "a.pngg")


@pytest.mark.slow
def test_export_prints_what_it_wrote(perfkit, tmp_path, capsys):
    perfkit("export", "runs.db", "--to", "out", "--chart", "ecdf", "sweep:e2e", "--format", "png", "csv")
    names = [line.removeprefix("out/") for line in capsys.readouterr().out.split()]
    assert names == ["ecdf-ttft.png", "ecdf-ttft.csv", "sweep-e2e.png", "sweep-e2e.csv", "percentiles.csv"]
    assert all((tmp_path / "out" / name).exists() for name in names)


@pytest.mark.slow
def test_report_writes_one_file(perfkit, tmp_path):
    perfkit("report", "runs.db", "--out", "r.html", "--title", "Which?")
    assert "<title>Which?</title>" in (tmp_path / "r.html").read_text()
