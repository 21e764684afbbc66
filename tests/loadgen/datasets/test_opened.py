import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from perfkit.errors import PluginFailure, UnknownPlugin, UsageError
from perfkit.loadgen.datasets import open_dataset, prompts
from perfkit.loadgen.datasets.base import DatasetPluginBase
from perfkit.loadgen.datasets.text import LineByLine
from perfkit.options.arguments import Arguments
from perfkit.registry import DATASETS, register_dataset


def lines(tmp_path: Path, *texts: str) -> str:
    (tmp_path / "lines.txt").write_text("".join(f"{text}\n" for text in texts))
    return str(tmp_path / "lines.txt")


def texts(given: Arguments, count: int = 50) -> list[Any]:
    contents = (prompt.content for prompt in itertools.islice(prompts(given), count))
    return [content[0]["content"] if isinstance(content, list) else content for content in contents]


def test_without_a_dataset_the_sixty_prompts_inside_are_used() -> None:
    sample = list(prompts(Arguments()))
    assert len(sample) == 60
    assert len({str(prompt.content) for prompt in sample}) == 60
    assert open_dataset(Arguments()).name == "sample"


def test_nothing_is_remarked_of_the_prompts_inside_and_unused_fields_of_a_file_are(tmp_path: Path) -> None:
    (tmp_path / "qa.jsonl").write_text('{"question": "why?", "language": "en"}\n')
    for path, said in ((None, []), (tmp_path / "qa.jsonl", ["language"])):
        dataset = open_dataset(Arguments(dataset="openqa", dataset_path=path and str(path)))
        assert len(list(dataset.prompts())) > 0
        assert [word for sentence in dataset.remarks.sentences() for word in sentence.split() if word in said] == said
        assert len(dataset.remarks.sentences()) == len(said)


def test_the_prompts_inside_are_of_many_lengths_and_languages() -> None:
    sizes = [len(text) for text in texts(Arguments(), 60)]
    assert min(sizes) < 40
    assert max(sizes) > 3500


def test_a_dataset_ends_after_one_pass_unless_number_or_duration_is_given(tmp_path: Path) -> None:
    file = lines(tmp_path, "a", "b")
    assert texts(Arguments(dataset=file)) == ["a", "b"]
    assert texts(Arguments(dataset=file, number=5), 5) == ["a", "b", "a", "b", "a"]
    assert texts(Arguments(dataset=file, duration=1), 3) == ["a", "b", "a"]


def test_later_passes_are_marked(tmp_path: Path) -> None:
    given = Arguments(dataset=lines(tmp_path, "a", "b"), number=5)
    assert [prompt.cycle for prompt in itertools.islice(prompts(given), 5)] == [0, 0, 1, 1, 2]


def test_rows_count_the_items_of_the_dataset(tmp_path: Path) -> None:
    given = Arguments(dataset=lines(tmp_path, "a", "b", "c"), dataset_offset=1, number=4)
    assert [prompt.row for prompt in itertools.islice(prompts(given), 4)] == [1, 2, 0, 1]


def test_an_offset_skips_items_of_the_first_pass_only(tmp_path: Path) -> None:
    given = Arguments(dataset=lines(tmp_path, "a", "b", "c"), dataset_offset=2, number=4)
    assert texts(given, 4) == ["c", "a", "b", "c"]


def test_shuffling_is_drawn_from_the_seed_and_loses_nothing(tmp_path: Path) -> None:
    file = lines(tmp_path, *(str(number) for number in range(200)))
    orders = [texts(Arguments(dataset=file, shuffle=True, prompt_seed=seed), 200) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0], key=int) == [str(number) for number in range(200)]


def test_each_pass_of_a_shuffled_dataset_has_an_order_of_its_own(tmp_path: Path) -> None:
    given = Arguments(dataset=lines(tmp_path, *map(str, range(50))), shuffle=True, number=100)
    order = texts(given, 100)
    assert order[:50] != order[50:]
    assert sorted(order[:50]) == sorted(order[50:])


def test_a_dataset_without_any_prompt_is_an_error_not_an_endless_loop(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"dataset 'lines\.txt' holds no prompt that may be sent"):
        next(prompts(Arguments(dataset=lines(tmp_path), number=3)))
    with pytest.raises(UsageError, match="may be sent: none is between 9 and 99 long"):
        next(prompts(Arguments(dataset=lines(tmp_path, "a"), min_prompt_length=9, max_prompt_length=99)))
    with pytest.raises(UsageError, match=r"may be sent: none is at least 9 long$"):
        next(prompts(Arguments(dataset=lines(tmp_path, "a"), min_prompt_length=9)))


def test_both_bounds_of_the_length_are_allowed(tmp_path: Path) -> None:
    file = lines(tmp_path, "a" * 4, "b" * 5, "c" * 6, "d" * 7)
    assert texts(Arguments(dataset=file, min_prompt_length=5, max_prompt_length=6)) == ["bbbbb", "cccccc"]


def test_with_a_tokenizer_the_bounds_are_in_tokens(tmp_path: Path) -> None:
    file = lines(tmp_path, "a", "a b c d e f g")
    given = Arguments(dataset=file, max_prompt_length=3, tokenizer_path="sample_data/tokenizer")
    assert texts(given) == ["a"]


