"""A person at JupyterLab: opens a notebook, runs all cells, turns the knobs of the explorer, stops a job."""

import os
from importlib.util import find_spec
from time import monotonic

import nbformat
import pytest

from perfkit.runner.attach import attach
from tests.analysis.notebook.lab import CHROMIUM, PATIENCE, opened, run_all
from tests.run_files import request, write_run

MISSING = [name for name in ("playwright", "jupyterlab") if find_spec(name) is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM or bool(MISSING), reason=f"needs Chromium, Playwright and JupyterLab: {MISSING}"),
    pytest.mark.processes,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run file and a notebook that explores it and starts a job."""
    home = tmp_path_factory.mktemp("lab")
    for users, name in ((1, "tp2"), (8, "<i>tp4</i>")):
        rows = [request(i, i, ttft=0.05 * users + 0.01 * i, gaps=(0.02,) * (5 + i % 7)) for i in range(60)]
        write_run(home / "runs.db", rows, name=name, parallel=8)
    cells = [
        "import perfkit as pk\nserver = pk.simulate(ttft=0.02, itl=0.002)",
        "pk.explore('runs.db')",
        "job = pk.start(server.url, parallel=2, duration=600, max_tokens=8, db='live.db')\njob",
        "print('the last cell ran')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(notebook, home / "look.ipynb")
    return home


@pytest.fixture(scope="module")
def page(folder, tmp_path_factory):
    """The notebook in a browser, all its cells run."""
    with opened(folder / "look.ipynb", tmp_path_factory.mktemp("home")) as page:
        run_all(page)
        page.locator(".jp-OutputArea-output pre").filter(has_text="the last cell ran").last.wait_for()
        yield page


def control(page, name):
    """The control with a description."""
    row = page.locator(".widget-inline-hbox:visible").filter(has=page.get_by_text(name, exact=True))
    return row.first


def code_holds(page, text):
    page.wait_for_function("text => document.querySelector('.perfkit-code input').value.includes(text)", arg=text)


def picture(page):
    return page.locator(".perfkit-picture img").first.get_attribute("src")


def another_picture(page, before):
    page.wait_for_function("before => document.querySelector('.perfkit-picture img').src !== before", arg=before)


def tab(page, name):
    page.get_by_role("tab", name=name, exact=True).last.click()


def place(page, x, y):
    """Where a share of the picture's width and height is on the page."""
    box = page.locator(".perfkit-picture img").first.bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_the_explorer_draws_what_is_chosen(page):
    before = picture(page)
    control(page, "metric").locator("select").select_option(label="e2e: end-to-end latency")
    code_holds(page, 'pk.open("runs.db").plot.ecdf("e2e")')
    another_picture(page, before)
    control(page, "chart").locator("select").select_option("hist")
    code_holds(page, 'plot.hist("e2e")')
    control(page, "metric").locator("select").select_option(label="ttft: time to first token")
    control(page, "chart").locator("select").select_option("ecdf")
    code_holds(page, 'plot.ecdf("ttft")')


def test_a_filter_is_typed_and_its_mistake_said(page):
    where = control(page, "where").locator("input")
    where.fill("ttft > 500ms")
    where.press("Enter")
    code_holds(page, '.where("ttft > 500ms")')
    where.fill("tfft > 1")
    where.press("Enter")
    page.get_by_text("did you mean").first.wait_for()
    if folder := os.environ.get("PERFKIT_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/lab.png")
    where.fill("")
    where.press("Enter")
    page.locator(".perfkit-picture img:visible").first.wait_for()


def test_the_slider_is_moved_by_hand(page):
    handle = page.locator(".noUi-handle:visible").last
    handle.focus()
    for _ in range(3):
        handle.press("ArrowLeft")
    code_holds(page, "e2e <=")
    for _ in range(3):
        handle.press("ArrowRight")
    page.wait_for_function("!document.querySelector('.perfkit-code input').value.includes('e2e <=')")


def test_a_dot_is_clicked_and_its_answer_read(page):
    tip = page.locator(".perfkit-picture .tip")
    for x in range(150, 950, 5):
        page.mouse.move(*place(page, x / 1000, 0.45))
        if tip.is_visible():
            break
    tip.get_by_text("ms").wait_for()
    page.mouse.down()
    page.mouse.up()
    page.wait_for_function("document.querySelectorAll('.perfkit-picture .mark').length === 1")
    tab(page, "Requests")
    page.get_by_text("in flight when it was sent").wait_for()
    page.locator(".perfkit-text").filter(has_text="prompt ").first.wait_for()
    code_holds(page, ".decoded()")
    tab(page, "Chart")


