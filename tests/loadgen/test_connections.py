"""How many connections a load opens."""

from pathlib import Path

import pytest

import perfkit as pk
from perfkit.simulator import simulate
from tests.measured import SMALL, stored
from tests.scripted import ANSWER, LAST, READ, STREAM, chunk, scripted

pytestmark = pytest.mark.processes

ANSWERS = [READ, STREAM, chunk(ANSWER), LAST] * 100


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "most"),
    [
        ({"rate": -1, "number": None, "dataset": ["a"] * 6, "prompt": None}, 6),
        ({"rate": -1, "number": 12}, 12),
        ({"rate": 50, "number": 5}, 5),
        ({"rate": -1, "number": 30, "max_concurrency": 3}, 3),
        ({"rate": 200, "number": 100}, 40),
        ({"parallel": 20, "number": 3}, 3),
    ],
    ids=lambda value: None if isinstance(value, int) else " ".join(f"{k}={v}" for k, v in value.items()),
)
@pytest.mark.alone
def test_no_more_connections_are_opened_than_the_load_uses(given: dict[str, object], most: int, tmp_path: Path) -> None:
    with scripted(ANSWERS) as server:
        pk.run(server.url, **{**SMALL, "preflight": True, **given}, db=str(tmp_path / "run.db"))
        assert len(server.requests) > 1
        assert server.connections <= most + 1  # the preflight request's


def test_a_trace_of_six_requests_opens_six_connections_at_most(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    lines = [f'{{"timestamp": {number * 0.1:.1f}, "input_length": 4, "output_length": 2}}' for number in range(6)]
    trace.write_text("\n".join(lines))
    with scripted(ANSWERS) as server:
        given = {**SMALL, "preflight": True, "number": None, "prompt": None}
        pk.run(server.url, **given, dataset="trace", dataset_path=str(trace), db=str(tmp_path / "run.db"))
        assert len(server.requests) == 7
        assert server.connections <= 7


@pytest.mark.slow
def test_idle_connections_are_counted_beside_those_in_use(tmp_path: Path) -> None:
    with simulate(ttft=0.05, itl=0.001, output_tokens=4) as server:
        pk.run(server.url, **{**SMALL, "number": 60}, rate=50, db=str(tmp_path / "run.db"))
    (row,) = stored(tmp_path / "run.db", "SELECT max(value) AS most FROM sample WHERE name = 'idle_connections'")
    assert 0 <= row["most"] <= 40
