"""Several datasets in one run: which requests are of which."""

import itertools
import json
from collections import Counter

import pytest

import perfkit as pk
from perfkit.loadgen.choices import Choice
from perfkit.loadgen.datasets.opened import open_dataset, prompts
from tests.measured import SMALL, stored
from tests.recording import recording


@pytest.fixture
def files(tmp_path):
    """Return a file of prompts, and one of conversations of two turns."""
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(json.dumps({"prompt": f"line {n}"}) for n in range(3)), encoding="utf-8")
    talks = tmp_path / "talks.jsonl"
    turns = [json.dumps({"turns": [f"talk {n} a", f"talk {n} b"]}) for n in range(3)]
    talks.write_text("\n".join(turns), encoding="utf-8")
    return str(lines), str(talks)


def drawn(files, number, **given):
    lines, talks = files
    arguments = pk.Arguments(mix=[f"{lines}=3", talks], number=number, prompt_seed=4, **given)
    return list(itertools.islice(prompts(arguments), number))


def asked(prompt):
    content = prompt.content["messages"] if isinstance(prompt.content, dict) else prompt.content
    return content[-1]["content"]


def test_each_prompt_is_of_a_dataset_by_weight_and_conversations_stay_whole(files):
    lines, talks = files
    found = drawn(files, 40)
    choice = Choice([(lines, 3.0), (talks, 1.0)], 4, "mix")
    expected = [kind for number in range(40) for kind in (["lines"] if choice.of(number) == lines else ["talks"] * 2)]
    assert [prompt.kind for prompt in found] == expected[:40]
    texts = list(map(asked, found))
    assert [text for text in texts if text.startswith("line")][:5] == [f"line {n % 3}" for n in range(5)]
    told = [text for text in texts if text.startswith("talk")]
    assert told[:4] == ["talk 0 a", "talk 0 b", "talk 1 a", "talk 1 b"]
    sessions = [prompt.session_id for prompt in found if prompt.kind == "talks"]
    assert all(first == second for first, second in zip(sessions[::2], sessions[1::2], strict=False))
    assert len(set(sessions[::2])) == len(sessions[::2])  # held again, a conversation is another one


def test_what_is_given_for_all_holds_for_all(files):
    found = drawn(files, 6, system="Be brief.", dataset_offset=2)
    assert [prompt.kind for prompt in found] == [prompt.kind for prompt in drawn(files, 8)][2:]
    assert all(prompt.content[0] == {"role": "system", "content": "Be brief."} for prompt in found)


@pytest.mark.processes
def test_the_class_of_each_request_is_stored_and_groups(files, tmp_path):
    lines, _ = files
    args = {"random": {"length": 20}}
    given = {**SMALL, "prompt": None, "mix": [f"{lines}=2", "random"], "dataset_args": args, "number": 30}
    with recording() as server:
        runs = pk.run(server.url, db=str(tmp_path / "a.db"), **given)
    rows = stored(tmp_path / "a.db", "SELECT request_class, prompt_text FROM result ORDER BY seq")
    counts = Counter(row["request_class"] for row in rows)
    assert set(counts) == {"lines", "random"}
    assert all(row["prompt_text"].startswith("line ") == (row["request_class"] == "lines") for row in rows)
    assert all(len(row["prompt_text"]) == 20 for row in rows if row["request_class"] == "random")
    assert runs.summary(by="request_class").rates["requests"].to_dict() == counts
    assert runs.table["dataset"].tolist() == [f"{lines}=2 random"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"mix": ["sample", "openqa"]}, "give number or duration"),
        ({"mix": ["sample"], "prompt": "hi", "number": 1}, "mix names datasets, prompt another one"),
        ({"mix": ["sample=0", "openqa"], "number": 1}, "the weight of 'sample' must be above 0"),
    ],
)
def test_mixes_that_make_no_sense_are_refused(given, sentence):
    with pytest.raises(pk.PerfkitError) as refused:
        pk.Arguments(**given)
    assert sentence in str(refused.value)


def test_options_of_an_unknown_class_and_unknown_datasets_are_refused():
    with pytest.raises(pk.PerfkitError, match="no class is called 'sampel'; did you mean 'sample'"):
        open_dataset(pk.Arguments(mix=["sample", "openqa"], number=1, dataset_args={"sampel": {}}))
    with pytest.raises(pk.PerfkitError, match="no dataset is called 'nothing'"):
        open_dataset(pk.Arguments(mix=["sample", "nothing"], number=1))
