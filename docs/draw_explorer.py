"""Draw ``explorer.png``, a picture of the explorer in a browser: ``python -m docs.draw_explorer outputs/demo.db``.

Needs Chromium, and ``pip install 'perfkit[browser]'``.
"""

import sys
import tempfile
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image

from tests.analysis.notebook.lab import opened, run_all

PICTURE = Path(__file__).with_name("explorer.png")
COLOURS = 128
"""As many as a small picture of lines and letters needs."""
SHOWN = 'runs.plot.scatter("ttft", x="prompt_tokens")'
PICKED = (0.42, 0.30)
"""Where on the picture to click: a share of its width and of its height."""


def main(path: str) -> None:
    """Open the explorer on a run file, click a request, and keep what the page shows."""
    with tempfile.TemporaryDirectory() as scratch:
        notebook = Path(scratch) / "look.ipynb"
        source = f"import perfkit as pk\n\nruns = pk.open({str(Path(path).resolve())!r})\npk.explore(runs, {SHOWN!r})"
        cells = [nbformat.v4.new_code_cell(source)]
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), notebook)
        home = Path(scratch) / "home"
        with opened(notebook, home, viewport={"width": 1500, "height": 1100}) as page:
            run_all(page)
            picture = page.locator(".perfkit-picture img").first
            picture.wait_for()
            page.wait_for_timeout(1500)  # what else Lab draws at its start
            box = picture.bounding_box()
            page.mouse.click(box["x"] + PICKED[0] * box["width"], box["y"] + PICKED[1] * box["height"])
            page.wait_for_timeout(1500)
            shown = page.locator(".jp-OutputArea-output").last.screenshot()
    Image.open(BytesIO(shown)).convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
