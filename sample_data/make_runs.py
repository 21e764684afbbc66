"""Makes ``runs.db``: a small run file to look at, measured against the simulator.

``python sample_data/make_runs.py`` from the repository. Plans, prompts and answers are the same every time; what was
measured is measured again, so times differ a little and the file is not the same byte by byte.
"""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import perfkit as pk

FILE = Path("runs.db")
ENGINES: dict[str, dict[str, Any]] = {
    "A100": {"slots": 6, "itl": 0.012, "prefill_rate": 6_000.0},
    "H100": {"slots": 12, "itl": 0.008, "prefill_rate": 12_000.0},
}
"""Two simulated engines, called what they are meant to remind of."""
ASK: dict[str, Any] = {"db": str(FILE), "dataset": "sample", "max_tokens": 9}


def main() -> None:
    """Measure four closed runs on two engines, and an open one of which some requests fail."""
    os.chdir(Path(__file__).parent)  # so that the file keeps no path of the machine it was made on
    FILE.unlink(missing_ok=True)
    for gpu, engine in ENGINES.items():
        with pk.simulate(model="sample-7b", jitter=0.2, **engine) as server:
            pk.start(server.url, parallel=[1, 8], number=[6, 16], tags={"gpu": gpu}, name=gpu, **ASK).wait()
    with pk.simulate(model="sample-7b", jitter=0.2, fail_every=6, fail_status=503, **ENGINES["H100"]) as server:
        pk.start(server.url, rate=30, number=14, tags={"gpu": "H100"}, name="faulty", **ASK).wait()
    with closing(sqlite3.connect(FILE)) as file:
        file.execute("VACUUM INTO 'small.db'")
    Path("small.db").replace(FILE)


if __name__ == "__main__":
    main()
