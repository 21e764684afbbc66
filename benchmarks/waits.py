"""How long may the client wait for a processor before it is to be seen in the numbers?

    python benchmarks/waits.py --rounds 2

Runs beside 0 to 6 busy neighbours on the worker's core, each a job with a session of its own; with kernel stamps and
with user stamps. For each band of waiting the table says in how many runs the verdict had another reason than the
wait to doubt them, and in how many the server's log or the times of sending show the client (see ``verdicts.py``).
The limits of ``processor wait`` rest on this; the exit status is always 0.
"""

import argparse
import itertools
import sys
import tempfile
from functools import partial
from pathlib import Path

from verdicts import LATE, STEADY, Given, Heard, measured, middle_and_worst, neighbours

LOADS: list[Given] = [
    {"parallel": 1},
    {"parallel": 8},
    {"parallel": 32},
    {"parallel": 32, "stamps": "user"},
    {"parallel": 64},
    {"rate": 50},
    STEADY,
]
NEIGHBOURS = (0, 1, 2, 3, 6)
BANDS = (0.0, 0.05, 0.15, 0.25, 0.5, 1.01)


def heard(given: Given, number: int) -> Heard:
    """Measure beside some neighbours."""
    with tempfile.TemporaryDirectory() as folder:
        return measured(given, Path(folder), partial(neighbours, number) if number else None)


def table(runs: list[Heard]) -> str:
    """Return a Markdown table, a line for each band of waiting."""
    head = ("processor wait", "runs", *LATE, "doubted for something else", "the client shows", "and yet VALID")
    lines: list[tuple[str, ...]] = [head, ("---",) * len(head)]
    for low, high in itertools.pairwise(BANDS):
        some = [each for each in runs if low <= each.waited < high]
        if not some:
            continue
        late = zip(*((each.late.late_p99, each.late.first_p99, each.sent) for each in some), strict=True)
        others = sum(any(check.name != "processor wait" for check in each.verdict.checks) for each in some)
        off = [each for each in some if each.off]
        counts = (others, len(off), sum(each.verdict.level == "VALID" for each in off))
        band = f"{low:.0%} to {min(high, 1):.0%}"
        lines.append((band, str(len(some)), *map(middle_and_worst, late), *map(str, counts)))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2, help="runs of each load beside each number of neighbours")
    rounds = parser.parse_args(words).rounds
    print(table([heard(given, number) for _ in range(rounds) for number in NEIGHBOURS for given in LOADS]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
