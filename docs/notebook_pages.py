"""The notebooks as pages: text, code, and what the code shows when it is run."""

import base64
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

TIMEOUT = 120
"""Seconds that a cell may take."""
LONGEST = 60
"""Lines of an output that are shown."""


def page(path: Path, folder: Path, *, figures: bool) -> str:
    """Return a notebook as Markdown.

    Parameters
    ----------
    path : Path
        The notebook, beside ``sample_data``.
    folder : Path
        Where its pictures go.
    figures : bool
        Run it, and show what comes.
    """
    notebook = nbformat.read(path, 4)
    if figures:
        _run(notebook, path)
    parts = [part for number, cell in enumerate(notebook.cells) for part in _shown(cell, folder, path.stem, number)]
    title, *rest = parts
    return (
        "\n\n".join([title, f"*The notebook [{path.name}]({path.name}) as it runs: no server is needed.*", *rest])
        + "\n"
    )


def _run(notebook: Any, path: Path) -> None:
    """Run a notebook in a folder of its own, as it would run in the repository."""
    from nbclient import NotebookClient

    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch) / "notebooks"
        work.mkdir()
        shutil.copytree(path.parents[1] / "sample_data", Path(scratch) / "sample_data")
        where = {"metadata": {"path": str(work)}}
        NotebookClient(notebook, timeout=TIMEOUT, resources=where, store_widget_state=False).execute()


def _shown(cell: Any, folder: Path, name: str, number: int) -> Iterator[str]:
    """Yield what a cell is on a page."""
    if cell.cell_type == "markdown":
        yield cell.source
        return
    yield f"```python\n{cell.source}\n```"
    for index, output in enumerate(cell.outputs):
        data = output.get("data", {})
        if output.output_type == "stream" and output.name == "stdout":
            yield _text(output.text)
        elif "image/png" in data:
            picture = folder / f"{name}-{number}-{index}.png"
            picture.write_bytes(base64.b64decode(data["image/png"]))
            yield f"![what the cell shows]({picture.name})"
        elif "application/vnd.jupyter.widget-view+json" in data:
            continue  # a bar that has done its work
        elif "text/html" in data:
            yield f'<div class="output">{_one_block(data["text/html"])}</div>'
        elif "text/plain" in data:
            yield _text(data["text/plain"])


def _text(text: str) -> str:
    lines = text.rstrip().splitlines()
    more = [f"… {len(lines) - LONGEST} lines more"] if len(lines) > LONGEST else []
    return "\n".join(["```text", *lines[:LONGEST], *more, "```"])


def _one_block(html: str) -> str:
    """Return HTML without empty lines, at which Markdown would end it, and tables in the look of the site."""
    return re.sub(r"\n\s*\n", "\n", html.strip()).replace('<table border="1" class="dataframe">', "<table>")
