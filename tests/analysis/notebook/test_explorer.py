import io
import random
import shutil
import threading
from html import escape

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import perfkit as pk
from perfkit.analysis.notebook.explorer import explore
from perfkit.analysis.notebook.explorer.chart_tab import possible
from perfkit.analysis.notebook.explorer.state import TABS, State, read_state
from perfkit.analysis.plots import CHARTS, render
from perfkit.errors import UsageError
from tests.published import publish
from tests.run_files import failure, request, write_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two runs of 20 and 21 requests; the second has a failure and a name that is HTML."""
    path = tmp_path_factory.mktemp("runs") / "runs.db"
    write_run(
        path, [request(i, i, ttft=0.1 + 0.01 * i, prompt_tokens=10 + i) for i in range(20)], name="tp2", parallel=1
    )
    slow = [*(request(i, i, ttft=0.5 + 0.1 * i) for i in range(20)), failure(20, 20)]
    write_run(path, slow, name="<b>tp4</b>", parallel=8, tags={"gpu": "H100"})
    return path


@pytest.fixture(scope="module")
def shared(file):
    return explore(pk.open(file))


@pytest.fixture
def panel(shared):
    """The explorer as it opens: the next test finds it so again."""
    shared.bench.change(**vars(State()))
    return shared


def chart(panel):
    return panel.tabs["chart"]


def set_to(panel, **values):
    for name, value in values.items():
        chart(panel).controls[name].value = value


def sent(widget, **message):
    """Have the kernel hear what the browser sends."""
    widget._handle_custom_msg(message, [])


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)))


# The chart -----------------------------------------------------------------------------------------------------------


def test_it_opens_with_a_chart_drawn(panel):
    assert bytes(chart(panel).picture.png).startswith(b"\x89PNG")
    assert panel.state == State()
    assert panel.code == 'runs.plot.ecdf("ttft")'
    assert panel.line.value == panel.code


def test_every_chart_can_be_chosen(panel):
    for name in sorted(CHARTS):
        set_to(panel, chart=name)
        assert chart(panel).trouble.value == ""
        assert panel.state.chart == name


def test_the_code_of_random_states_gives_the_same_picture(panel):
    runs, some = panel.bench.runs, random.Random(7)
    for _ in range(5):
        metric = some.choice(["ttft", "tpot", "e2e", "itl", "output_throughput", "prompt_tokens"])
        panel.bench.change(
            runs=some.choice([(), ("tp2",), ("<b>tp4</b>", "tp2")]),
            hidden=(),
            where=some.choice(["", "", "phase = 'steady'", "seq < 15"]),
            warmup=some.choice(["", "10%", "2s"]),
            renamed=some.choice([(), (("tp2", "two $GPUs"),)]),
            metric=metric,
            chart=some.choice(
                [each for each in possible(runs, metric) if (each, metric) != ("scatter", "prompt_tokens")]
            ),
            by=some.choice(["run", "run", "parallel", "gpu"]),
            options=(),
        )
        if panel.state.chart == "raster" or panel.state.runs == ("tp2",):
            panel.bench.change(by="run")
        assert chart(panel).trouble.value == "", panel.code
        pasted = eval(panel.code, {"runs": runs})
        assert (pixels(render(pasted, "png", dpi=200)) == pixels(chart(panel).picture.png)).all(), panel.code
        code = panel.code
        again = read_state(code)
        assert again.spelled(runs) + again.plotted == code


def test_impossible_pairs_are_not_offered(panel):
    set_to(panel, metric="output_throughput")
    offered = chart(panel).controls["chart"].options
    assert {"sweep", "over_time", "ecdf", "hist", "percentiles", "box", "shift"} <= set(offered)
    assert {"scatter", "tradeoff", "heatmap", "goodput"} & set(offered) == set()
    assert {"ecdf", "over_time", "sweep"} & set(possible(panel.bench.runs, "success_rate")) == {"sweep"}
    assert {"scatter", "goodput"} & set(possible(panel.bench.runs, "itl")) == set()


def test_options_of_a_chart_are_written_as_in_code(panel):
    set_to(panel, chart="sweep", options="percentiles=[50]")
    assert panel.code == 'runs.plot.sweep("ttft", percentiles=[50])'
    set_to(panel, options="percentiles=[")
    assert "written as in code" in chart(panel).trouble.value


def test_the_slider_filters(panel):
    stops = [stop for _, stop in chart(panel).controls["within"].options]
    set_to(panel, within=(stops[0], stops[30]))
    assert panel.state.condition == f"e2e <= {stops[30] * 1e3:.7g}ms"
    set_to(panel, where="seq > 3")
    assert panel.state.condition == f"(seq > 3) and e2e <= {stops[30] * 1e3:.7g}ms"
    set_to(panel, within=(stops[0], stops[-1]))
    assert panel.state.condition == "seq > 3"


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("<img src=x> > 1", "where"),
        ("tfft > 1", "did you mean"),
        ("ttft > 9999s", "no request is left"),
    ],
)
def test_a_filter_that_shows_nothing_is_one_escaped_sentence_in_place_of_the_picture(panel, where, said):
    before = chart(panel).picture.png
    set_to(panel, where=where)
    assert said in chart(panel).trouble.value
    assert "<img" not in chart(panel).trouble.value
    assert chart(panel).picture.png == b""
    set_to(panel, where="")
    assert (chart(panel).trouble.value, chart(panel).picture.png) == ("", before)


def test_groupings_are_columns_of_a_few_values(panel):
    options = set(chart(panel).controls["by"].options)
    assert {"run", "parallel", "gpu"} <= options
    assert {"start_time", "seq", "ttft"} & options == set()


def test_a_drag_over_the_servers_panels_picks_nothing(tmp_path):
    path = write_run(tmp_path / "a.db", [request(i, i, ttft=0.1 + 0.01 * i) for i in range(20)])
    publish(path, *((float(at), f"# TYPE tgi_queue_size gauge\ntgi_queue_size {at}\n") for at in range(20)))
    panel = explore(pk.open(path))
    set_to(panel, chart="over_time", metric="ttft")
    picture = chart(panel).picture
    width, height = picture.size
    sent(picture, kind="drag", box=[0, height - 150, width, height - 120])
    assert panel.state.picked == ""
    sent(picture, kind="drag", box=[0, 0, width, height - 120])
    assert panel.state.picked != ""


def test_a_click_on_a_request_shows_it_and_a_drag_picks_those_within(panel):
    picture = chart(panel).picture
    places = np.frombuffer(bytes(picture.targets), dtype="<u2").reshape(-1, 2)
    sent(picture, kind="click", at=int(places[:, 0].argmin()))
    assert panel.state.request == ("tp2", 0)
    assert len(picture.marks) == 1
    assert picture.said.startswith("tp2 #0\nttft 100 ms")
    sent(picture, kind="step", step=1)
    assert panel.state.request == ("tp2", 1)
    sent(picture, kind="drag", box=[0, 0, 1440, 840])
    index = panel.bench.runs.where(panel.state.picked).column("seq").index
    assert len(index) == 40 == len(panel.bench.picked)
    sent(picture, kind="clear")
    assert (panel.state.picked, panel.state.request, picture.marks) == ("", None, [])


def test_the_pointer_is_told_of_the_request_beneath_it(panel, monkeypatch):
    told = []
    picture = chart(panel).picture
    monkeypatch.setattr(picture, "send", lambda message: told.append(message["text"]))
    places = np.frombuffer(bytes(picture.targets), dtype="<u2").reshape(-1, 2)
    sent(picture, kind="hover", at=int(places[:, 0].argmax()))
    sent(picture, kind="hover", at=10**6)
    assert [text.splitlines()[0] for text in told] == ["<b>tp4</b> #19"]


def test_a_click_on_the_legend_hides_a_run_which_a_button_shows_again(panel):
    picture = chart(panel).picture
    assert [entry["name"] for entry in picture.legend] == ["tp2", "<b>tp4</b>"]
    for entry in picture.legend:
        x0, y0, x1, y1 = entry["box"]
        assert 0 <= x0 < x1 <= 1440
        assert 0 <= y0 < y1 <= 840
    sent(picture, kind="hide", name="<b>tp4</b>")
    assert panel.code == 'runs.pick("tp2").plot.ecdf("ttft")'
    (button,) = chart(panel).hidden.children
    button.click()
    assert panel.code == 'runs.plot.ecdf("ttft")'


def test_changes_from_several_threads_leave_the_last_picture(panel, file):
    threads = [
        threading.Thread(target=lambda metric=metric: panel.bench.change(metric=metric))
        for metric in ("tpot", "e2e", "lag")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert chart(panel).trouble.value == ""
    expected = explore(pk.open(file))
    expected.bench.change(metric=panel.state.metric)
    assert chart(panel).picture.png == chart(expected).picture.png


def test_answers_in_one_piece_start_with_their_latency(tmp_path):
    path = write_run(tmp_path / "whole.db", [request(i, i, ttft=None, gaps=(), tail=1.0) for i in range(3)])
    assert explore(path).state.metric == "e2e"


# The line of code ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", TABS)
def test_the_code_of_every_tab_restores_it(panel, tab):
    panel.bench.change(tab=tab, runs=("tp2", "<b>tp4</b>"), where="seq >= 0", baseline="tp2", picked="seq < 5")
    code = panel.code
    panel.bench.change(tab="runs", runs=(), where="", picked="", metric="e2e")
    panel.restore(code)
    assert (panel.state.tab, panel.code) == (tab, code)


def test_a_line_is_typed_and_its_mistake_said(panel):
    panel.line.value = 'runs.pick("tp2").plot.hist("tpot")'
    assert (panel.state.chart, panel.state.metric, panel.state.runs) == ("hist", "tpot", ("tp2",))
    panel.line.value = "runs.nonsense()"
    assert "the explorer has nothing for .nonsense()" in panel.trouble.value


@pytest.mark.parametrize(
    "code", ["__import__('os').system('true')", "runs.pick(open('x'))", "1 +", "runs.plot.nochart()"]
)
def test_code_is_read_and_never_run(code):
    with pytest.raises(UsageError):
        read_state(code)


def test_what_was_opened_is_part_of_the_code(file):
    assert explore(file).code == f'pk.open("{file}").plot.ecdf("ttft")'
    assert explore([file], 'runs.plot.hist("e2e")').code == f'pk.open("{file}").plot.hist("e2e")'


def test_without_a_source_the_outputs_are_opened(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert explore().code == 'pk.open(".").plot.ecdf("ttft")'


def test_files_that_could_not_be_opened_are_named(file, tmp_path):
    torn = tmp_path / "<torn>.db"
    torn.write_bytes(b"x" * 200)
    panel = explore([file, torn])
    assert "&lt;torn&gt;.db is not a SQLite file" in panel.unread.value
    assert panel.unread in panel.children


def test_a_page_without_widgets_has_the_picture(panel):
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == panel.code
    assert bundle["image/png"].startswith("iVBOR")


# The tables ----------------------------------------------------------------------------------------------------------


def test_runs_are_searched_and_marked(panel):
    panel.bench.change(tab="runs")
    tab = panel.tabs["runs"]
    sent(tab.grid, kind="search", text="gpu=h100")
    assert tab.grid.found == ["<b>tp4</b>"]
    tab._all()
    assert panel.code == 'runs.pick("<b>tp4</b>").table'
    assert {name: field.value for name, field in tab.fields.items()} == {
        "name": "<b>tp4</b>", "tags": "gpu=H100", "note": ""
    }  # fmt: skip
    sent(tab.grid, kind="search", text="")


@pytest.mark.parametrize("opened", [True, False], ids=["a path", "runs"])
def test_what_is_written_about_runs_in_the_explorer_lasts(file, tmp_path, opened):
    path = shutil.copy(file, tmp_path)
    panel = explore(path if opened else pk.open(path))
    panel.bench.change(tab="runs", runs=("<b>tp4</b>",))
    tab = panel.tabs["runs"]
    for name, text in {"name": "four GPUs", "tags": "host='rack 4'", "note": "<i>"}.items():
        tab.fields[name].value = text
    tab.keep.click()
    given = """annotate("<b>tp4</b>", name="four GPUs", tags={'gpu': None, 'host': 'rack 4'}, note="<i>")"""
    assert tab.trouble.value.endswith(f"kept; in code: {escape(shown(panel, path))}.{escape(given)}</span>")
    assert panel.state.runs == ("four GPUs",)
    tab.remove.click()
    (other,) = pk.open(path)
    assert (other.labels, panel.bench.runs.labels, panel.state.runs) == (["tp2"], ["tp2"], ())
    assert tab.removed.options == ("four GPUs",)
    tab.restore.click()
    assert tab.gone.layout.display == "none"
    assert pk.open(path)["four*"].table[["host", "note"]].to_dict("records") == [{"host": "rack 4", "note": "<i>"}]
    assert "four GPUs" in panel.bench.runs.labels


def shown(panel, path):
    return f'pk.open("{path}")' if panel.bench.is_reopened else "runs = runs"


def test_what_cannot_be_written_about_runs_is_said_in_the_explorer(panel):
    panel.bench.change(tab="runs", runs=())
    tab = panel.tabs["runs"]
    for button, said in ((tab.keep, "nothing is changed"), (tab.remove, "mark the runs")):
        button.click()
        assert said in tab.trouble.value
    tab.fields["tags"].value = "gpu"
    tab.keep.click()
    assert "a tag is written gpu=A100" in tab.trouble.value
    tab.fields["tags"].value = ""


def test_files_of_which_every_run_was_removed_are_shown(file, tmp_path):
    path = shutil.copy(file, tmp_path)
    pk.open(path).annotate(removed=True)
    panel = explore(path)
    for name in TABS:
        panel.bench.change(tab=name)
    panel.bench.change(tab="runs")
    panel.tabs["runs"].restore.click()
    assert panel.bench.runs.labels == ["tp2"]


def test_runs_that_came_since_are_there_after_a_reload(tmp_path):
    write_run(tmp_path / "a.db", [request(i, i) for i in range(9)], name="tp8")
    panel = explore(tmp_path)
    write_run(tmp_path / "newest.db", [request(0, 0)], name="tp16")
    panel.bench.reload()
    assert panel.bench.runs.labels == ["tp8", "tp16"]
    assert [entry["name"] for entry in chart(panel).picture.legend] == ["tp8", "tp16"]


def test_requests_are_sorted_and_one_is_read_whole(panel):
    panel.bench.change(tab="requests", picked="success = 0 or ttft > 2s")
    tab = panel.tabs["requests"]
    places = list(tab.grid._columns)
    sent(tab.grid, kind="sort", at=places.index("ttft"))
    assert [row["cells"][places.index("seq")] for row in tab.grid.view["rows"]] == ["16", "17", "18", "19", "20"]
    sent(tab.grid, kind="pick", key=tab.grid.view["rows"][-1]["key"], add=False)
    assert panel.state.request == ("<b>tp4</b>", 20)
    assert "boom" in tab.detail.value
    assert "&lt;b&gt;tp4&lt;/b&gt; #20" in tab.detail.value
    pasted = eval(panel.code, {"runs": panel.bench.runs})
    assert isinstance(pasted, pd.DataFrame)
    assert pasted["seq"].tolist() == [20]


def test_requests_know_what_was_in_flight_beside_them(panel):
    panel.bench.change(tab="requests", request=("<b>tp4</b>", 19))
    # Sent at 19 s; that of 17 s lasts 2.7 s, that of 18 s 2.8 s, both beyond; the failed one is sent at 20 s.
    assert "in flight when it was sent: 2<" in panel.tabs["requests"].detail.value
    assert "prompt 19" in panel.tabs["requests"].detail.value


def test_a_table_of_many_rows_is_paged_and_searched_in_the_kernel(panel):
    from perfkit.analysis.notebook.explorer.grid import Column, Grid

    grid, frame = Grid(lambda labels: None), pd.DataFrame({"n": np.arange(100_000), "name": "x"})
    grid.fill(frame, {"n": Column("n"), "name": Column("name")}, [])
    assert len(grid.view["rows"]) == 12
    assert grid.view["said"] == "100,000 rows, page 1 of 8,334"
    sent(grid, kind="search", text="99999")
    assert [row["cells"] for row in grid.view["rows"]] == [["99,999", "x"]]
    grid.select([99_999])
    assert grid.view["rows"][0]["on"]


@pytest.mark.parametrize(
    ("tab", "said"),
    [
        ("summary", "time to first token"),
        ("failures", "http_status"),
        ("lens", "vllm"),
        ("compare", "no run is comparable"),
    ],
)
def test_the_other_tabs_show_what_their_code_gives(panel, tab, said):
    panel.bench.change(tab=tab)
    shown = panel.tabs[tab]
    assert said in shown.table.value + shown.trouble.value
    assert "<b>tp4" not in shown.table.value + shown.trouble.value


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Three engines at two loads, each half as fast as the one before."""
    path = tmp_path_factory.mktemp("engines") / "runs.db"
    for number, gpu in enumerate(("B200", "H100", "A100")):
        for users in (1, 8):
            rows = [request(i, i, ttft=0.1 * 2**number + 0.001 * i) for i in range(60)]
            write_run(path, rows, name=f"on {gpu}", parallel=users, tags={"gpu": gpu}, run_id=f"{gpu}-{users}")
    return pk.open(path)


