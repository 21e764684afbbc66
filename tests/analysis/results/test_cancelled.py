"""Cancelled requests are counted apart: neither answers nor failures."""

import pytest

import perfkit as pk
from tests.published import publish
from tests.run_files import failure, request, write_run


def gone(seq, at, lasted=1.0):
    """Return a request whose client left after a while."""
    return failure(seq, at, lasted=lasted, kind="cancelled", status_code=200)


@pytest.fixture
def runs(tmp_path):
    """Return a run of 8 requests: 5 answers, 2 whose clients left, 1 failure."""
    rows = [request(seq, float(seq)) for seq in range(5)]
    rows += [gone(5, 5.0), gone(6, 6.0), failure(7, 7.0)]
    return pk.open(write_run(tmp_path / "a.db", rows, sent=8, succeeded=5, failed=1, cancelled=2))


def test_the_summary_counts_them_beside_the_failures(runs):
    summary = runs.summary()
    assert summary.rates[["requests", "failed", "cancelled", "cut_off"]].iloc[0].tolist() == [8, 1, 2, 0]
    assert summary.head == "1 run, 8 requests, 1 failed, 2 cancelled by their clients"
    assert runs.failures().set_index("outcome")["count"].to_dict() == {"failed": 1, "cancelled": 2}
    assert runs.table[["failed", "cancelled", "cut_off"]].iloc[0].tolist() == [1, 2, 0]
    assert runs.show("failed", 9).frame["seq"].tolist() == [7]


def test_the_success_rate_leaves_them_out(runs):
    assert runs.summary().rates["success_rate"].iloc[0] == pytest.approx(5 / 6)


def test_they_are_in_flight_until_they_leave(tmp_path):
    rows = [request(seq, float(seq), gaps=(0.25, 0.25)) for seq in range(40)]  # each takes 1 s
    leaving = [gone(row["seq"], float(row["seq"])) if row["seq"] % 4 == 3 else row for row in rows]
    both = [pk.open(write_run(tmp_path / f"{name}.db", each)) for name, each in (("a", rows), ("b", leaving))]
    whole, left = (each.summary().rates for each in both)
    assert left["concurrency"].iloc[0] == pytest.approx(whole["concurrency"].iloc[0])
    # Of 40 every fourth; the window ends as the last one is sent, which is one of those that leave.
    assert left["request_throughput"].iloc[0] < whole["request_throughput"].iloc[0]


def test_the_summary_says_what_the_server_works_on_for_nobody(tmp_path):
    rows = [request(0, 0.0, gaps=(4.0,)), request(1, 1.0, gaps=(4.0,)), gone(2, 1.5, 1.0), request(3, 5.5)]
    path = write_run(tmp_path / "a.db", rows, sent=4, succeeded=3, failed=0, cancelled=1)

    def page(running, waiting):
        gauges = {"running": running, "waiting": waiting}
        return "".join(
            f"# TYPE vllm:num_requests_{name} gauge\nvllm:num_requests_{name} {value}\n"
            for name, value in gauges.items()
        )

    # In flight are 3 requests at 2 s, 2 at 3 s; the server still has 3 then.
    publish(path, (2.0, page(2, 1)), (3.0, page(3, 0)))
    (note,) = [note for note in pk.open(path).summary().notes if "cancelled" in note]
    assert (
        "1 request was cancelled; the server had 3.00 in hand where 2.50 were in flight, in the mean of 2 looks" in note
    )


def test_a_run_that_was_killed_counts_them_by_its_rows(tmp_path):
    rows = [request(0, 0.0), gone(1, 1.0), gone(2, 2.0), failure(3, 3.0), failure(4, 4.0, kind="interrupted")]
    unfinished = {"status": "running", "pid": 2**22 + 1, "pid_time": 1.0}
    runs = pk.open(write_run(tmp_path / "a.db", rows, **unfinished))
    (record,) = runs.table[["sent", "succeeded", "failed", "cancelled", "cut_off"]].to_dict("records")
    assert record == {"sent": 5, "succeeded": 1, "failed": 1, "cancelled": 2, "cut_off": 1}
