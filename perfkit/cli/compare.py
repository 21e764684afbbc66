"""``perfkit compare``: runs against a baseline, and a gate for a pipeline."""

import argparse
from dataclasses import asdict

from perfkit.cli.json_output import add_json, to_json
from perfkit.cli.sources import add_sources, open_sources
from perfkit.errors import NotComparable, Slower, UsageError

DESCRIPTION = "Compare runs with a baseline at equal load: ratios with intervals, and a sentence each."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``compare`` takes."""
    add_sources(parser)
    parser.add_argument("--baseline", required=True, metavar="NAME", help="a run's name, or a value of --by")
    parser.add_argument("--by", default="run", metavar="SETTING", help="setting or tag to group by")
    parser.add_argument(
        "--match",
        nargs="+",
        metavar="SETTING",
        help="settings that must be equal, and no others; default: model, dataset, load and all that changes the work",
    )
    parser.add_argument("--quantity", nargs="+", metavar="NAME", help="ttft_p95, tpot_mean, output_throughput, ...")
    parser.add_argument("--test", default="interval", help="what p rests on: interval or permutation")
    parser.add_argument(
        "--noise",
        metavar="SHARE",
        help="standard deviation between runs of one setting, such as 4%%, where a side has too few runs to tell",
    )
    _add_gate(parser)
    add_json(parser)


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tolerance",
        nargs="+",
        metavar="NAME=SHARE",
        help="a gate: exit with status 5 if a quantity is clearly worse by more than this or the sides cannot be "
        "compared, with 6 if it is undecided: ttft_p95=5%% output_throughput=0.05 failures=1%%",
    )
    parser.add_argument("--unsure", choices=("pass", "fail"), help="what an undecided gate counts as, instead of 6")


def run(options: argparse.Namespace) -> int:
    """Print a comparison, and what the gate finds that ``--tolerance`` asks for."""
    from perfkit.analysis.compare import check_gate, require  # with pandas, which --help does without
    from perfkit.analysis.compare.gate import FAILURES

    tolerances = dict(_tolerance(text) for text in options.tolerance or ())
    names = [*(options.quantity or ()), *(name for name in tolerances if name != FAILURES)]
    given = {name: value for name, value in {"match": options.match, "quantities": names}.items() if value}
    try:
        comparison = open_sources(options).compare(
            options.baseline, by=options.by, test=options.test, noise=options.noise, **given
        )
    except NotComparable as error:
        if not tolerances:
            raise
        raise Slower(f"gate failed: the loads or the work differ; {error}") from None
    if not tolerances:
        print(to_json(comparison.to_dict()) if options.json else comparison)
        return 0
    gate = check_gate(comparison, tolerances)
    print(to_json(comparison.to_dict() | {"gate": asdict(gate)}) if options.json else comparison)
    passed = require(gate, options.unsure)
    if not options.json:
        print(f"\n{passed}")
    return 0


def _tolerance(text: str) -> tuple[str, str]:
    name, separator, allowed = text.partition("=")
    if not separator:
        raise UsageError(f"--tolerance takes a quantity and a share, such as ttft_p95=5%, got {text!r}")
    return name, allowed
