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

from tests.run_files import request, write_run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MISSING = [name for name in ("playwright", "jupyterlab") if find_spec(name) is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM or bool(MISSING), reason=f"needs Chromium, Playwright and JupyterLab: {MISSING}"),
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
    places |= {"IPYTHONDIR": str(home / "ipython"), "PYTHONPATH": str(Path(__file__).parents[2])}
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
    row = page.locator(".widget-inline-hbox").filter(has=page.get_by_text(name, exact=True))
    return row.first


def spelling_holds(page, text):
    page.wait_for_function(
        "text => [...document.querySelectorAll('code')].some(line => line.innerText.includes(text))", arg=text
    )


def picture(page):
    return page.locator("img.widget-image, .widget-image img").first.get_attribute("src")


def test_the_explorer_draws_what_is_chosen(page):
    before = picture(page)
    control(page, "metric").locator("select").select_option(label="e2e: end-to-end latency")
    spelling_holds(page, 'pk.open("runs.db").plot.ecdf("e2e")')
    control(page, "chart").locator("select").select_option("hist")
    spelling_holds(page, 'plot.hist("e2e")')
    control(page, "runs").locator("option").filter(has_text="tp4").click()
    spelling_holds(page, '.pick("<i>tp4</i>")')
    page.wait_for_function("before => document.querySelector('img.widget-image').src !== before", arg=before)


def test_a_filter_is_typed_and_its_mistake_said(page):
    where = control(page, "where").locator("input")
    where.fill("ttft > 500ms")
    where.press("Enter")
    spelling_holds(page, '.where("ttft > 500ms")')
    where.fill("tfft > 1")
    where.press("Enter")
    page.get_by_text("did you mean").first.wait_for()
    if folder := os.environ.get("PERFKIT_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/lab.png")
    where.fill("")
    where.press("Enter")


def test_the_slider_is_moved_by_hand(page):
    handle = control(page, "e2e").locator(".noUi-handle").last
    handle.focus()
    for _ in range(3):
        handle.press("ArrowLeft")
    spelling_holds(page, "e2e <=")


def test_the_stop_button_ends_a_job_that_runs_beside_the_notebook(page):
    line = page.locator(".jp-OutputArea-output").filter(has=page.locator(".progress"))
    line.get_by_text("requests/s").first.wait_for()
    line.get_by_role("button", name="stop").click()
    page.get_by_text("stopped:").first.wait_for()
