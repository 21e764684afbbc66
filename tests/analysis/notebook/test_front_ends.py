"""The explorer in the other pages that show notebooks."""

from importlib.util import find_spec

import nbformat
import pytest

from tests.analysis.notebook.lab import CHROMIUM, opened, run_all
from tests.run_files import request, write_run

MISSING = [name for name in ("playwright", "notebook", "voila") if find_spec(name) is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM or bool(MISSING), reason=f"needs Chromium and the extra browser: {MISSING}"),
    pytest.mark.processes,
]


@pytest.mark.parametrize("program", ["notebook", "voila"])
def test_the_explorer_draws_what_is_chosen_in(program, tmp_path):
    write_run(tmp_path / "runs.db", [request(i, i, ttft=0.05 + 0.01 * i) for i in range(20)])
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import perfkit as pk\npk.explore('runs.db')")],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
    )
    nbformat.write(notebook, tmp_path / "explore.ipynb")
    with opened(tmp_path / "explore.ipynb", tmp_path / "home", program) as page:
        if program == "notebook":
            run_all(page)
        picture = page.locator(".perfkit-picture img").first
        picture.wait_for()
        before = picture.get_attribute("src")
        row = page.locator(".widget-inline-hbox:visible").filter(has=page.get_by_text("metric", exact=True)).first
        row.locator("select").select_option(label="e2e: end-to-end latency")
        page.wait_for_function("before => document.querySelector('.perfkit-picture img').src !== before", arg=before)
        code = "document.querySelector('.perfkit-code input').value"
        page.wait_for_function(f"{code}.includes('plot.ecdf(\"e2e\")')")