def test_one_prompt_is_one_request_unless_a_number_says_otherwise() -> None:
    assert texts(Arguments(prompt="hello")) == ["hello"]
    assert texts(Arguments(prompt="hello", number=3), 3) == ["hello"] * 3
    assert open_dataset(Arguments(prompt="hello")).known_length == 1


def test_a_prompt_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("a long\nprompt")
    assert texts(Arguments(prompt=f"@{tmp_path / 'prompt.txt'}")) == ["a long\nprompt"]


@pytest.mark.parametrize(
    ("url", "chats"),
    [("http://h", True), ("http://h/v1/chat/completions", True), ("http://h/v1/completions", False)],
)
def test_the_url_decides_whether_prompts_become_messages(url: str, chats: bool) -> None:
    content = next(prompts(Arguments(url=url, prompt="hi"))).content
    assert content == ([{"role": "user", "content": "hi"}] if chats else "hi")


def test_what_is_said_about_the_chat_template_wins_over_the_url() -> None:
    given = Arguments(url="http://h/v1/completions", prompt="hi", apply_chat_template=True)
    assert isinstance(next(prompts(given)).content, list)


def test_a_system_message_comes_before_each_prompt() -> None:
    assert next(prompts(Arguments(prompt="hi", system="Be brief."))).content == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
    ]
    plain = Arguments(prompt="hi", system="Be brief.", url="http://h/v1/completions")
    assert next(prompts(plain)).content == "Be brief.\n\nhi"


@pytest.mark.parametrize(
    "items",
    [
        ["a", "b"],
        ("a", "b"),
        pandas.DataFrame({"prompt": ["a", "b"], "other": [1, 2]}),
        pandas.DataFrame({"messages": [[{"role": "user", "content": text}] for text in "ab"], "prompt": ["x", "y"]}),
        pandas.Series(["a", "b"]),
    ],
)
def test_an_iterable_or_a_dataframe_is_a_dataset(items: Any) -> None:
    assert texts(Arguments(dataset=items)) == ["a", "b"]
    assert texts(Arguments(dataset=items, number=3), 3) == ["a", "b", "a"]
    assert open_dataset(Arguments(dataset=items)).known_length == 2


def test_messages_that_a_dataframe_holds_as_arrays_are_messages() -> None:
    array = numpy.array([{"role": "user", "content": "a"}], dtype=object)
    assert texts(Arguments(dataset=pandas.DataFrame({"messages": [array]}))) == ["a"]


@pytest.mark.parametrize("item", [None, 5, float("nan"), numpy.float64("nan")])
def test_an_item_that_asks_nothing_is_told_with_its_place(item: Any) -> None:
    with pytest.raises(UsageError, match="item 1: a text, a list of messages or a whole body is wanted"):
        texts(Arguments(dataset=["a", item]))


def test_a_generator_is_read_as_it_goes_and_only_once() -> None:
    endless = Arguments(dataset=(str(number) for number in itertools.count()), number=3)
    assert texts(endless, 3) == ["0", "1", "2"]
    assert texts(Arguments(dataset=iter("ab"), number=5)) == ["a", "b"]


