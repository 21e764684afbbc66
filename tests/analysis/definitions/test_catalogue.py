import pytest

from perfkit.analysis.definitions.catalogue import DEFINITIONS, Stamps, definition
from perfkit.errors import UsageError
from perfkit.records import Kind

ANSWER = Stamps(
    arrivals=[0.05, 0.10, 0.20, 0.26, 0.30, 0.30, 0.40],
    kinds=[Kind.ROLE, Kind.REASONING, Kind.CONTENT, Kind.CONTENT, Kind.CONTENT, Kind.FINISH, Kind.USAGE],
    messages=[0, 1, 2, 3, 4, 4, 5],
    latency=0.5,
    tokens=5,
)
"""A role chunk early, reasoning before the answer, finish in the last piece, usage and end of the connection late."""


def values(name: str, metric: str) -> list[float]:
    return pytest.approx([value for value, _ in definition(name).values(metric, ANSWER)])


@pytest.mark.parametrize(
    ("name", "ttft", "e2e", "tpot"),
    [
        ("perfkit", 0.10, 0.50, (0.30 - 0.10) / 4),
        ("evalscope-1.0", 0.05, 0.50, (0.50 - 0.05) / 4),
        ("evalscope-1.10", 0.05, 0.40, (0.40 - 0.05) / 4),
        ("evalscope", 0.10, 0.40, (0.40 - 0.10) / 4),
        ("vllm", 0.10, 0.30, (0.30 - 0.10) / 4),
        ("sglang", 0.10, 0.50, (0.50 - 0.10) / 4),
        ("guidellm", 0.10, 0.50, 0.30 / 5),
        ("aiperf", 0.10, 0.30, (0.30 - 0.10) / 4),
        ("llmeter", 0.20, 0.30, (0.30 - 0.20) / 4),
    ],
)
def test_one_answer_under_every_definition(name, ttft, e2e, tpot):
    assert [ttft] == values(name, "ttft")
    assert [e2e] == values(name, "e2e")
    assert [tpot] == values(name, "tpot")


@pytest.mark.parametrize(
    ("name", "gaps"),
    [
        ("perfkit", [0.10, 0.06, 0.04]),
        ("evalscope-1.0", [0.05, 0.10, 0.06, 0.04, 0.10]),
        ("evalscope-1.10", [0.05, 0.10, 0.06, 0.04]),
        ("evalscope", [0.10, 0.06, 0.04]),
        ("vllm", [0.10, 0.06, 0.04]),
        ("sglang", [0.10, 0.06, 0.04]),
        ("guidellm", [0.05]),
        ("aiperf", [0.05]),
    ],
)
def test_gaps_under_every_definition(name, gaps):
    assert gaps == values(name, "itl")


def test_guidellm_weighs_by_tokens():
    assert [weight for _, weight in definition("guidellm").tpot(ANSWER)] == [5]
    assert [weight for _, weight in definition("guidellm").itl(ANSWER)] == [4]


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("metric", ["ttft", "itl", "tpot", "e2e"])
def test_an_answer_without_output_has_a_value_under_no_definition_but_its_end(name, metric):
    silent = Stamps([], [], [], latency=0.5, tokens=0)
    found = definition(name).values(metric, silent)
    assert found == ([(0.5, 1)] if metric == "e2e" and definition(name).end is None else [])


@pytest.mark.parametrize(
    ("name", "metric", "needed"),
    [
        ("perfkit", "ttft", "ends"),
        ("perfkit", "itl", "visible"),
        ("perfkit", "tpot", "ends"),
        ("perfkit", "e2e", "nothing"),
        ("evalscope-1.10", "ttft", "choices"),
        ("vllm", "ttft", "ends"),
        ("vllm", "itl", "choices"),
        ("evalscope", "ttft", "ends"),
        ("evalscope", "e2e", "events"),
        ("evalscope-1.0", "itl", "events"),
        ("guidellm", "itl", "ends"),
    ],
)
def test_a_definition_says_which_chunks_it_needs(name, metric, needed):
    assert definition(name).needs(metric) == needed


def test_a_mistyped_definition_suggests_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'guidellm'"):
        definition("guidelm")


@pytest.mark.parametrize(
    ("name", "tpot"), [("evalscope-1.12", [(0.0, 1)]), ("evalscope", []), ("evalscope-1.10", [(0.0, 1)])]
)
def test_an_answer_of_one_token_counts_as_0_until_evalscope_1_13(name, tpot):
    one = Stamps([0.1], [Kind.CONTENT], [0], latency=0.2, tokens=1)
    assert definition(name).values("tpot", one) == tpot
