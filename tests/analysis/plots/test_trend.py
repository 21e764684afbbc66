"""Series over nights and commits: points by hand, levels and changes as ``stats.changes`` finds them."""

import json

import numpy as np
import pytest

import perfkit as pk
from perfkit.analysis.plots.trend import trend_table
from perfkit.cli import main
from perfkit.errors import UsageError
from tests.run_files import START, request, write_run

DAY = 86_400
NOON = START - START % DAY + DAY / 2


def nights(path, ttfts, *, name="nightly", users=8, runs=1, **tags):
    """A file with a run a night, whose requests all have the same TTFT; of several runs a night, a tenth apart."""
    for night, ttft in enumerate(ttfts):
        for number in range(runs):
            origin = NOON + night * DAY + number * 60
            first = ttft * (1 + 0.1 * number)
            rows = [request(seq, 2 * seq, ttft=first, gaps=[0.02] * 4, origin=origin) for seq in range(12)]
            run_id = f"{name}{users}-{night}-{number}"
            told = {**tags, "commit": f"c{night % 100:02}"}
            write_run(path, rows, name=name, run_id=run_id, start_time=origin, parallel=users, tags=told)
    return pk.open(path)


STEP = [0.1, 0.102, 0.099, 0.1, 0.101, 0.099, 0.12, 0.121, 0.119, 0.12, 0.122, 0.12]


def notes(ax):
    return next(text.get_text() for text in ax.texts if text.get_gid() == "notes").replace("\n", " ")


def test_a_point_is_the_quantity_of_the_runs_of_a_night(tmp_path):
    table = nights(tmp_path / "a.db", [0.1, 0.2], runs=2).trend("p50 ttft").table
    assert table["runs"].tolist() == [2, 2]
    assert table["value"].tolist() == pytest.approx([np.sqrt(0.1 * 0.11), np.sqrt(0.2 * 0.22)])
    assert table["requests"].tolist() == [24, 24]
    days = table["point"].tolist()
    assert np.datetime64(days[1]) - np.datetime64(days[0]) == np.timedelta64(1, "D")


def test_a_step_is_named_with_its_night_size_and_direction(tmp_path):
    found = nights(tmp_path / "a.db", STEP).trend("p50 ttft")
    (change,) = found.changes.to_dict("records")
    assert change["point"] == found.table["point"][6]
    assert change["change"] == pytest.approx(0.12033 / 0.10016, rel=1e-3)
    (sentence,) = found.sentences
    assert sentence.startswith(f"nightly: p50 TTFT +20 % (+19 % to +22 %) from {change['point']} on, worse (p = ")
    assert found.table["level"].nunique() == 2


def test_a_scatter_that_explains_it_shows_no_change_and_says_how_large_it_is(tmp_path):
    found = nights(tmp_path / "a.db", [0.1, 0.11, 0.095, 0.104, 0.099, 0.108, 0.097, 0.103]).trend("p50 ttft")
    assert found.changes.empty
    assert found.sentences == [
        "nightly: no change of p50 TTFT shown in 8 nights: points differ by 5.1% around their level"
    ]


def test_fewer_than_eight_nights_show_none_however_clear(tmp_path):
    found = nights(tmp_path / "a.db", [0.1] * 3 + [0.5] * 4).trend("p50 ttft")
    assert found.sentences == ["nightly: no change of p50 TTFT shown: 7 nights, and fewer than 8 cannot show one"]
    assert "fewer than 8 nights" in notes(found.plot())


def test_commits_come_in_the_order_of_their_first_runs(tmp_path):
    for place, commit in enumerate(("fff", "0a1", "b22")):
        origin = NOON + place * DAY
        rows = [request(seq, seq, origin=origin) for seq in range(5)]
        write_run(tmp_path / "a.db", rows, run_id=commit, start_time=origin, tags={"commit": commit})
    runs = pk.open(tmp_path / "a.db")
    assert runs.trend(over="commit").table["point"].tolist() == ["fff", "0a1", "b22"]
    labels = [label.get_text() for label in runs.plot.trend(over="commit").get_xticklabels()]
    assert labels == ["fff", "0a1", "b22"]


