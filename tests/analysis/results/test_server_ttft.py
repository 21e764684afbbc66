"""The server's own histogram of TTFT is held against ours in the summary."""

import pytest

import perfkit as pk
from tests.published import publish
from tests.run_files import request, write_run

EDGES = (0.1, 0.25, 0.5, 1.0)


def histogram(*values, before=()):
    """Return a page on which a server has counted some times to the first token."""
    counted = [*before, *values]
    name = "vllm:time_to_first_token_seconds"
    lines = [f"# TYPE {name} histogram"]
    lines += [f'{name}_bucket{{le="{edge}"}} {sum(value <= edge for value in counted)}' for edge in EDGES]
    lines += [
        f'{name}_bucket{{le="+Inf"}} {len(counted)}',
        f"{name}_sum {sum(counted)}",
        f"{name}_count {len(counted)}",
    ]
    return "\n".join(lines) + "\n"


OURS = [0.3, 0.4, 0.6]


def notes(tmp_path, *looks, ours=OURS, **record):
    """Return what the summary says of the server's TTFT: of requests at 0, 2, 4 s ..., and looks at its page."""
    rows = [request(seq, 2.0 * seq, ttft=ttft, gaps=()) for seq, ttft in enumerate(ours)]
    path = publish(write_run(tmp_path / "r.db", rows, **record), *looks)
    return [note for note in pk.open(path).summary().notes if "server" in note]


EARLIER = [0.2, 0.2, 0.9]
"""What the server had counted before."""


def test_both_agree_up_to_the_front_end_and_what_the_server_counted_before_is_not_ours(tmp_path):
    theirs = [0.29, 0.39, 0.58]  # 10, 10 and 20 ms less: in the mean 13.3
    looks = (
        (-1.0, histogram(before=EARLIER)),
        (2.0, histogram(0.29, before=EARLIER)),
        (9.0, histogram(*theirs, before=EARLIER)),
    )
    (note,) = notes(tmp_path, *looks)
    theirs = "its histogram: mean 420 ms, p50 in 250–500 ms, p95 in 500–1,000 ms"
    assert note == f"run: TTFT in the server ({theirs}) agrees with ours, 433 ms: 13.3 ms for network and front end"


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        ([0.1, 0.1, 0.1], "TTFT is 333 ms longer than in the server"),
        ([0.4, 0.5, 0.7], "TTFT is 100 ms shorter than in the server"),
        # The mean is that of ours, less 7 ms; the middle one is another.
        ([0.09, 0.09, 1.1], "the p50 of TTFT is 400 ms, and in the server within 0–100 ms, though the means agree"),
        (
            [0.3, 0.4, 0.6, 0.2, 0.2, 0.2],
            "the server counted 6 first tokens where 3 are in this file: it counts others'",
        ),
        ([0.3], "the server counted 1 first tokens where 3 are in this file: it counts not all"),
    ],
)
def test_what_does_not_agree_is_said(tmp_path, theirs, said):
    (note,) = notes(tmp_path, (-1.0, histogram()), (9.0, histogram(*theirs)))
    assert said in note


def test_looks_in_the_middle_of_a_run_count_what_came_between_them(tmp_path):
    # The page was first read at 1.0: the first request's token had come.
    (note,) = notes(tmp_path, (1.0, histogram(0.3)), (9.0, histogram(0.3, 0.39, 0.59)))
    assert "mean 490 ms" in note
    assert "agrees with ours, 500 ms" in note


@pytest.mark.parametrize("looks", [[], [(9.0, histogram(*OURS))], [(-1.0, "other 1\n"), (9.0, "other 2\n")]])
def test_without_a_histogram_at_both_ends_nothing_is_said(tmp_path, looks):
    rows = [request(seq, 2.0 * seq) for seq in range(3)]
    path = write_run(tmp_path / "r.db", rows)
    if looks:
        publish(path, *looks)
    assert [note for note in pk.open(path).summary().notes if "server" in note] == []


def test_a_server_that_began_anew_is_not_held_against_ours(tmp_path):
    assert notes(tmp_path, (-1.0, histogram(*EARLIER, *EARLIER)), (9.0, histogram(*OURS))) == []


def test_several_runs_that_agree_are_one_sentence(tmp_path):
    paths = []
    for name in "ab":
        path = write_run(tmp_path / f"{name}.db", [request(seq, 2.0 * seq) for seq in range(3)], name=name)
        paths.append(publish(path, (-1.0, histogram()), (9.0, histogram(0.49, 0.49, 0.49))))
    assert [note for note in pk.open(*paths).summary().notes if "server" in note] == [
        "TTFT in the server, by its own histogram, agrees with ours in 2 of 2 runs: 10.0 ms for network and front end"
    ]


@pytest.mark.processes
def test_of_a_simulated_queue_both_agree_within_milliseconds(tmp_path):
    from perfkit.analysis.results.server_ttft import both_ttfts

    with pk.simulate(slots=2, itl=0.002) as server:
        given = {"parallel": 8, "number": 60, "max_tokens": 8, "db": str(tmp_path / "a.db"), "scrape": True}
        runs = pk.start(server.url, **given).wait()
    found = both_ttfts(runs.members[0])
    assert found.theirs.count == len(found.ours) >= 60
    assert 0 < found.extra < found.theirs.mean
