from datetime import datetime

import pytest

from perfkit.analysis.query.labels import Candidate, distinct, labels, path_labels


def named(*names, **settings):
    return [Candidate(name, "f.db", settings) for name in names]


def test_a_run_is_called_by_its_name():
    assert labels(named("tp2", "tp4")) == ["tp2", "tp4"]


def test_files_without_names_are_called_by_the_shortest_part_that_tells_them_apart():
    paths = ["out/2025/qwen/benchmark_data.db", "out/2025/llama/benchmark_data.db"]
    assert labels([Candidate(None, path, {}) for path in paths]) == ["qwen", "llama"]


def test_parts_are_joined_when_no_single_one_tells_files_apart():
    paths = ["a/x/r.db", "a/y/r.db", "b/x/r.db"]
    assert list(path_labels(paths).values()) == ["a/x", "y", "b"]


def test_a_folder_that_other_files_lie_in_is_no_label():
    paths = ["all/outputs/20260101/bench.db", "all/outputs/20260102/p2/bench.db", "all/old/bench.db"]
    assert list(path_labels(paths).values()) == ["20260101", "p2", "old"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{"parallel": 1}, {"parallel": 8}], ["r parallel=1", "r parallel=8"]),
        ([{"parallel": 1, "model": "a"}, {"parallel": 1, "model": "b"}], ["r model=a", "r model=b"]),
        (
            [{"parallel": 1, "model": "a"}, {"parallel": 2, "model": "a"}, {"parallel": 1, "model": "b"}],
            ["r parallel=1 model=a", "r parallel=2 model=a", "r parallel=1 model=b"],
        ),
        ([{"run_id": "x000001"}, {"run_id": "x000002"}], ["r 000001", "r 000002"]),
        ([{}, {}, {}], ["r", "r (2)", "r (3)"]),
    ],
)
def test_equal_names_gain_what_differs(settings, expected):
    assert distinct(["r"] * len(settings), settings) == expected


def test_a_point_that_was_measured_twice_keeps_its_setting_and_gains_its_date():
    def point(parallel, start):
        return {"parallel": parallel, "start_time": datetime(2026, 1, 2, 3, 4, start).timestamp()}

    assert distinct(["r"] * 3, [point(1, 0), point(2, 1), point(2, 2)]) == [
        "r parallel=1",
        "r parallel=2 2026-01-02 03:04:01",
        "r parallel=2 2026-01-02 03:04:02",
    ]


def test_seconds_since_boot_are_no_date():
    assert distinct(
        ["r", "r"], [{"start_time": 12.5, "run_id": "aaaaaa"}, {"start_time": 99.0, "run_id": "bbbbbb"}]
    ) == [
        "r aaaaaa",
        "r bbbbbb",
    ]