def compared(panel):
    """What the tab shows, and what its code gives."""
    tab, found = panel.tabs["compare"], eval(panel.code, {"runs": panel.bench.runs})
    assert tab.trouble.value == ""
    assert tab.table.value == found._repr_html_()
    assert (pixels(tab.picture.value) == pixels(render(found.plot(), "png", dpi=120))).all()
    return panel.code


def test_a_baseline_is_compared_with_all_sides_or_with_candidates(engines):
    panel = explore(engines)
    panel.bench.change(tab="compare", baseline="on H100")
    assert compared(panel) == 'runs.compare("on H100")'
    tab = panel.tabs["compare"]
    assert tab.controls["candidates"].options == ("on B200", "on A100")
    tab.controls["candidates"].value = ("on A100",)
    assert compared(panel) == 'runs.pick(name=["on H100", "on A100"]).compare("on H100")'
    tab.controls["sides"].value = "gpu"
    tab.controls["baseline"].value = "H100"
    tab.controls["candidates"].value = ("B200",)
    assert compared(panel) == 'runs.pick(gpu=["H100", "B200"]).compare("H100", by="gpu")'
    tab.controls["candidates"].value = ("B200", "A100")
    assert compared(panel) == 'runs.compare("H100", by="gpu")'


def test_candidates_are_restored_from_their_code(engines):
    panel = explore(engines, 'runs.where("seq > 4").pick(gpu=["H100", "B200"]).compare("H100", by="gpu")')
    assert panel.tabs["compare"].controls["candidates"].value == ("B200",)
    assert compared(panel) == 'runs.where("seq > 4").pick(gpu=["H100", "B200"]).compare("H100", by="gpu")'
    one = 'runs.pick("on A100 parallel=1", "on A100 parallel=8")'
    panel.restore(f'{one}.pick("on A100 parallel=1", "on A100 parallel=8").compare("on A100 parallel=1")')
    assert panel.state.candidates == ("on A100 parallel=8",)
    with pytest.raises(UsageError, match="picks runs by their labels"):
        panel.restore('runs.pick(gpu="H100").plot.ecdf("ttft")')


def test_a_comparison_that_one_comes_back_to_has_its_own_chart(engines):
    panel = explore(engines)
    for baseline in ("on H100", "on A100", "on H100"):
        panel.bench.change(tab="compare", baseline=baseline)
        compared(panel)
    panel.bench.change(runs=("on H100 parallel=1",))
    assert "only one side" in panel.tabs["compare"].trouble.value
    assert panel.tabs["compare"].picture.layout.display == "none"
    panel.bench.change(runs=())
    compared(panel)
    assert panel.tabs["compare"].picture.layout.display is None


def test_a_chart_is_exported_and_offered(panel, tmp_path):
    panel.bench.change(tab="export")
    tab = panel.tabs["export"]
    tab.controls["folder"].value = str(tmp_path / "out")
    tab.controls["width"].value = "89mm"
    tab.controls["formats"].value = ("pdf",)
    tab.write()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ecdf-ttft.pdf"]
    assert 'download="ecdf-ttft.pdf"' in tab.written.value
    assert panel.code == f'runs.export("{tmp_path / "out"}", ["ecdf:ttft"], width="89mm", formats=["pdf"])'
