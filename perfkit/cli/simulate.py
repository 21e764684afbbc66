"""``perfkit simulate``: a simulated endpoint in this terminal, until Ctrl-C."""

import argparse

from perfkit.cli.parser import add_options, given
from perfkit.errors import UsageError
from perfkit.simulator.options import GROUPS, Simulation

DESCRIPTION = "Serve a simulated, OpenAI-compatible endpoint whose latency is known, until Ctrl-C."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``simulate`` takes."""
    add_options(parser, declared=Simulation, titles=GROUPS)
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    # Left out a self-test that there was; scripts still pass it.
    parser.add_argument("--no-measure", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    from perfkit.simulator.server import run

    simulation = Simulation(**given(options, Simulation))
    try:
        run(simulation, until_eof=options.until_eof)
    except OSError as error:
        raise UsageError(f"cannot serve: {error}") from None
    return 0
