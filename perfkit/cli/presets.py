"""``perfkit presets``: the loads that people name, with their figures and where these were published."""

import argparse
import json
from textwrap import fill

from perfkit.cli.json_output import add_json, to_json
from perfkit.options.presets import PRESETS, Preset

DESCRIPTION = (
    "List the presets that run --preset takes, or say of some of them which options they set and where the figures "
    "were published."
)
WIDTH = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``presets`` takes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="presets to describe; default: all, a line each")
    add_json(parser, "settings and sources")


def run(options: argparse.Namespace) -> int:
    """Print them."""
    chosen = {name: PRESETS.find(name) for name in options.names or PRESETS}
    if options.json:
        print(to_json({name: _told(preset) for name, preset in chosen.items()}))
    elif options.names:
        print("\n\n".join(_described(name, preset) for name, preset in chosen.items()))
    else:
        print("\n".join(f"{name:<10} {preset.meaning}" for name, preset in chosen.items()))
        print("\nperfkit presets NAME says what one sets, and where its figures were published")
    return 0


def _told(preset: Preset) -> dict[str, object]:
    return {"meaning": preset.meaning, "settings": dict(preset.settings), "sources": dict(preset.sources)}


def _described(name: str, preset: Preset) -> str:
    lines = [f"{name}: {preset.meaning}"]
    for figure, value in preset.figures.items():
        lines.append(f"  {figure} = {json.dumps(value)}")
        if figure in preset.sources:
            lines.append(fill(preset.sources[figure], WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)