def test_a_drag_picks_the_requests_within(page):
    page.locator(".perfkit-picture img:visible").first.wait_for()
    page.mouse.move(*place(page, 0.2, 0.2))
    page.mouse.down()
    page.mouse.move(*place(page, 0.9, 0.6), steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.perfkit-picture .said').textContent.includes('requests picked')")
    assert page.locator(".perfkit-picture .mark").count() > 1


def test_a_legend_entry_is_hidden_and_shown_again(page):
    page.locator(".perfkit-picture .legend button").nth(1).click()
    code_holds(page, '.pick("tp2")')
    page.get_by_role("button", name="show <i>tp4</i>").click()
    page.wait_for_function("!document.querySelector('.perfkit-code input').value.includes('pick')")


def test_runs_are_searched_and_marked(page):
    tab(page, "Runs")
    page.locator(".perfkit-grid input:visible").fill("tp4")
    page.get_by_text("1 row", exact=True).wait_for()
    page.locator(".perfkit-grid tbody tr:visible").first.click()
    code_holds(page, '.pick("<i>tp4</i>")')
    page.get_by_placeholder("after the driver update").fill("kept <i>by hand</i>")
    page.get_by_role("button", name="keep").click()
    page.get_by_text('note="kept <i>by hand</i>"').wait_for()
    page.locator(".perfkit-grid td:visible").filter(has_text="kept <i>by hand</i>").wait_for()
    if folder := os.environ.get("PERFKIT_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/runs.png")
    page.get_by_role("button", name="none").click()
    tab(page, "Chart")


def test_two_runs_are_compared_with_the_baseline_that_is_chosen(page):
    tab(page, "Compare")
    control(page, "baseline").locator("select").select_option("<i>tp4</i>")
    code_holds(page, '.compare("<i>tp4</i>")')
    page.get_by_text(
        "A difference between tp2 and <i>tp4</i> at 8 users cannot be claimed from one run each"
    ).wait_for()
    page.locator("th:visible").get_by_text("against <i>tp4</i>", exact=True).wait_for()
    page.locator("img[src^='blob:']:visible, img[src^='data:']:visible").first.wait_for()


def test_a_chart_is_exported_and_looked_at(page, folder):
    tab(page, "Export")
    page.get_by_role("button", name="write").click()
    page.locator("a[download='ecdf-ttft.png']").wait_for()
    assert (folder / "charts" / "ecdf-ttft.png").read_bytes().startswith(b"\x89PNG")
    tab(page, "Chart")


def run_cell(page, source):
    """Type a cell below the last one and run it."""
    page.locator(".jp-Notebook .jp-Cell").last.click()
    for key in ("Escape", "b", "Enter"):
        page.keyboard.press(key)
    page.keyboard.insert_text(source)
    page.keyboard.press("Shift+Enter")


def until(page, condition):
    """Wait until something holds that the page does not show."""
    limit = monotonic() + PATIENCE / 1000
    while not condition():
        assert monotonic() < limit
        page.wait_for_timeout(50)


def panel(page):
    """The panel of the job that runs beside the notebook."""
    return page.locator(".jp-OutputArea-output").filter(has=page.locator(".progress"))


def test_the_panel_of_a_job_has_its_figures_and_curves(page):
    row = panel(page).locator("td").filter(has_text="2 users").first
    row.wait_for()
    panel(page).locator("svg polyline").first.wait_for()
    panel(page).get_by_text("so far ").first.wait_for()
    cells = panel(page).locator("tr").nth(1).locator("td").all_inner_texts()
    ttft = float(cells[5].removesuffix(" ms"))
    assert 20 <= ttft < 200


def test_a_job_is_extended_from_its_panel(page, folder):
    panel(page).get_by_role("button", name="+ 60 s").click()
    until(page, lambda: attach(folder / "live.db").progress.duration == 660)


def test_the_stop_button_ends_a_job_that_runs_beside_the_notebook_within_two_seconds(page):
    panel(page).get_by_role("button", name="stop").click()
    pressed = monotonic()
    panel(page).get_by_text("stopped:").first.wait_for()
    assert monotonic() - pressed < 2


def test_interrupting_the_kernel_ends_the_wait_for_a_job_within_a_second_and_leaves_the_job(page, folder):
    run_cell(page, "job = pk.start(server.url, parallel=2, duration=600, max_tokens=8, db='later.db')\nawait job")
    page.locator(".jp-InputPrompt").filter(has_text="[*]").first.wait_for()
    until(page, (folder / "later.db").exists)
    for key in ("Escape", "i", "i"):  # as in the menu: interrupt the kernel
        page.keyboard.press(key)
    asked = monotonic()
    page.get_by_text("the wait was interrupted; the job goes on in").first.wait_for()
    assert monotonic() - asked < 1
    run_cell(page, "print('still running:', not job.done()); _ = job.stop()")
    page.get_by_text("still running: True").last.wait_for()
