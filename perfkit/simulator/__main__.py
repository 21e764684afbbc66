"""``python -m perfkit.simulator``: the simulated server as a program."""

import argparse
import sys

from perfkit.simulator.command import add_arguments, main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m perfkit.simulator", description="Serve a simulated LLM endpoint.")
    add_arguments(parser)
    sys.exit(main(parser.parse_args()))
