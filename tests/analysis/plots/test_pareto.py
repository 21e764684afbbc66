"""The frontier, computed a second way, of 40 fixed loads of four deployments."""

import numpy as np
import pytest
from pandas import DataFrame, concat

import perfkit as pk
from perfkit.analysis.plots import pareto
from perfkit.analysis.plots.pareto import pareto_table
from perfkit.analysis.report.export import chosen_charts
from perfkit.errors import UsageError
from tests.run_files import request, write_run

GPUS = {"tp2": 2, "tp4": 4, "tp8": 8, "pd": 16}


def load(label, speed, tokens, *, users, ttft=0.1, name=None, repeats=1, **settings):
    """A run whose throughput is ``tokens`` a second and whose median TPOT is 1 / ``speed``."""
    runs = [
        DataFrame(
            {
                "run": f"{label} {repeat}" if repeats > 1 else label,
                "run_id": f"{label} {repeat}",
                "name": name or label,
                "phase": "steady",
                "parallel": users,
                "success": True,
                "start_time": [0.0, 1.0, 2.0, 3.0],
                "completed_time": [1.0, 2.0, 3.0, 4.0],
                "first_chunk_latency": ttft,
                "time_per_output_token": 1 / speed,
                "completion_tokens": tokens * (1 + 0.1 * repeat),
                **settings,
            }
        )
        for repeat in range(repeats)
    ]
    return concat(runs, ignore_index=True)


def study(deployments=tuple(GPUS), loads=10):
    """Loads of each deployment: faster for each user means less throughput, and some are badly configured."""
    rng = np.random.default_rng(7)
    parts = []
    for number, deployment in enumerate(deployments):
        for at in range(loads):
            users = 2**at
            speed = (160 - 20 * number) / (1 + users / 40) * rng.uniform(0.75, 1)
            tokens = users * speed * rng.uniform(0.5, 1)
            gpus = str(GPUS[deployment])
            parts.append(
                load(
                    f"{deployment} {users}",
                    speed,
                    tokens,
                    users=users,
                    name=deployment,
                    deployment=deployment,
                    gpus=gpus,
                )
            )
    return concat(parts, ignore_index=True)


def swept(points):
    """Go from the fastest load to the slowest: on the frontier is whatever has more throughput than all before."""
    best, kept = -1.0, set()
    for row in points.sort_values(["x", "y"], ascending=False).itertuples():
        if row.y > best:
            best = row.y
            kept.add(row.run)
    return kept


@pytest.fixture(scope="module")
def forty():
    return study()


def test_the_frontier_of_forty_points_is_that_of_a_sweep_from_the_fastest(forty):
    table = pareto_table(forty, by="deployment")
    assert len(table) == 40
    for deployment, points in table.groupby("group"):
        frontier = set(points.loc[points["frontier"], "run"])
        assert frontier == swept(points), deployment
        assert 2 <= len(frontier) < 10


def test_a_dominated_point_names_one_that_is_at_least_as_good_in_both(forty):
    table = pareto_table(forty, by=None).set_index("run")
    pale = table[~table["frontier"]]
    assert len(pale) > 20
    for _, point in pale.iterrows():
        other = table.loc[point["dominated_by"]]
        gains = other[["x", "y"]] - point[["x", "y"]]
        assert gains.min() >= 0
        assert gains.max() > 0


def test_the_quantities_are_those_of_the_run():
    table = pareto_table(load("a", 50, 800, users=8, gpus="4"))
    assert table[["x", "y"]].to_numpy().tolist() == [[pytest.approx(50), pytest.approx(200)]]
    assert table["load"].tolist() == ["8 users"]


def test_less_is_better_for_costs_and_latencies():
    runs = concat(
        [
            load("cheap", 20, 1000, users=64, gpus="8", price="2", ttft=0.9),
            load("fast", 60, 100, users=1, gpus="8", price="2", ttft=0.1),
            load("neither", 60, 90, users=2, gpus="8", price="2", ttft=0.2),
        ],
        ignore_index=True,
    ).assign(name="tp8")
    table = pareto_table(runs, x="p95 ttft", y="cost_per_million_output_tokens").set_index("run")
    assert table["frontier"].to_dict() == {"cheap": True, "fast": True, "neither": False}
    assert table.loc["cheap", "y"] == pytest.approx(16 / 3600 / 1000 * 1e6)


def test_repeats_of_a_load_are_one_point_with_an_interval_between_runs():
    table = pareto_table(load("a", 50, 800, users=8, repeats=3, gpus="4", name="a"))
    assert table["run"].tolist() == ["a 0, a 1, a 2"]
    point = table.iloc[0]
    values = np.array([200, 220, 240])
    assert point["y"] == pytest.approx(np.exp(np.log(values).mean()))
    reach = 4.302653 * np.log(values).std(ddof=1) / np.sqrt(3)  # Student's t, two degrees of freedom
    assert point["y_high"] / point["y"] == pytest.approx(np.exp(reach), rel=1e-5)


