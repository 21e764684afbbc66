"""A comparison at several loads at a glance: a row a quantity, a column a load."""

from collections.abc import Sequence

from perfkit.analysis.compare.result import ONE_RUN, Result, at_load
from perfkit.analysis.text_table import Cell, ditto, label, number

UNCLEAR = (ONE_RUN, "no clear difference", "too few")


def load_of(result: Result) -> str:
    """Return what the load of a result is called, such as ``8 users``."""
    return at_load(result.pairing.load).removeprefix(" at ")


def several_loads(results: Sequence[Result]) -> list[str]:
    """Return the loads of results in their order, if there are several; else none."""
    loads = list(dict.fromkeys(map(load_of, results)))
    return loads if len(loads) > 1 else []


def grid(results: Sequence[Result], baseline: str) -> tuple[list[str], list[list[Cell]]]:
    """Return the head and the rows of a table of ratios, a column for each load.

    Parameters
    ----------
    results : sequence of Result
        In the order of their loads.
    baseline : str
        What the ratios are to.
    """
    loads = several_loads(results)
    found = {(each.pairing.other, each.quantity.words, load_of(each)): each for each in results}
    rows = [
        [label(group), label(words), *(_cell(found.get((group, words, load))) for load in loads)]
        for group, words in dict.fromkeys((group, words) for group, words, _ in found)
    ]
    return [f"against {baseline}", "ratio of", *loads], ditto(rows, 1)


def _cell(result: Result | None) -> Cell:
    """Return a ratio with its interval, and with what it means where that is clear."""
    if result is None or not result.ratio.value > 0:
        return Cell("–")
    ratio = result.ratio
    interval = f" ({number(ratio.low)} to {number(ratio.high)})" if ratio.known else ""
    clear = result.judgement not in UNCLEAR
    text = f"{number(ratio.value)}{interval}{f' {result.judgement}' if clear else ''}"
    return Cell(text, faint=result.method == "requests" or bool(result.mark), strong=clear)
