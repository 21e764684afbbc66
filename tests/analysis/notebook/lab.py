"""A server of notebooks of its own, and a browser that looks at a notebook in it."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 90_000
"""Milliseconds: a loaded machine starts a kernel slowly."""


_ONE = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port={port}", "--IdentityProvider.token={token}"]
_QUIET = ["--ServerApp.terminals_enabled=False"]
PROGRAMS = {
    "jupyterlab": ([*_ONE, *_QUIET, "--LabApp.news_url="], "/lab/tree/{name}?token={token}&reset"),
    "notebook": ([*_ONE, *_QUIET], "/notebooks/{name}?token={token}"),
    "voila": (
        ["{name}", "--no-browser", "--port={port}", "--Voila.ip=127.0.0.1", "--token={token}"],
        "/?token={token}",
    ),
}
"""What they are told, and where they show a notebook."""


@contextmanager
def opened(notebook, home, program="jupyterlab", **viewed):
    """Yield a notebook as a page of a browser; ``home`` takes what the server and the browser keep of their own."""
    from playwright.sync_api import sync_playwright

    viewed = {"viewport": {"width": 1300, "height": 1400}, **viewed}
    with _served(notebook, home, program) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            str(home / "profile"), executable_path=CHROMIUM, headless=True, args=QUIET, **viewed
        )
        page = browser.pages[0]
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        yield page
        browser.close()


@contextmanager
def _served(notebook, home, program):
    """Yield the address of a notebook at a server that leaves nothing in the person's home."""
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
    given = {"port": port, "token": secrets.token_hex(16), "name": notebook.name}
    words, path = PROGRAMS[program]
    command = [sys.executable, "-m", program, *(word.format(**given) for word in words)]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=notebook.parent, env={**os.environ, **places}, stdout=log, stderr=log)
    try:
        _wait_until_up(port, server)
        yield f"http://127.0.0.1:{port}{path.format(**given)}"
    finally:
        server.terminate()
        server.wait(20)


def _wait_until_up(port, server):
    until = monotonic() + PATIENCE / 1000
    while server.poll() is None and monotonic() < until:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=2).close()
            return
        sleep(0.05)
    raise RuntimeError(f"{server.args[2]} did not start")


def run_all(page):
    """Run all cells; Lab forgets the click when its session is not ready, whatever it shows, so look and repeat."""
    from playwright.sync_api import Error

    page.get_by_text("Python 3 (ipykernel)").first.wait_for()
    page.locator("[data-status='idle']").first.wait_for()
    started = "[...document.querySelectorAll('.jp-InputPrompt')].some(prompt => /\\[[*0-9]/.test(prompt.innerText))"
    for _ in range(5):
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with suppress(Error):
            page.wait_for_function(started, timeout=5000)
            return