def test_a_load_that_misses_an_objective_neither_is_on_the_frontier_nor_beats_others():
    runs = concat(
        [load("late", 50, 900, users=64, ttft=2.0, gpus="4"), load("good", 40, 500, users=32, gpus="4")],
        ignore_index=True,
    ).assign(name="tp4")
    assert pareto_table(runs).set_index("run")["frontier"].to_dict() == {"late": True, "good": False}
    table = pareto_table(runs, slo={"p95 ttft": "500ms", "interactivity": 30}).set_index("run")
    assert table["frontier"].to_dict() == {"late": False, "good": True}
    assert table.loc["late", "misses"] == "ttft_p95"


def test_equal_loads_are_both_on_the_frontier():
    runs = concat([load(name, 50, 400, users=8, gpus="2", copy=name) for name in "ab"], ignore_index=True)
    assert pareto_table(runs, by=None)["frontier"].tolist() == [True, True]


def drawn(ax, gid):
    return sum(len(line.get_xdata()) for line in ax.lines if line.get_gid() == gid)


def test_the_picture_shows_each_point_once_and_the_frontier_as_steps(forty):
    table = pareto_table(forty, by="deployment")
    ax = pareto(forty, by="deployment")
    assert drawn(ax, "on frontier") == table["frontier"].sum()
    assert drawn(ax, "dominated") == (~table["frontier"]).sum()
    lines = [line for line in ax.lines if line.get_gid() == "frontier"]
    assert [line.get_drawstyle() for line in lines] == ["steps-pre"] * 4
    assert ax.get_ylabel() == "throughput per GPU [tokens/s/GPU]"
    faster = pareto(forty, by="deployment", x="tpot_p50")
    assert {line.get_drawstyle() for line in faster.lines if line.get_gid() == "frontier"} == {"steps-post"}


def test_the_area_that_an_objective_rules_out_is_grey(forty):
    ax = pareto(forty, by="deployment", slo={"interactivity": 40})
    (area,) = [patch for patch in ax.patches if patch.get_gid() == "slo"]
    assert area.get_x() + area.get_width() == pytest.approx(40)
    assert drawn(ax, "misses") == (pareto_table(forty, by="deployment")["x"] < 40).sum()


def notes(ax):
    return next(text.get_text() for text in ax.texts if text.get_gid() == "notes").replace("\n", " ")


def test_without_gpus_it_draws_the_whole_throughput_and_says_so(forty):
    untagged = forty.drop(columns="gpus")
    ax = pareto(untagged, by="deployment")
    assert ax.get_ylabel() == "output throughput [tokens/s]"
    assert "no run has the tag gpus" in notes(ax)
    with pytest.raises(UsageError, match=r'need the tag gpus: runs.tag\(gpus="…"\); or take y='):
        pareto(untagged, y="throughput_per_gpu")


def test_loads_without_one_of_the_quantities_are_counted_beneath(forty):
    some = forty.assign(gpus=forty["gpus"].where(forty["deployment"] != "pd"))
    ax = pareto(some, by="deployment")
    assert "left out: 10 loads without throughput_per_gpu" in notes(ax)
    assert drawn(ax, "on frontier") + drawn(ax, "dominated") == 30


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"x": "concurrency"}, "concurrency is neither"),
        ({"x": "nothing"}, "no quantity is called 'nothing'"),
        ({"slo": "ttft < 500ms"}, "such as 'p95 ttft < 500ms'"),
        ({"slo": {"interactivity": "fast"}}, "is a number above 0, in tokens/s/user"),
    ],
)
def test_what_cannot_be_drawn_is_refused(forty, given, said):
    with pytest.raises(UsageError, match=said):
        pareto(forty, **given)


@pytest.fixture
def tagged(tmp_path):
    """Two loads of a deployment of two GPUs, answers of 3 tokens: 1.0 s for one user, 2.0 s for four."""
    for users, step in ((1, 0.25), (4, 0.75)):
        answers = [request(seq, seq // users * (0.5 + 2 * step), gaps=[step, step]) for seq in range(20 * users)]
        write_run(tmp_path / "a.db", answers, name="tp2", run_id=f"run{users}", parallel=users, tags={"gpus": "2"})
    return pk.open(tmp_path / "a.db")


def test_runs_give_the_table_of_the_frontier_by_name(tagged):
    table = tagged.pareto()
    assert table["run"].tolist() == ["tp2 parallel=1", "tp2 parallel=4"]
    assert table["x"].tolist() == [pytest.approx(4), pytest.approx(1 / 0.75)]
    assert table["y"].tolist() == [pytest.approx(3 / 1.0 / 2), pytest.approx(4 * 3 / 2.0 / 2)]
    assert tagged.plot.pareto().has_data()
    assert tagged.pareto(slo={"interactivity": 2}, dominated=True)["misses"].tolist() == ["", "interactivity"]


def test_it_is_in_the_report_of_runs_of_several_loads(tagged):
    assert "pareto" in {chart.name for chart, _ in chosen_charts(tagged, None)}
    assert "pareto" not in {chart.name for chart, _ in chosen_charts(tagged[0], None)}
