from html.parser import HTMLParser

import pytest

import perfkit as pk
from perfkit.analysis.report.report import report
from perfkit.errors import UsageError
from tests.run_files import failure, request, write_run

HOSTILE = "--><script>alert(1)</script><img src=x onerror=alert(1)>"


class Elements(HTMLParser):
    """Every element of a page, with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    @property
    def anchors(self):
        return [found["href"][1:] for tag, found in self.found if tag == "a" and "href" in found]

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    rows = [*(request(i, i, ttft=0.1 + 0.01 * i) for i in range(12)), failure(12, 12, error=HOSTILE)]
    write_run(
        folder / "runs.db",
        rows,
        name=HOSTILE,
        model=HOSTILE,
        tags={"note": HOSTILE},
        arguments={"max_tokens": 64, "system": HOSTILE},
        git='{"commit": "abc123"}',
        samples={"loop_late": [0.05] * 100, "loop_beats": [100.0]},
    )
    return report(pk.open(folder / "runs.db"), folder / "report.html").read_text()


@pytest.mark.slow
def test_it_holds_summary_charts_failures_and_provenance(page):
    headings = ("Findings", "Charts", "Summary", "Failures", "What the numbers mean", "Where it comes from")
    places = [page.index(f">{heading}</h2>") for heading in headings]
    assert places == sorted(places)
    assert "p95 time to first token: 205 ms." in page  # of 0.10, 0.11, ... 0.21 s
    for anchor in Elements(page).anchors:
        assert f'id="{anchor}"' in page
    assert page.count("<svg") >= 5
    assert "abc123" in page
    assert "http_status" in page


@pytest.mark.slow
def test_a_run_that_is_not_valid_is_said_at_the_top(page):
    assert page.index("<b>SUSPECT, ") < page.index(">Charts</h2>")


@pytest.mark.slow
def test_nothing_of_the_data_becomes_an_element(page):
    elements = Elements(page).found
    assert {tag for tag, _ in elements} & {"script", "img", "iframe", "object", "link"} == set()
    assert [name for _, attributes in elements for name in attributes if name.startswith("on")] == []


@pytest.mark.slow
def test_it_asks_nothing_of_the_network(page):
    elements = Elements(page).found
    policy = next(found["content"] for tag, found in elements if found.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    asked = [found[name] for _, found in elements for name in ("src", "href", "xlink:href") if name in found]
    assert [address for address in asked if not address.startswith("#")] == []


@pytest.mark.slow
def test_the_same_runs_give_the_same_page(tmp_path):
    path = write_run(tmp_path / "runs.db", [request(i, i) for i in range(3)])
    charts = ["ecdf", "timeline"]
    first, second = (
        report(pk.open(path), tmp_path / name, charts=charts).read_bytes() for name in ("a.html", "b.html")
    )
    assert first == second


@pytest.mark.slow
def test_what_all_runs_share_is_said_once(tmp_path):
    for name in ("a", "b"):
        write_run(tmp_path / "r.db", [request(0)], name=name, model="qwen", dataset=f"{name}.txt")
    text = report(pk.open(tmp_path), tmp_path / "r.html", charts=[]).read_text()
    assert text.count("<th>model</th><td>qwen</td>") == 1
    assert text.count("a.txt") == text.count("b.txt") == 1


@pytest.mark.slow
def test_charts_can_be_chosen(tmp_path):
    path = write_run(tmp_path / "runs.db", [request(i, i) for i in range(3)])
    page = report(pk.open(path), tmp_path / "a.html", charts=["hist:e2e"]).read_text()
    assert page.count("<svg") == 1
    assert "runs.plot.hist(&#34;e2e&#34;)" in page


@pytest.mark.slow
def test_charts_tell_apart_what_is_asked_for(tmp_path):
    for gpu, users in (("A100", 1), ("A100", 8), ("H100", 1), ("H100", 8)):
        write_run(tmp_path / "r.db", [request(0)], name=f"{gpu}-{users}", parallel=users, tags={"gpu": gpu})
    text = report(pk.open(tmp_path), tmp_path / "r.html", charts=["sweep:ttft"], by="gpu").read_text()
    assert "runs.plot.sweep(&#34;ttft&#34;, by=&#34;gpu&#34;)" in text
    assert all(f">{gpu} p50</text>" in text for gpu in ("A100", "H100"))


def test_an_unknown_chart_writes_no_page(tmp_path):
    path = write_run(tmp_path / "runs.db", [request(i, i) for i in range(3)])
    with pytest.raises(UsageError, match="did you mean 'hist'"):
        report(pk.open(path), tmp_path / "a.html", charts=["hits"])
    assert not (tmp_path / "a.html").exists()


@pytest.mark.parametrize("name", ["r.txt", "r", "r.pdf"])
def test_a_name_of_another_kind_of_file_is_refused(tmp_path, name):
    write_run(tmp_path / "runs.db", [request(0, 0)])
    with pytest.raises(UsageError, match=r"a report is HTML, .* in .html or .htm, or Markdown, in .md"):
        pk.open(tmp_path / "runs.db").report(tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.slow
def test_a_warning_that_runs_share_is_said_once(tmp_path):
    for name in "abcde":
        late = {"loop_late": [0.05] * 100, "loop_beats": [100.0]}
        write_run(tmp_path / "r.db", [request(i, i) for i in range(3)], name=name, samples=late)
    text = report(pk.open(tmp_path), tmp_path / "r.html", charts=[]).read_text()
    assert text.count("5 of 5 runs:</b>") == text.count('<div class="verdict">')
    assert "<title>Benchmark of 5 runs</title>" in text


@pytest.mark.slow
def test_findings_begin_with_the_comparison_where_there_are_sides(tmp_path):
    for gpu, users in (("A100", 1), ("A100", 8), ("H100", 1), ("H100", 8)):
        rows = [request(i, i, ttft=0.1) for i in range(12)]
        write_run(tmp_path / "r.db", rows, name=f"{gpu}-{users}", parallel=users, tags={"gpu": gpu})
    runs = pk.open(tmp_path)
    text = report(runs, tmp_path / "r.html", charts=[], by="gpu").read_text()
    assert str(runs.compare("A100", by="gpu").conclusion).splitlines()[0][:40] in text
    assert text.count("<svg") == 1


@pytest.mark.slow
def test_what_is_folded_on_screen_is_on_paper(page):
    printed = page[page.index("@media print") :]
    assert ".fold:not(:checked) + label + div { display: block; }" in printed


@pytest.mark.slow
def test_markdown_holds_the_findings_and_nothing_of_the_data_becomes_an_element(tmp_path):
    write_run(tmp_path / "r.db", [request(i, i) for i in range(3)], name=HOSTILE + "|@all", tags={"note": HOSTILE})
    text = pk.open(tmp_path / "r.db").report(tmp_path / "r.md").read_text()
    assert text.startswith("# Benchmark of ")
    assert "| run | requests | failed |" in text
    elements = {tag for tag, _ in Elements(text).found}
    assert elements == {"details", "summary"}
    assert "@all" not in text


def test_a_format_that_is_not_that_of_the_name_is_refused(tmp_path):
    write_run(tmp_path / "runs.db", [request(0, 0)])
    with pytest.raises(UsageError, match="for format 'md'"):
        pk.open(tmp_path / "runs.db").report(tmp_path / "r.html", format="md")
