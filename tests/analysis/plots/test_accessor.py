import inspect

import pytest

import perfkit as pk
from perfkit.analysis.plots import CHARTS, chart
from perfkit.analysis.plots.accessor import rows_for
from perfkit.analysis.plots.canvas import canvas
from perfkit.errors import UsageError
from tests.run_files import failure, request, write_run


@pytest.fixture
def runs(tmp_path):
    """Three runs of ten requests in one file, the last with a failure and two tags."""
    path = tmp_path / "runs.db"
    for users, name in ((1, "one"), (4, "four"), (16, "many")):
        rows = [request(i, i, ttft=0.1 * users + 0.01 * i) for i in range(10)]
        rows += [failure(10, 10)] if name == "many" else []
        write_run(
            path,
            [request(None, -1, phase="preflight"), *rows],
            name=name,
            parallel=users,
            tags={"gpu": "H100" if users > 1 else "A100"},
            arguments={"max_tokens": users * 10},
        )
    return pk.open(path)


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def colours(ax):
    """The colour of each entry of the legend, under its name without the number of requests."""
    legend = ax.get_legend()
    lines = zip(texts(ax), legend.get_lines(), strict=True)
    return {text.split(" (n=")[0]: line.get_color() for text, line in lines}


def beneath(ax):
    return " ".join(text.get_text() for text in ax.texts if text.get_gid() == "notes")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(name for name in CHARTS if CHARTS[name].needs == "requests"))
def test_a_chart_shows_the_same_whether_all_columns_are_loaded_or_its_own(runs, name):
    chart = CHARTS[name]
    few, all_ = rows_for(runs, chart, chart.metric), runs.requests
    assert len(few.columns) < len(all_.columns)
    assert chart.table(few, chart.metric).equals(chart.table(all_, chart.metric))


@pytest.mark.slow
def test_runs_are_drawn_without_their_preflight_requests(runs):
    assert texts(runs.plot.ecdf("ttft")) == ["one (n=10)", "four (n=10)", "many (n=10, 1 failed)"]


@pytest.mark.parametrize(
    "given", [{"by": ["gpu", "parallel"]}, {"metric": ["ttft", "e2e"]}, {"chart": "scatter", "x": ["e2e"]}]
)
def test_several_columns_or_metrics_at_once_are_refused_in_a_sentence(runs, given):
    with pytest.raises(UsageError, match="a chart takes one metric and one column, by name"):
        runs.plot(**{"chart": "hist"} | given)


@pytest.mark.slow
def test_a_run_keeps_its_colour_when_it_is_picked(runs):
    together, alone = runs.plot.ecdf(), runs.pick("many").plot.ecdf()
    colour = {
        text: line.get_color() for text, line in zip(texts(together), together.get_legend().get_lines(), strict=True)
    }
    assert alone.lines[0].get_color() == colour["many (n=10, 1 failed)"]


@pytest.mark.slow
def test_a_run_keeps_its_colour_under_another_name(runs):
    renamed = runs.rename(many="lots").pick("lots").plot.ecdf()
    assert renamed.lines[0].get_color() == runs.pick("many").plot.ecdf().lines[0].get_color()


@pytest.mark.slow
def test_tags_and_arguments_can_group(runs):
    assert texts(runs.plot.ecdf(by="gpu")) == ["A100 (n=10)", "H100 (n=20, 1 failed)"]
    assert texts(runs.plot.hist(by="max_tokens"))[0] == "10 (n=10)"


@pytest.mark.slow
def test_gaps_between_tokens_are_counted_as_gaps(runs):
    chart = runs.pick("one").plot.ecdf("itl")
    assert texts(chart) == ["one (n=20 gaps)"]
    assert chart.get_ylabel() == "share of gaps"
    assert texts(runs.pick("many").plot.hist("itl")) == ["many (n=20 gaps, 1 request failed)"]
    assert runs.plot.percentiles("itl").get_xlabel() == "percentile of gaps"


def test_a_filter_that_leaves_nothing_is_said_in_place_of_a_chart(runs):
    for name in ("ecdf", "over_time", "timeline", "raster"):
        with pytest.raises(UsageError, match="no request is left to draw: widen the filter"):
            runs.where("ttft > 999s").plot(name)


@pytest.mark.slow
def test_a_run_that_a_filter_leaves_nothing_of_is_named_beneath(runs):
    chart = runs.where("max_tokens = 10").plot.ecdf()
    assert "nothing is drawn of" in beneath(chart)
    assert "nothing is drawn of" not in beneath(runs.plot.ecdf())


@pytest.mark.slow
def test_a_run_has_one_colour_and_one_name_in_every_chart(tmp_path):
    for name, users in (("tp2", 1), ("tp2", 8), ("tp4", 1), ("tp4", 8)):
        rows = [request(i, i, ttft=0.01 * users + 0.001 * i) for i in range(20)]
        write_run(tmp_path / f"{name}-{users}.db", rows, name=name, parallel=users)
    renamed = pk.open(tmp_path).rename(tp4="four GPUs")
    assert renamed.labels[2:] == ["four GPUs parallel=1", "four GPUs parallel=8"]
    for runs in (renamed, renamed.pick("four*"), renamed.pick("*parallel=8")):
        of_run = colours(runs.plot.ecdf())
        for drawn in (runs.plot.sweep(percentiles=[50]), runs.plot.tradeoff()):
            for line, colour in colours(drawn).items():
                name = line.removesuffix("p50").strip()  # empty where one line stands for all
                assert colour == next(of_run[label] for label in of_run if label.startswith(name))
            assert not any("tp4" in line for line in texts(drawn))
    sides = renamed.compare("tp2", match=["parallel"]).plot()
    assert sides.get_xlabel() == "ratio of four GPUs to tp2"


@pytest.mark.slow
def test_a_filter_reaches_the_chart(runs):
    assert texts(runs.where("ttft > 1600ms").plot.ecdf()) == ["many (n=9)"]


def test_methods_have_the_signature_of_their_chart_without_the_requests(runs):
    assert list(inspect.signature(runs.plot.scatter).parameters) == ["metric", "by", "ax", "x"]
    assert "ecdf" in dir(runs.plot)


def test_an_unknown_method_names_the_charts(runs):
    with pytest.raises(AttributeError, match="box, ecdf"):
        runs.plot.pie("ttft")


@pytest.fixture
def dots():
    @chart("dots", metric="e2e")
    def dots(requests, metric="e2e", *, by="run", ax=None):
        """Draw a dot per request."""
        with canvas(ax) as ax:
            ax.plot(requests[metric], "o")
        return ax

    yield dots
    del CHARTS["dots"]


def test_a_chart_of_ones_own_appears_beside_the_others(runs, dots):
    assert "dots" in dir(runs.plot)
    assert runs.pick("one").plot.dots().lines[0].get_ydata()[0] == pytest.approx(0.6)
