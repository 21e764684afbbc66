"""What docs/datasets.md says, held against the registry and the classes."""

import re
from pathlib import Path

import pytest

from perfkit.loadgen.datasets import prompts
from perfkit.options.arguments import Arguments
from perfkit.registry import DATASETS, dataset_class

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
TABLE, _, OWN = TEXT.partition("\n## ")[0], *TEXT.partition("\n## A dataset of your own")[1:]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TABLE.splitlines() if line.startswith("| `")]
# Other spellings, of the ancestors.
ALIASES = {
    *("workload_trace", "custom_multi_turn", "share_gpt_en", "share_gpt_zh"),
    *("share_gpt_en_multi_turn", "share_gpt_zh_multi_turn"),
}


def test_every_dataset_has_a_row() -> None:
    assert {row[0].strip("`") for row in ROWS} == set(DATASETS.built_in) - ALIASES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_options_of_a_row_are_read_by_its_class(row: list[str]) -> None:
    assert {*re.findall(r"`(\w+)`", row[2])} <= {*dataset_class(row[0].strip("`")).options}


@pytest.mark.parametrize("length", re.findall(r'`(\{"length": .*?\})`', TEXT))
def test_each_length_that_is_shown_is_understood(length: str) -> None:
    import json

    next(prompts(Arguments(dataset="random", number=1, dataset_args=json.loads(length))))


def test_the_dataset_shown_works_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("rain\nmoon\n")
    exec(OWN.partition("```python\n")[2].partition("```")[0], {})
    asked = list(prompts(Arguments(dataset="haiku", dataset_path=str(tmp_path / "words.txt"))))
    assert [prompt.content for prompt in asked] == [
        [{"role": "user", "content": f"Write a haiku about {word}."}] for word in ("rain", "moon")
    ]


def test_every_sample_file_can_be_read() -> None:
    names = {"openqa.jsonl": "openqa", "longalpaca.json": "longalpaca", "share_gpt.json": "share_gpt"}
    names |= {"rerank.jsonl": "rerank", "messages.jsonl": "jsonl", "bodies.jsonl": "jsonl", "prompts.csv": "csv"}
    names |= {"prompts.txt": "line_by_line", "trace.jsonl": "trace", "trace_azure.csv": "trace"}
    for file, name in names.items():
        assert len(list(prompts(Arguments(dataset=name, dataset_path=str(ROOT / "sample_data" / file))))) >= 5
