"""Presets: what a server receives of each, what takes the place of its figures, and that sources are named."""

import itertools
import json
import math
import statistics

import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.errors import UnknownPlugin
from perfkit.loadgen.datasets import prompts
from perfkit.options.presets import INSTEAD, PRESETS
from tests.recording import recording

NAMES = ["chat", "rag", "code", "agent", "summarise"]


def at_most(median: float, sigma: float, most: float) -> float:
    """Return the mean of a lognormal distribution whose values above ``most`` are ``most``."""
    normal = statistics.NormalDist()
    far = math.log(most / median) / sigma
    return median * math.exp(sigma**2 / 2) * normal.cdf(far - sigma) + most * (1 - normal.cdf(far))


# Means as the sources have them, in tokens: new text of a request, answer, shared prefix, and turns of a conversation.
PUBLISHED = {
    "chat": (69.5, 214.5, 500, 3.59),
    "rag": (2232, 178 * math.exp(0.62**2 / 2), 1024, 1),
    "code": (at_most(1500, 0.79, 7743), 28, 0, 1),
    "agent": (1877, 365, 12_000, 33),
    "summarise": (at_most(7059, 0.476, 16_384), 208 * math.exp(0.452**2 / 2), 0, 1),
}


def asked_by(name, **given):
    return pk.Arguments(**{"preset": name, "number": 5, **given})


@pytest.mark.processes
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_server_receives_the_published_means(name, tmp_path):
    length, output, prefix, turns = PUBLISHED[name]
    given = {"model": "m", "number": 1500, "parallel": 16, "think_time": 0, "preflight": False, "workers": 0}
    if name == "agent":  # 33 turns of agents are a gigabyte
        turns, given = 3, {**given, "dataset_args": {"turns": 3}}
    with recording() as server:
        pk.start(server.url, preset=name, db=str(tmp_path / "a.db"), texts=False, **given).wait()
    bodies = [each.body for each in server.received]
    begun = [body["messages"] for body in bodies if len(body["messages"]) == 1]
    texts = [len(body["messages"][-1]["content"]) for body in bodies]
    assert (sum(texts) - len(begun) * prefix * 4) / len(bodies) / 4 == pytest.approx(length, rel=0.05)
    assert statistics.mean(body["max_tokens"] for body in bodies) == pytest.approx(output, rel=0.08)
    assert len(bodies) / len(begun) == pytest.approx(turns, rel=0.1)
    assert len({messages[0]["content"][: prefix * 4] for messages in begun}) == 1


@pytest.mark.parametrize("name", NAMES)
def test_conversations_have_the_turns_of_the_preset(name):
    short = {"prefix_length": 0, "dataset_args": {"length": 1}}
    found = list(itertools.islice(prompts(asked_by(name, **short)), 3300))
    assert len(found) / sum(prompt.turn == 1 for prompt in found) == pytest.approx(PUBLISHED[name][3], rel=0.1)


@pytest.mark.parametrize(("name", "mean"), [("chat", 100), ("agent", None)])
def test_turns_have_the_think_times_of_the_preset(name, mean):
    found = list(itertools.islice(prompts(asked_by(name, prefix_length=0, dataset_args={"length": 1})), 2000))
    pauses = [prompt.delay for prompt in found if prompt.turn > 1]
    assert all(prompt.delay is None for prompt in found if prompt.turn == 1)
    if mean is not None:
        assert set(pauses) == {mean}
    else:
        # Lognormal with a mean of 15 s and a standard deviation of 55 s, nothing beyond 1 and 100 s.
        law = statistics.NormalDist(math.log(3.95), 1.634)
        shares = [
            (sum(pause <= limit for pause in pauses) / len(pauses), law.cdf(math.log(limit))) for limit in (2, 8, 40)
        ]
        assert [share for share, _ in shares] == [pytest.approx(expected, abs=0.04) for _, expected in shares]
        assert (min(pauses), max(pauses)) == (1, 100)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_where_it_is_from(name):
    preset = PRESETS[name]
    assert preset.sources.keys() == preset.figures.keys() - {"characters_per_token"}
    assert all(len(source) > 40 for source in preset.sources.values())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"prefix_length": 7}, {"prefix_length": 7}),
        ({"prefix_length": 0}, {"prefix_length": 0}),
        ({"dataset_args": {"turns": 2}}, {"dataset_args.turns": 2, "dataset_args.think_time": 100}),
        ({"max_tokens": 5}, {"max_tokens": 5, "dataset_args.output": None}),
        ({"think_time": 0.0}, {"think_time": 0.0, "dataset_args.think_time": None}),
        ({"max_prompt_length": 50}, {"max_prompt_length": 50, "dataset_args.length": None}),
        ({"dataset": "random"}, {"dataset": "random", "prefix_length": 500}),
    ],
)
def test_what_is_given_replaces_what_the_preset_says(given, kept):
    arguments = pk.Arguments.from_mapping({"preset": "chat", "number": 5, **given})
    flat = {**vars(arguments), **{f"dataset_args.{name}": value for name, value in arguments.dataset_args.items()}}
    assert {name: flat.get(name) for name in kept} == kept
    # Again from the run file, and with another load: the preset adds nothing a second time.
    assert pk.Arguments.from_record(json.loads(json.dumps(arguments.shown()))).shown() == arguments.shown()
    assert arguments.replace(parallel=3).shown() == {**arguments.shown(), "parallel": 3}


