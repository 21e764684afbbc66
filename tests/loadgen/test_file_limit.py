"""Limits are changed in a process of their own: a hard limit that was lowered stays so."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="file limits are POSIX's"), pytest.mark.processes]

PROGRAM = """
import resource, sys
from perfkit.loadgen.file_limit import allow
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(allow(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("limits", "wanted", "room", "left"),
    [
        ((100, 400), 200, 200, (264, 400)),  # raised to 200 + 64, no further
        ((100, 400), 1000, 336, (400, 400)),  # as far as the hard limit goes
        ((300, 400), 20, 20, (300, 400)),  # never lowered
        ((50, 50), 10, 0, (50, 50)),
    ],
)
def test_the_soft_limit_is_raised_to_what_is_wanted(
    limits: tuple[int, int], wanted: int, room: int, left: tuple[int, int]
) -> None:
    words = [sys.executable, "-c", PROGRAM, *map(str, limits), str(wanted)]
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    assert tuple(map(int, told.split())) == (room, *left)
