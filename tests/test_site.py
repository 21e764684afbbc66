"""The site of the documentation: what goes into it, and what is refused."""

import ast
import asyncio
import inspect
import pkgutil
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import perfkit as pk
from docs import build_site, notebook_pages, reference
from tests.loadgen.workers.processes import until
from tests.nets.inventory import returned

ROOT = Path(__file__).parents[1]
BOILER = '<html><body id="here">{}</body></html>'


def public():
    """Names of ``pk``, and the classes that what they are or return leads to."""
    for module in pkgutil.walk_packages(pk.__path__, "perfkit."):  # hints name classes that only type checkers import
        if not module.name.endswith("__main__"):
            import_module(module.name)
    names = [name for name in sorted(dir(pk)) if not name.startswith("_") and name not in reference.NOT_OURS]
    classes, waiting = set(), [getattr(pk, name) for name in names]
    while waiting:
        value = waiting.pop()
        if inspect.isclass(value) and value not in classes:
            classes.add(value)
            members = [inspect.getattr_static(value, name) for name in dir(value) if not name.startswith("_")]
            inner = [getattr(each, "fget", getattr(each, "func", each)) for each in members]
            waiting += [each for member in inner if callable(member) for _, each in returned("", member)]
        elif callable(value) and not inspect.isclass(value):
            waiting += [each for _, each in returned("", value)]
    return {reference.place(name) for name in names} | {f"{each.__module__}.{each.__qualname__}" for each in classes}


@pytest.mark.slow
def test_every_public_name_is_described_once():
    described = [reference.place(name) for group in reference.GROUPS.values() for name in group.names]
    assert sorted(public() - set(described)) == [], "name them in docs/reference.py"
    assert sorted({name for name in described if described.count(name) > 1}) == []


@pytest.mark.slow
def test_every_chart_and_every_command_is_described():
    charts = {name.rpartition(".")[2] for name in reference.GROUPS["charts"].names}
    assert {"ecdf", "sweep", "timeline"} <= charts
    assert "## perfkit capacity\n\nFind the largest load" in reference.commands()
    assert "--slo" in reference.commands()


def pages_of(nav):
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        else:
            for inside in entry.values():
                yield from [inside] if isinstance(inside, str) else pages_of(inside)


@pytest.mark.slow
def test_every_page_is_in_the_menu_once(tmp_path):
    build_site.gather(tmp_path, figures=False)
    there = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.md"))
    listed = list(pages_of(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]))
    assert sorted(listed) == there, "name them in zensical.toml"


@pytest.mark.parametrize(
    ("page", "text", "leads_to"),
    [
        ("README.md", "[a](docs/explore.md)", "[a](docs/explore.md)"),
        ("docs/apis.md", "[a](../README.md#more)", "[a](../index.md#more)"),
        ("README.md", "[a](notebooks/01-first-benchmark.ipynb)", "[a](notebooks/01-first-benchmark.md)"),
        ("README.md", "[a](notebooks/)", "[a](notebooks/README.md)"),
        ("README.md", "[a](https://a.org/x.ipynb)", "[a](https://a.org/x.ipynb)"),
    ],
)
def test_links_of_the_repository_lead_to_pages_of_the_site(page, text, leads_to):
    assert build_site.linked(text, ROOT / page) == leads_to


@pytest.mark.parametrize(
    ("html", "said"),
    [
        (
            '<script src="https://a.org/x.js"></script>',
            "a.html loads https://a.org/x.js, which is not part of the site",
        ),
        ('<link rel="stylesheet" href="//a.org/x.css">', "a.html loads //a.org/x.css, which is not part of the site"),
        ('<img src="no.png">', "a.html loads no.png, which is not there"),
        ('<a href="no.html">', "a.html links to no.html, which is not there"),
        ('<a href="#nowhere">', "a.html links to #nowhere, where there is no such place"),
        ('<a href="b.html#nowhere">', "a.html links to b.html#nowhere, where there is no such place"),
        ('<a href="b.html#here"><a href="https://a.org/">', None),
    ],
)
def test_a_page_that_loads_from_elsewhere_or_links_to_nowhere_is_refused(tmp_path, html, said):
    (tmp_path / "a.html").write_text(BOILER.format(html))
    (tmp_path / "b.html").write_text(BOILER.format(""))
    found = [line for line in build_site.check(tmp_path) if not line.endswith("is not described")]
    assert found == ([said] if said else [])


def test_a_style_that_loads_from_elsewhere_and_a_name_without_description_are_refused(tmp_path):
    (tmp_path / "a.css").write_text("@import 'https://fonts.org/a.css'; p { background: url(local.png) }")
    found = list(build_site.check(tmp_path))
    assert found[0] == "a.css loads https://fonts.org/a.css, which is not part of the site"
    assert "run is not described" in found


def test_outputs_of_a_notebook_are_on_its_page(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    table = '<table border="1" class="dataframe">\n\n<td>1</td></table>'
    outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="a line\n"),
        nbformat.v4.new_output("execute_result", data={"text/html": table, "text/plain": "1"}),
        nbformat.v4.new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Axes>"}),
    ]
    cells = [nbformat.v4.new_markdown_cell("# Is it?"), nbformat.v4.new_code_cell("1 + 1", outputs=outputs)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "a.ipynb")
    text = notebook_pages.page(tmp_path / "a.ipynb", tmp_path, figures=False)
    assert text.startswith("# Is it?\n\n")
    assert '```text\na line\n```\n\n<div class="output"><table>\n<td>1</td></table></div>\n\n![' in text
    assert (tmp_path / "a-1-2.png").read_bytes().startswith(b"\x89PNG")


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.processes
def test_the_page_of_the_simulated_server_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks("simulate.md"):
        exec(block, names)
    assert names["runs"].failures()["error_kind"].tolist() == ["http_status"]


@pytest.mark.processes
def test_the_page_on_watching_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start, end, alone, find, again = blocks("watching.md")
    with pk.simulate(ttft=0.01, itl=0.001) as server:
        names = {}
        for block in (start, end, alone, find):
            text = block.replace("http://localhost:8000", server.url).replace("rate=4", "rate=30")
            text = text.replace("2h", "3s").replace("10min", "100ms")
            code = compile(text, "watching.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if (waiting := eval(code, names)) is not None:
                asyncio.run(waiting)
            until(lambda: names["job"].progress.done)
        names["job"].wait(60)
        assert names["job"].path == Path("outputs/evening.db")
        with pytest.raises(pk.PerfkitError, match=r"nothing is missing|no sweep"):
            exec(again, names)
