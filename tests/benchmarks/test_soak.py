"""The program that watches a long run: that it sees every process, and what it complains of."""

import sys

import pytest


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_every_process_is_seen_and_keeps_its_descriptors(program, tmp_path):
    soaked = program.soak(8, 6.0, 0.002, 4, tmp_path)
    assert set(soaked.processes) == set(program.MEASURED)
    # A socket for each user and a few files: what leaks with each of hundreds of requests would be far above.
    most = {"driver": 40, "loop": 60, "recorder": 60}
    for role, process in soaked.processes.items():
        assert len(process.open_files) > 3
        assert max(process.open_files) <= most[role]
    assert soaked.lacking == 0
    assert sum(soaked.rows.values()) > soaked.rows["success"] > 0
    told = program.table(soaked, 1.0)
    assert [line.split(" | ")[0] for line in told.splitlines()[2:5]] == ["| driver", "| loop", "| recorder"]
    assert "Rows missing: 0." in told


def process(program, grows, descriptors):
    """Return ten minutes of a process, a look a second."""
    seconds = list(range(600))
    memory = [round(100e6 + grows * 1e6 * at / 60) for at in seconds]
    return program.Process(1, seconds, memory, [descriptors(at) for at in seconds])


@pytest.mark.parametrize(
    ("grows", "descriptors", "complaints"),
    [
        (0.5, lambda at: 40 + at % 3, []),
        (2.0, lambda at: 40, ["loop: memory grows by 2.00 MB/min"]),
        (0.0, lambda at: 40 + at // 60, ["loop: 49 descriptors at the end, 42 before"]),
    ],
)
def test_what_grows_is_complained_of(program, grows, descriptors, complaints):
    steady = process(program, 0.0, lambda at: 10)
    processes = {"driver": steady, "loop": process(program, grows, descriptors), "recorder": steady}
    soaked = program.Soaked(processes, 600.0, {"success": 10}, 0, ())
    assert program.complaints(soaked, 100.0, 1.0) == complaints
    assert program.complaints(program.Soaked(processes, 600.0, {"success": 10}, 2, ("loop",)), 100.0, 9.0)[-2:] == [
        "loop was started again",
        "2 rows are missing",
    ]
