"""A real Jupyter kernel whose cells are sent all at once, as "Run All" does."""

import queue
from dataclasses import dataclass, field
from time import monotonic

from jupyter_client.manager import start_new_kernel


@dataclass
class Cell:
    """What came of one cell: its text, the kinds of its displays, its error as it is shown, and whether it ended."""

    source: str
    text: str = ""
    displays: list = field(default_factory=list)
    error: str = ""
    traceback: list = field(default_factory=list)
    ended: bool = False


def run_all(sources, folder, timeout=120):
    """Queue every cell before the first has ended; return what came of each."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(folder))
    try:
        cells = {client.execute(source): Cell(source) for source in sources}
        until = monotonic() + timeout
        while not all(cell.ended for cell in cells.values()) and monotonic() < until:
            try:
                message = client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            cell = cells.get(message["parent_header"].get("msg_id"))
            if cell is not None:
                _note(cell, message["msg_type"], message["content"])
        return list(cells.values())
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def _note(cell, kind, content):
    if kind == "stream":
        cell.text += content["text"]
    elif kind == "error":
        cell.error, cell.traceback = f"{content['ename']}: {content['evalue']}", content["traceback"]
    elif kind in ("display_data", "execute_result"):
        cell.displays += content["data"]
        cell.text += content["data"].get("text/plain", "")
    elif kind == "status" and content["execution_state"] == "idle":
        cell.ended = True