def test_each_deployment_and_load_is_a_series_and_p_is_corrected_for_their_number(tmp_path):
    alone = nights(tmp_path / "a.db", STEP).trend("p50 ttft").changes["p"].iloc[0]
    nights(tmp_path / "a.db", [0.1] * 11 + [0.1001], name="other")
    runs = nights(tmp_path / "a.db", STEP, users=16)
    found = runs.trend("p50 ttft")
    assert found.table["group"].unique().tolist() == ["nightly, 8 users", "other, 8 users", "nightly, 16 users"]
    assert found.changes["group"].tolist() == ["nightly, 8 users", "nightly, 16 users"]
    assert found.changes["p"].iloc[0] > alone
    assert runs.trend("p50 ttft", by="model").table["group"].unique().tolist() == ["m, 8 users", "m, 16 users"]


def test_the_picture_has_the_points_levels_and_changes(tmp_path):
    ax = nights(tmp_path / "a.db", STEP).plot.trend("ttft", percentile=50)
    assert ax.get_ylabel() == "p50 time to first token [ms]"
    drawn = {gid: [line for line in ax.lines if line.get_gid() == gid] for gid in ("points", "level", "change")}
    assert sum(len(line.get_xdata()) for line in drawn["points"]) == 12
    assert [round(float(line.get_ydata()[0])) for line in drawn["level"]] == [100, 120]
    assert len(drawn["change"]) == 1
    assert "+20 %" in [text.get_text() for text in ax.texts]


def test_rates_are_followed_too(tmp_path):
    found = nights(tmp_path / "a.db", [0.1] * 9).trend("output_throughput")
    assert found.table["value"].tolist() == pytest.approx([2.5] * 9)  # 5 tokens every 2 s
    assert "no change of output throughput shown" in found.sentences[0]


def test_runs_without_the_tag_are_counted_beneath(tmp_path):
    nights(tmp_path / "a.db", [0.1] * 3)
    write_run(tmp_path / "a.db", [request(0)], run_id="none", name="nightly", parallel=8, start_time=NOON)
    ax = pk.open(tmp_path / "a.db").plot.trend(over="commit")
    assert "left out: 1 run without commit" in notes(ax)


def test_what_cannot_be_followed_is_refused(tmp_path):
    runs = nights(tmp_path / "a.db", [0.1] * 2)
    with pytest.raises(UsageError, match="no column 'comit'; did you mean 'commit'"):
        runs.trend(over="comit")
    with pytest.raises(UsageError, match="no quantity is called 'speed'"):
        runs.trend("speed")
    table = trend_table(runs.requests.assign(success=1, started=np.nan))
    assert table.empty


def test_summaries_are_followed_beside_runs_and_by_their_dates(tmp_path):
    sweep = {
        "date": "20260818-021333",
        "endpoint_type": "vllm",
        "backend": "vllm",
        "model_id": "m",
        "tokenizer_id": "m",
    }
    for night in range(9):
        told = sweep | {"date": f"202608{night + 1:02}-120000", "duration": 10.0, "completed": 8, "max_concurrency": 2}
        told |= {"num_prompts": 8, "median_ttft_ms": 100.0 + night % 2, "label": "nightly"}
        (tmp_path / f"{night}.json").write_text(json.dumps(told))
    found = pk.open(tmp_path).trend("p50 ttft")
    assert found.table["value"].tolist() == pytest.approx([0.1, 0.101] * 4 + [0.1])
    assert set(found.table["mark"]) == {"summary"}
    assert "no change of p50 TTFT shown in 9 nights" in found.sentences[0]


def test_the_command_prints_sentences_and_table_or_json(tmp_path, capsys):
    nights(tmp_path / "a.db", STEP)
    assert main(["trend", str(tmp_path / "a.db"), "--metric", "p50 ttft", "--over", "commit"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("nightly: p50 TTFT +20 %")
    assert "from c06 on" in printed
    assert main(["trend", str(tmp_path / "a.db"), "--metric", "ttft", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["quantity"], len(told["table"])) == ("ttft_p95", 12)
    assert main(["trend", str(tmp_path / "a.db"), "--over", "comit"]) == 2
