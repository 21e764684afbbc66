"""What a notebook offers after a tab."""

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import perfkit as pk
from tests.run_files import request, write_run

pytestmark = pytest.mark.slow


@pytest.fixture
def offered(tmp_path):
    for name in ("tp2", "tp4"):
        write_run(tmp_path / f"{name}.db", [request(0, 0)], name=name)
    shell = InteractiveShell()
    shell.user_ns |= {"pk": pk, "runs": pk.open(tmp_path)}
    shell.user_ns["plot"] = shell.user_ns["runs"].plot

    def complete(text):
        with provisionalcompleter():
            return {each.text.strip("\"']") for each in shell.Completer.completions(text, len(text))}

    return complete


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('runs["t', {"tp2", "tp4"}),
        ('pk.METRICS["tt', {"ttft", "ttfat"}),
        ("plot.ec", {"ecdf"}),
        ("pk.run(max_c", {"max_concurrency="}),
    ],
)
def test_names_complete(offered, text, expected):
    assert expected <= offered(text)


def test_a_chart_names_the_metrics_it_takes(tmp_path):
    path = write_run(tmp_path / "a.db", [request(0, 0)])
    assert "ttft" in pk.open(path).plot.ecdf.__signature__.parameters["metric"].annotation.__args__
