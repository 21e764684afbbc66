"""``python -m perfkit.simulator OPTIONS``, options as JSON: the process behind ``pk.simulate``; ends with its input."""

import json
import sys

from perfkit.errors import PerfkitError
from perfkit.simulator.options import Simulation
from perfkit.simulator.server import run

if __name__ == "__main__":
    try:
        run(Simulation(**json.loads(sys.argv[1])), until_eof=True)
    except (PerfkitError, OSError) as error:
        sys.exit(f"simulator: {error}")