def test_what_is_replaced_later_takes_the_place_of_what_the_preset_says():
    later = asked_by("chat").replace(max_tokens=16, max_prompt_length=9)
    assert later == asked_by("chat", max_tokens=16, max_prompt_length=9)
    assert not {"length", "output"} & {*later.dataset_args}
    assert asked_by("chat").replace(number=7).dataset_args == asked_by("chat").dataset_args


def test_figures_that_options_replace_are_figures():
    assert set(INSTEAD) <= {figure for preset in PRESETS.values() for figure in preset.figures}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"preset": "chats"}, "no preset is called 'chats'; did you mean 'chat'"),
        ({"preset": "rag", "prompt": "hi"}, "the preset 'rag' makes prompts of its own, prompt asks others"),
        ({"preset": "rag", "mix": ["sample"]}, "makes prompts of its own, mix asks others"),
        ({"preset": "rag", "dataset": "openqa"}, "makes prompts of its own, dataset asks others"),
    ],
)
def test_what_does_not_go_with_a_preset_is_refused(given, said):
    with pytest.raises(pk.PerfkitError, match=said):
        pk.Arguments.from_mapping({"number": 1, **given})
    with pytest.raises(pk.PerfkitError, match=said):
        pk.Arguments(number=1, **given)


@pytest.mark.processes
def test_the_run_keeps_the_preset_and_what_it_set_and_comparisons_tell_them_apart(tmp_path):
    with pk.simulate(ttft=0.001, itl=0.0001) as server:
        for name in ("code", "rag"):
            given = {"number": 8, "parallel": 2, "preflight": False, "name": name, "db": str(tmp_path / "a.db")}
            pk.start(server.url, preset=name, **given).wait()
    runs = pk.open(tmp_path / "a.db")
    kept = [json.loads(run.record["arguments"]) for run in runs.members]
    assert [each["preset"] for each in kept] == ["code", "rag"]
    assert [each["dataset_args"]["output"]["median"] for each in kept] == [13, 178]
    assert [each.get("prefix_length") for each in kept] == [None, 1024]
    with pytest.raises(pk.PerfkitError, match="dataset_args"):
        runs.compare("code")


@pytest.mark.parametrize("words", [[], ["agent"], ["chat", "--json"]])
def test_the_command_lists_presets_with_their_sources(words, capsys):
    assert main(["presets", *words]) == 0
    printed = capsys.readouterr().out
    if "--json" in words:
        told = json.loads(printed)["chat"]
        assert told["settings"]["prefix_length"] == 500
        assert "arXiv:2309.11998" in told["sources"]["length"]
    else:
        assert ("Figure 1" in printed) if words else all(name in printed for name in NAMES)


def test_the_command_suggests_the_nearest_preset(capsys):
    assert main(["presets", "sumarise"]) == 2
    assert "did you mean 'summarise'" in capsys.readouterr().err


def test_a_preset_of_ones_own_is_used_by_its_name():
    @pk.register_preset("tickets")
    def tickets():
        return pk.Preset(meaning="tickets", settings={"dataset": "random", "prefix_length": 3}, sources={})

    try:
        assert pk.Arguments(preset="tickets", number=1).prefix_length == 3
    finally:
        del PRESETS["tickets"]
    with pytest.raises(UnknownPlugin, match="tickets"):
        pk.Arguments(preset="tickets", number=1)


def test_a_function_that_returns_something_else_is_refused():
    with pytest.raises(pk.PerfkitError, match="'mine' must be a function that returns a Preset, got 5"):
        pk.register_preset("mine")(lambda: 5)
