"""Clients that cancel, held against what the simulated server logged."""

import pytest

import perfkit as pk
from perfkit.loadgen.choices import drawn
from perfkit.simulator.truth import read_requests
from tests.measured import stored

pytestmark = [pytest.mark.processes, pytest.mark.alone]

CANCEL = {"cancel": "20%", "cancel_after": "300ms", "arrival_seed": 3, "number": 40, "max_tokens": 64}
DRAWN = [seq for seq in range(40) if drawn(3, "cancel", seq) < 0.2]


def test_the_server_lost_the_clients_that_cancelled_and_no_others(tmp_path):
    log = tmp_path / "requests.csv"
    with pk.simulate(ttft=0.02, itl=0.02, log=str(log)) as server:  # an answer takes 1.3 s
        runs = pk.run(server.url, parallel=20, db=str(tmp_path / "a.db"), preflight=False, **CANCEL)
    rows = stored(tmp_path / "a.db")
    assert sorted(row["seq"] for row in rows if row["error_kind"] == "cancelled") == DRAWN
    assert sum(row["success"] for row in rows) == 40 - len(DRAWN)
    served = read_requests(log)
    left = [row for row in served if row.outcome == "client_closed"]
    assert len(left) == len(DRAWN)
    assert len([row for row in served if row.outcome == "ok"]) == 40 - len(DRAWN)
    # The server went no further: it stopped when the connection was closed, not at the end of the answer.
    assert all(0 < row.tokens < 64 and row.end_ns - row.recv_done_ns > 0.25e9 for row in left)
    (record,) = runs.table[["sent", "succeeded", "failed", "cancelled", "cut_off"]].to_dict("records")
    assert record == {"sent": 40, "succeeded": 40 - len(DRAWN), "failed": 0, "cancelled": len(DRAWN), "cut_off": 0}


def test_a_run_that_everybody_cancels_is_no_failure_and_keeps_what_had_come(tmp_path):
    with pk.simulate(ttft=0.02, itl=0.02) as server:
        given = {"cancel": 1, "cancel_after": 0.3, "number": 3, "parallel": 3, "max_tokens": 64, "workers": 0}
        runs = pk.run(server.url, db=str(tmp_path / "a.db"), **given)
    rows = runs.decoded()
    assert rows["error_kind"].tolist() == ["cancelled"] * 3
    assert rows["phase"].tolist() == ["steady"] * 3
    assert rows["ttft"].isna().all()
    assert (rows["completed_time"] - rows["start_time"]).between(0.29, 5.0).all()
    assert all(text for text in rows["output_text"])
    ((succeeded,),) = [tuple(row.values()) for row in stored(tmp_path / "a.db", "SELECT success FROM preflight")]
    assert succeeded == 1


@pytest.mark.parametrize("given", [{"cancel": 0.1}, {"cancel_after": 2}])
def test_who_cancels_and_when_go_together(given):
    with pytest.raises(
        pk.PerfkitError, match="cancel is the share of the clients that leave, cancel_after when they do"
    ):
        pk.Arguments(**given)
