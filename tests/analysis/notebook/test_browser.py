"""A person at JupyterLab: opens a notebook, runs all cells, turns the knobs of the explorer, stops a job."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import nbformat
import pytest

from perfkit.runner.attach import attach
from tests.run_files import request, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = [name for name in ("playwright", "jupyterlab") if find_spec(name) is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM or bool(MISSING), reason=f"needs Chromium, Playwright and JupyterLab: {MISSING}"),
    pytest.mark.processes,
]

QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 90_000
"""Milliseconds: a loaded machine starts a kernel slowly."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run file and a notebook that explores it and starts a job."""
    home = tmp_path_factory.mktemp("lab")
    for users, name in ((1, "tp2"), (8, "<i>tp4</i>")):
        rows = [request(i, i, ttft=0.05 * users + 0.01 * i, gaps=(0.02,) * (5 + i % 7)) for i in range(60)]
        write_run(home / "runs.db", rows, name=name, parallel=users)
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
def lab(folder, tmp_path_factory):
    """The address of a JupyterLab of its own, which leaves nothing in the person's home."""
    home, token = tmp_path_factory.mktemp("home"), secrets.token_hex(16)
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    # Lab asks on its first start whether it may fetch news; the question would cover the notebook.
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    names = {"CONFIG": "config", "DATA": "data", "RUNTIME": "runtime"}
    places = {f"JUPYTER_{name}_DIR": str(home / place) for name, place in names.items()}
    places |= {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}
    places |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(Path(__file__).parents[3])}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += [f"--IdentityProvider.token={token}", "--LabApp.news_url=", "--ServerApp.terminals_enabled=False"]
    with (home / "lab.log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env={**os.environ, **places}, stdout=log, stderr=log)
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/api/status?token={token}", server)
        yield f"http://127.0.0.1:{port}/lab/tree/look.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(20)


def _wait_until_up(address, server):
    until = monotonic() + PATIENCE / 1000
    while server.poll() is None and monotonic() < until:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            pass
    pytest.fail("JupyterLab did not start")


@pytest.fixture(scope="module")
def page(lab, tmp_path_factory):
    """The notebook in a browser, all its cells run."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        profile = str(tmp_path_factory.mktemp("profile"))
        browser = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=QUIET, viewport={"width": 1300, "height": 1400}
        )
        page = browser.pages[0]
        page.set_default_timeout(PATIENCE)
        page.goto(lab)
        _run_all(page)
        page.locator(".jp-OutputArea-output pre").filter(has_text="the last cell ran").last.wait_for()
        yield page
        browser.close()


def _run_all(page):
    """Run all cells; Lab forgets the click when its session is not ready, whatever it shows, so look and repeat."""
    from playwright.sync_api import Error

    page.get_by_text("Python 3 (ipykernel) | Idle").first.wait_for()
    started = "[...document.querySelectorAll('.jp-InputPrompt')].some(prompt => /\\[[*0-9]/.test(prompt.innerText))"
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(Error):
            page.wait_for_function(started, timeout=5000)
            return


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
