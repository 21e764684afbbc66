import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[2]


def test_eight_lines_make_a_figure_of_89_mm_and_a_table_from_files_of_every_generation() -> None:
    words = [sys.executable, "benchmarks/figure.py", "tests/fixtures/evalscope", "--rounds", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=550, check=False, cwd=ROOT)
    assert "89.0 mm wide, TrueType fonts embedded: yes" in done.stdout, done.stdout + done.stderr
    assert re.findall(r"written: (\S+),", done.stdout) == ["ecdf-ttft.pdf", "percentiles.tex"]
    found = re.search(r"(\d+) lines", done.stdout)
    assert found
    assert int(found[1]) <= 8