@pytest.mark.parametrize(
    ("items", "told"),
    [(pandas.DataFrame({"text_": ["a"]}), "needs a column messages or prompt"), (5, "must be a name, a path")],
)
def test_what_is_no_dataset_is_told(items: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        open_dataset(Arguments(dataset=items))


def test_an_unknown_name_names_both_what_it_could_have_been() -> None:
    with pytest.raises(
        UnknownPlugin, match="no dataset is called 'opneqa', and no file is there; did you mean 'openqa'"
    ):
        open_dataset(Arguments(dataset="opneqa"))


def test_a_missing_file_is_told_with_the_place_to_get_it() -> None:
    with pytest.raises(UsageError, match=r"needs dataset_path; LongAlpaca-12k\.json is on Hugging Face"):
        next(prompts(Arguments(dataset="longalpaca")))
    with pytest.raises(UsageError, match="no dataset file at /nowhere"):
        next(prompts(Arguments(dataset="longalpaca", dataset_path="/nowhere")))


def test_the_fingerprint_is_of_the_content(tmp_path: Path) -> None:
    one = open_dataset(Arguments(dataset=lines(tmp_path, "a"))).hash
    (tmp_path / "copy.txt").write_text("a\n")
    assert open_dataset(Arguments(dataset=str(tmp_path / "copy.txt"))).hash == one
    assert open_dataset(Arguments(dataset=lines(tmp_path, "b"))).hash != one
    assert open_dataset(Arguments(prompt="a")).hash is None


def test_a_users_class_may_yield_messages_strings_and_bodies() -> None:
    class Mine(DatasetPluginBase):
        def build_messages(self) -> Any:
            yield [{"role": "user", "content": "a"}]
            yield "b"
            yield {"messages": [], "model": "m"}

    register_dataset("mine")(Mine)
    contents = [prompt.content for prompt in prompts(Arguments(dataset="mine"))]
    assert contents == [[{"role": "user", "content": "a"}], "b", {"messages": [], "model": "m"}]


def test_what_a_users_class_raises_names_its_line() -> None:
    class Breaks(DatasetPluginBase):
        def build_messages(self) -> Any:
            yield "a"
            raise KeyError("oops")

    class NeverStarts(DatasetPluginBase):
        def __init__(self, query_parameters: Arguments) -> None:
            raise RuntimeError("no licence")

    register_dataset("breaks")(Breaks)
    register_dataset("never")(NeverStarts)
    read = prompts(Arguments(dataset="breaks"))
    assert next(read).content == "a"
    with pytest.raises(PluginFailure, match=r"test_opened\.py:\d+: KeyError: 'oops'"):
        next(read)
    with pytest.raises(PluginFailure, match=r"test_opened\.py:\d+: RuntimeError: no licence"):
        open_dataset(Arguments(dataset="never"))


START = """
import sys, time
from perfkit.options.arguments import Arguments
from perfkit.loadgen.datasets import prompts
began = time.perf_counter()
stream = prompts(Arguments(dataset=sys.argv[1]))
next(stream)
first = time.perf_counter() - began
count = 1 + sum(1 for _ in stream)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(first / (time.perf_counter() - began), count, peak.split()[1])
"""


@pytest.mark.processes
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_many_lines_start_at_once_and_never_stand_in_memory(tmp_path: Path) -> None:
    file = tmp_path / "many.txt"
    with file.open("w") as out:
        for start in range(0, 400_000, 100_000):
            out.write("".join(f"prompt number {number}\n" for number in range(start, start + 100_000)))
    told = subprocess.run([sys.executable, "-c", START, str(file)], capture_output=True, text=True, check=True)
    first, count, kilobytes = told.stdout.split()
    assert float(first) < 0.2  # of the time that all of them take
    assert int(count) == 400_000
    assert int(kilobytes) < 100_000


def test_a_dataset_of_one_s_own_takes_any_option_and_reads_any_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(LineByLine):
        def build_messages(self) -> Any:
            yield f"{self.option('colour')} {self.query_parameters.prefix_length} {self.query_parameters.speed}"

    monkeypatch.setitem(DATASETS.own, "own", Own)
    given = Arguments(dataset="own", dataset_args={"colour": "red"}, prefix_length=3, rate=5, speed=2.0, think_time=1)
    assert texts(given) == ["red 3 2.0"]


@pytest.mark.parametrize("dataset", ["multi_turn", "jsonl", "trace"])
def test_turns_of_a_conversation_may_be_thought_about_in_the_open_model(dataset: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}], "session_id": 1, "time": 0}\n')
    given = Arguments(dataset=dataset, dataset_path=str(tmp_path / "a.jsonl"), rate=5, think_time=1.5)
    assert texts(given) == ["hi"]


BODY = {"messages": [{"role": "user", "content": "five5"}]}


@pytest.mark.parametrize(
    "given",
    [
        {"dataset": ["five5", "eleven char"]},
        {"dataset": [BODY, {"prompt": "eleven char"}]},
        {"dataset": [BODY["messages"], [{"role": "user", "content": "eleven char"}]]},
        {"dataset": pandas.DataFrame({"prompt": ["five5", "eleven char"]})},
        {"dataset": [{"query": "five5", "documents": ["a"]}, {"query": "eleven char", "documents": ["b"]}]},
        {"dataset": [[1] * 5, [1] * 11]},
        {"dataset": "line_by_line", "lines": [json.dumps(BODY), json.dumps({"prompt": "eleven char"})]},
        {
            "dataset": "trace",
            "lines": [
                '{"timestamp": 0, "prompt": "five5"}',
                '{"timestamp": 1, "body": {"prompt": "eleven char"}}',
            ],
        },
        {
            "dataset": "rerank",
            "lines": [f'{{"query": "{text}", "documents": ["a"]}}' for text in ("five5", "eleven char")],
        },
    ],
    ids=["texts", "bodies", "messages", "frame", "reranks", "tokens", "lines", "trace", "rerank"],
)
def test_prompts_of_other_lengths_are_left_out_wherever_they_come_from(tmp_path: Path, given: dict[str, Any]) -> None:
    given = dict(given)
    lines = given.pop("lines", None)
    if lines:
        (tmp_path / "a.jsonl").write_text("\n".join(lines))
        given["dataset_path"] = str(tmp_path / "a.jsonl")
    whole = list(prompts(Arguments(**given)))
    assert len(whole) == 2
    for bounds, kept in (({"max_prompt_length": 6}, whole[0]), ({"min_prompt_length": 6}, whole[1])):
        opened = open_dataset(Arguments(**given, **bounds))
        assert [prompt.content for prompt in prompts(Arguments(**given, **bounds), opened)] == [kept.content]
        assert any("shorter or longer than asked for" in sentence for sentence in opened.remarks.sentences())


def test_a_prompt_of_another_length_is_refused() -> None:
    with pytest.raises(UsageError, match="holds no prompt that may be sent: none is at least 10 long"):
        list(prompts(Arguments(prompt="hi", min_prompt_length=10)))
