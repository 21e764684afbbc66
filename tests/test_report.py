from html.parser import HTMLParser

import pytest

import perfkit as pk
from perfkit.errors import UsageError
from perfkit.report import report
from tests.run_files import failure, request, write_run

HOSTILE = "--><script>alert(1)</script><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.fixture
def page(tmp_path):
    rows = [*(request(i, i, ttft=0.1 + 0.01 * i) for i in range(12)), failure(12, 12, error=HOSTILE)]
    write_run(
        tmp_path / "runs.db",
        rows,
        name=HOSTILE,
        model=HOSTILE,
        tags={"note": HOSTILE},
        arguments={"max_tokens": 64, "system": HOSTILE},
        git='{"commit": "abc123"}',
        samples={"loop_late": [0.05] * 100, "loop_beats": [100.0]},
    )
    return report(pk.open(tmp_path / "runs.db"), tmp_path / "report.html").read_text()


def test_it_holds_summary_charts_failures_and_provenance(page):
    for heading in ("Summary", "Charts", "Failures", "What the numbers mean", "Where it comes from"):
        assert f"<h2>{heading}</h2>" in page
    assert page.count("<svg") >= 5
    assert "abc123" in page
    assert "http_status" in page


def test_a_run_that_is_not_valid_is_said_at_the_top(page):
    assert page.index("is SUSPECT.") < page.index("<h2>Summary</h2>")


def test_nothing_of_the_data_becomes_an_element(page):
    elements = Elements(page).found
    assert {tag for tag, _ in elements} & {"script", "img", "iframe", "object", "link"} == set()
    assert [name for _, attributes in elements for name in attributes if name.startswith("on")] == []


def test_it_asks_nothing_of_the_network(page):
    elements = Elements(page).found
    policy = next(found["content"] for tag, found in elements if found.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    asked = [found[name] for _, found in elements for name in ("src", "href", "xlink:href") if name in found]
    assert [address for address in asked if not address.startswith("#")] == []


def test_the_same_runs_give_the_same_page(tmp_path):
    path = write_run(tmp_path / "runs.db", [request(i, i) for i in range(3)])
    first, second = (report(pk.open(path), tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_what_all_runs_share_is_said_once(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / "r.db", [request(0)], name=name, model="qwen", dataset=f"{name}.txt")
    text = report(pk.open(tmp_path), tmp_path / "r.html", charts=[]).read_text()
    assert '<th>model</th><td colspan="2">qwen</td>' in text
    assert "<th>dataset</th><td>a.txt</td><td>b.txt</td>" in text


def test_charts_can_be_chosen(tmp_path):
    path = write_run(tmp_path / "runs.db", [request(i, i) for i in range(3)])
    page = report(pk.open(path), tmp_path / "a.html", charts=["hist:e2e"]).read_text()
    assert page.count("<svg") == 1
    assert "runs.plot.hist(&#34;e2e&#34;)" in page


def test_charts_tell_apart_what_is_asked_for(tmp_path):
    for gpu, users in (("A100", 1), ("A100", 8), ("H100", 1), ("H100", 8)):
        write_run(tmp_path / "r.db", [request(0)], name=f"{gpu}-{users}", parallel=users, tags={"gpu": gpu})
    text = report(pk.open(tmp_path), tmp_path / "r.html", charts=["sweep:ttft"], by="gpu").read_text()
    assert "runs.plot.sweep(&#34;ttft&#34;, by=&#34;gpu&#34;)" in text
    assert all(f"<!-- {gpu} p50 -->" in text for gpu in ("A100", "H100"))


def test_an_unknown_chart_writes_no_page(tmp_path):
    path = write_run(tmp_path / "runs.db", [request(i, i) for i in range(3)])
    with pytest.raises(UsageError, match="did you mean 'hist'"):
        report(pk.open(path), tmp_path / "a.html", charts=["hits"])
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("name", ["r.md", "r", "r.pdf"])
def test_a_name_of_another_kind_of_file_is_refused(tmp_path, name):
    write_run(tmp_path / "runs.db", [request(0, 0)])
    with pytest.raises(UsageError, match=r"a report is HTML, and its name ends in .html or .htm"):
        pk.open(tmp_path / "runs.db").report(tmp_path / name)
    assert not (tmp_path / name).exists()
