"""Draw the pictures of charts.md: ``python docs/draw_charts.py outputs/demo.db``."""

import re
import sys
from pathlib import Path

import perfkit as pk
from perfkit.analysis.plots import render

HERE = Path(__file__).parent


def main(path: str) -> None:
    """Run each line of charts.md that draws, and keep what it drew."""
    runs = pk.open(path)
    text = (HERE / "charts.md").read_text(encoding="utf-8")
    for line, picture in re.findall(r"```python\n(runs\.plot\..*)\n```\n\n!\[\w+\]\((.*)\)", text):
        (HERE / picture).write_bytes(render(eval(line, {"runs": runs}), "png", dpi=110))


if __name__ == "__main__":
    main(*sys.argv[1:])
