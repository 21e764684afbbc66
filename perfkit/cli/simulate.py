"""``perfkit simulate``: a simulated endpoint in this terminal, until Ctrl-C."""

import argparse

from perfkit.simulator import command


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``simulate``."""
    simulate = subparsers.add_parser(
        "simulate",
        help="serve a simulated endpoint",
        description="Serve a simulated, OpenAI-compatible endpoint whose latency is known, until Ctrl-C.",
    )
    command.add_arguments(simulate)
    simulate.set_defaults(function=command.main)
