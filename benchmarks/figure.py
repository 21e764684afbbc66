"""A figure and a table for a paper from a folder of another tool's files: how many lines, how many seconds.

    python benchmarks/figure.py tests/fixtures/evalscope

Runs ``figure_script.py`` in a fresh process as often as asked, and looks at what it wrote. The exit status is 0 if the
script has at most 8 lines, its fastest run took at most 5 s, and the PDF is 89 mm wide with TrueType fonts.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("figure_script.py")
LINES, SECONDS, WIDTH = 8, 5.0, 89
POINTS_PER_MM = 72 / 25.4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="folder of result files")
    parser.add_argument("--rounds", type=int, default=3, help="runs of the script [3]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        took = [seconds(options.results, folder) for _ in range(options.rounds)]
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
    (pdf,) = (content for name, content in files.items() if name.endswith(".pdf"))
    count = lines(SCRIPT.read_text())
    databases = len(list(options.results.rglob("*.db")))
    times = ", ".join(f"{each:.2f} s" for each in took)
    print(f"{databases} databases; {count} lines; {times}, the imports among them")
    for name, content in files.items():
        print(f"written: {name}, {len(content):,} bytes")
    print(f"{width(pdf):.1f} mm wide, TrueType fonts embedded: {'yes' if b'/FontFile2' in pdf else 'no'}")
    holds = count <= LINES and min(took) <= SECONDS and abs(width(pdf) - WIDTH) < 0.1 and b"/FontFile2" in pdf
    return 0 if holds else 1


def seconds(results: Path, folder: str) -> float:
    """Run the script once; return how long it took."""
    began = time.perf_counter()
    subprocess.run([sys.executable, str(SCRIPT), str(results), folder], check=True)
    return time.perf_counter() - began


def lines(source: str) -> int:
    """Count the lines of a script that do something: no blank ones, no docstring."""
    code = re.sub(r'\A""".*?"""', "", source, flags=re.DOTALL)
    return sum(bool(line.strip()) for line in code.splitlines())


def width(pdf: bytes) -> float:
    """Return the width of a PDF's page in mm."""
    found = re.search(rb"/MediaBox \[ *0 0 ([\d.]+)", pdf)
    return float(found[1]) / POINTS_PER_MM if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
