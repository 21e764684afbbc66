"""``perfkit compare``, ``plan``, ``save`` and ``lens``: questions about files that are already there."""

import argparse
from dataclasses import asdict

import perfkit as pk
from perfkit.cli.show import add_sources, as_json, sources
from perfkit.comparing import require_not_slower
from perfkit.errors import UsageError


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register ``compare``, ``plan``, ``save`` and ``lens``."""
    compare = subparsers.add_parser(
        "compare",
        help="hold runs against a baseline, at equal load",
        description="Hold runs against a baseline, at equal load: ratios with intervals, and a sentence each.",
    )
    add_sources(compare)
    compare.add_argument("--baseline", required=True, metavar="NAME", help="a run's name, or a value of --by")
    compare.add_argument("--by", default="run", metavar="SETTING", help="setting or tag that tells groups apart")
    compare.add_argument(
        "--match",
        nargs="+",
        metavar="SETTING",
        help="settings that must be equal, and no others; default: model, dataset, load and all that changes the work",
    )
    compare.add_argument("--quantity", nargs="+", metavar="NAME", help="ttft_p95, tpot_mean, output_throughput, ...")
    compare.add_argument("--test", default="interval", help="what p rests on: interval or permutation")
    _add_gate(compare)
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.set_defaults(function=compare_files)

    plan = subparsers.add_parser(
        "plan",
        help="say how many requests a comparison needs",
        description="Say how many requests a side a comparison needs to show a difference, judged by one run that is "
        "like those to come.",
    )
    add_sources(plan)
    plan.add_argument("--effect", default=0.05, metavar="SHARE", help="difference to see: 5%% or 0.05; default: 5%%")
    plan.add_argument("--metric", default="ttft", help="metric or throughput; default ttft")
    plan.add_argument("--quantile", type=float, default=0.95, help="0 to 1; default 0.95")
    plan.add_argument("--json", action="store_true", help="print JSON")
    plan.set_defaults(function=plan_files)

    save = subparsers.add_parser(
        "save",
        help="write chosen runs of any files to one new run file",
        description="Write chosen runs, and of these the chosen requests, of any files to one new run file.",
    )
    add_sources(save)
    save.add_argument("--to", required=True, metavar="FILE", help="new file")
    save.add_argument("--no-body", action="store_true", help="leave out prompts, bodies and answers")
    save.add_argument("--json", action="store_true", help="print JSON")
    save.set_defaults(function=save_files)

    lens = subparsers.add_parser(
        "lens",
        help="one metric as every tool would have counted it",
        description="Show one metric as every tool would have counted it: `changed` counts the requests whose value is "
        "not perfkit's.",
    )
    add_sources(lens)
    lens.add_argument("--metric", default="ttft", help="ttft, itl, tpot or e2e; default ttft")
    lens.add_argument("--json", action="store_true", help="print JSON")
    lens.set_defaults(function=lens_files)


def _add_gate(compare: argparse.ArgumentParser) -> None:
    compare.add_argument(
        "--tolerance",
        nargs="+",
        metavar="NAME=SHARE",
        help="compare these quantities, and exit with status 5 unless each is proved to be at most this much worse: "
        "ttft_p95=5%% output_throughput=0.05",
    )
    compare.add_argument(
        "--unsure",
        choices=("raise", "pass"),
        default="raise",
        help="what --tolerance makes of too few requests to tell; default: raise, which is status 5, too",
    )


def compare_files(options: argparse.Namespace) -> int:
    """Print a comparison; raise ``Slower`` when something is worse than ``--tolerance`` allows."""
    tolerances = dict(_tolerance(text) for text in options.tolerance or ())
    chosen = {"match": options.match, "quantities": [*(options.quantity or ()), *tolerances]}
    given = {name: value for name, value in chosen.items() if value}
    comparison = sources(options).compare(options.baseline, by=options.by, test=options.test, **given)
    print(as_json(comparison.to_dict()) if options.json else comparison)
    require_not_slower(comparison, tolerances, options.unsure)
    return 0


def _tolerance(text: str) -> tuple[str, str]:
    name, separator, allowed = text.partition("=")
    if not separator:
        raise UsageError(f"--tolerance takes a quantity and a share, such as ttft_p95=5%, got {text!r}")
    return name, allowed


def plan_files(options: argparse.Namespace) -> int:
    """Print how many requests a side would show an effect."""
    plan = pk.plan(like=sources(options), effect=options.effect, metric=options.metric, quantile=options.quantile)
    print(as_json(asdict(plan)) if options.json else plan)
    return 0


def save_files(options: argparse.Namespace) -> int:
    """Write runs to a new file and print its name."""
    runs = sources(options)
    path = runs.save(options.to, body=not options.no_body)
    print(as_json({"path": str(path), "runs": len(runs)}) if options.json else path)
    return 0


def lens_files(options: argparse.Namespace) -> int:
    """Print what every tool would have reported."""
    lens = sources(options).lens(options.metric)
    if options.json:
        table = lens.table.reset_index()
        known = table.astype(object).where(table.notna(), None)
        print(as_json([{str(name): value for name, value in row.items()} for row in known.to_dict("records")]))
    else:
        print(lens)
    return 0
