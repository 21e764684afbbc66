from pathlib import Path

import pytest

import perfkit as pk

FIXTURES = Path(__file__).parents[2] / "fixtures"


@pytest.mark.slow
def test_a_folder_of_every_tools_files_opens_as_one_set_of_runs():
    runs = pk.open(FIXTURES / "evalscope", FIXTURES / "peers")
    assert list(runs.problems) == []
    assert set(runs.table["source"]) == {"evalscope", "guidellm", "aiperf", "llmeter", "vllm", "sglang"}
    assert len(runs) == 14
    assert len(set(runs.table.index)) == 14


@pytest.mark.slow
def test_one_filter_means_the_same_on_every_tools_file():
    runs = pk.open(FIXTURES / "evalscope", FIXTURES / "peers").where("ttft > 100ms and success = 1")
    requests = runs.requests
    assert len(requests) > 20
    assert requests["ttft"].min() > 0.1
    assert requests["success"].all()


def test_a_hostile_cell_leaves_the_rows_of_its_file_in_place():
    runs = pk.open(FIXTURES.parent / "corpus" / "files" / "db-cell-types")
    assert len(runs.requests) == 7
    assert runs.requests["flags"].str.contains("refused", na=False).any()


@pytest.mark.slow
def test_a_bad_file_among_good_ones_is_listed():
    runs = pk.open(FIXTURES.parent / "corpus" / "files")
    assert len(runs) >= 10
    assert any("db-view-memory" in str(problem) for problem in runs.problems)


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["evalscope-0.17.1__sweep", "evalscope-1.14.1__doc002_api_dataset"])
def test_answers_of_older_files_are_decoded(tool):
    decoded = pk.open(FIXTURES / "evalscope" / tool).decoded()
    assert all(isinstance(messages[0], dict) for messages in decoded["response_messages"])
    assert decoded["request"].iloc[0]["model"] == "mock-qwen"
