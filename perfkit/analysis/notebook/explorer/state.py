"""What the explorer looks at, as one immutable value, and the line of code that gives the same."""

import ast
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from perfkit.analysis.metrics import METRICS
from perfkit.analysis.plots import CHARTS
from perfkit.analysis.results.runs import Runs
from perfkit.errors import UsageError

TABS = ("runs", "chart", "requests", "compare", "summary", "failures", "lens", "export")


@dataclass(frozen=True)
class State:
    """What is looked at.

    Parameters
    ----------
    tab : str
        Which tab is open.
    runs : tuple of str
        Labels; empty: all.
    renamed : tuple of pairs of str
        Old names and new ones.
    warmup : str
        What is left out at the start, as ``Runs.trim`` takes it; empty: what is stored.
    where : str
        A filter; empty: none.
    within : tuple of str and two floats, or None
        A quantity, and the least and the largest value of it that the slider leaves, as stored; infinite: no bound.
    metric, chart, by : str
        What is drawn, how, and one line per what.
    options : tuple of pairs
        What else the chart is given, such as ``("percentiles", (50, 99))``.
    hidden : tuple of str
        Runs that the legend hides.
    picked : str
        A filter: the requests chosen in the chart or in the table; empty: none.
    request : tuple of str and int, or None
        The request whose text is shown: its run and its ``seq``.
    baseline, sides : str
        What others are compared with, and what tells the sides apart.
    candidates : tuple of str
        Sides that are compared with it; empty: all others.
    question : str
        What ``why_slow`` is asked.
    definition : str
        Another tool's, for the summary; empty: perfkit's.
    export : tuple of pairs
        What ``Runs.export`` is given beside the chart; ``folder`` among it.
    """

    tab: str = "chart"
    runs: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    warmup: str = ""
    where: str = ""
    within: tuple[str, float, float] | None = None
    metric: str = "ttft"
    chart: str = "ecdf"
    by: str = "run"
    options: tuple[tuple[str, Any], ...] = ()
    hidden: tuple[str, ...] = ()
    picked: str = ""
    request: tuple[str, int] | None = None
    baseline: str = ""
    sides: str = "run"
    candidates: tuple[str, ...] = ()
    question: str = ""
    definition: str = ""
    export: tuple[tuple[str, Any], ...] = (("folder", "charts/"),)

    def chosen(self, runs: Runs) -> Runs:
        """Return the runs and the requests that all tabs look at."""
        for name, given, named in self._steps(runs):
            runs = getattr(runs, name)(*given, **named)
        return runs

    def spelled(self, runs: Runs, source: str = "runs") -> str:
        """Return the code of ``chosen``."""
        return source + "".join(f".{name}({call(given, named)})" for name, given, named in self._steps(runs))

    def _steps(self, runs: Runs) -> Iterator[tuple[str, tuple[Any, ...], Mapping[str, Any]]]:
        """Yield the methods that lead from all runs to what is looked at, each with what it is given."""
        labels = [label for label in (self.runs or runs.labels) if label not in self.hidden]
        if self.runs or self.hidden:
            yield "pick", tuple(labels), {}
        if renamed := {old: new for old, new in self.renamed if old in labels}:
            yield "rename", (), renamed
        if self.warmup:
            yield "trim", (self.warmup,), {}
        if self.condition:
            yield "where", (self.condition,), {}

    @property
    def condition(self) -> str:
        """Both filters as one."""
        name, low, high = self.within or ("", 0.0, math.inf)
        unit = "ms" if name in METRICS and METRICS[name].display_unit == "ms" else ""
        factor = 1e3 if unit else 1.0
        least = f"{low * factor:.7g}{unit} <= " if low > 0 else ""
        most = f" <= {high * factor:.7g}{unit}" if high < math.inf else ""
        ranged = f"{least}{name}{most}" if least or most else ""
        own = self.where.strip()
        return f"({own}) and {ranged}" if own and ranged else own or ranged

    @property
    def drawn(self) -> tuple[str | None, dict[str, Any]]:
        """The metric and the options that the chart is given."""
        metric = None if CHARTS[self.chart].metric is None else self.metric
        by = {} if self.by == "run" else {"by": self.by}
        return metric, by | {name: untupled(value) for name, value in self.options}

    @property
    def plotted(self) -> str:
        """The code that draws the chart, behind that of ``chosen``."""
        metric, options = self.drawn
        return f".plot.{self.chart}({call((metric,) if metric else (), options)})"


def untupled(value: Any) -> Any:
    """Return several values as a list, as people write them."""
    return list(value) if isinstance(value, tuple) else value


def call(given: tuple[Any, ...], named: Mapping[str, Any]) -> str:
    """Return what stands between the parentheses of a call.

    Examples
    --------
    >>> call(("a",), {"by": "gpu", "a b": 1})
    '"a", by="gpu", **{"a b": 1}'
    """
    plain = [f"{name}={as_code(value)}" for name, value in named.items() if name.isidentifier()]
    odd = {name: value for name, value in named.items() if not name.isidentifier()}
    inner = ", ".join(f"{as_code(name)}: {as_code(value)}" for name, value in odd.items())
    return ", ".join([*map(as_code, given), *plain, *([f"**{{{inner}}}"] if odd else [])])


def as_code(value: Any) -> str:
    """Return a value as Python code, texts in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return f"[{', '.join(map(as_code, value))}]" if isinstance(value, (list, tuple)) else repr(value)


def read_state(code: str, first: str = "ttft") -> State:
    """Read a line of code that the explorer showed as the state that it stands for; nothing is run.

    Parameters
    ----------
    code : str
        As ``Explorer.code``.
    first : str
        The metric, where the code names none.

    Raises
    ------
    UsageError
        It is not Python, or holds something that the explorer does not do.

    Examples
    --------
    >>> read_state('runs.pick("tp2").where("turn = 1").plot.hist("tpot", by="gpu")').chart
    'hist'
    """
    try:
        steps = list(_calls(ast.parse(code.strip(), mode="eval").body))
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"this is not a line of the explorer: {error}") from None
    found: dict[str, Any] = {"metric": first}
    for name, given, named in steps:
        if name not in _READERS and not name.startswith("plot."):
            raise UsageError(f"the explorer has nothing for .{name}(); it reads {', '.join(_READERS)} and plot")
        if name.startswith("plot."):
            found |= _plot(name.removeprefix("plot."), given, named)
        else:
            found |= _READERS[name](found, given, named)
    if found.get("candidates") and found.get("tab") != "compare":
        raise UsageError("the explorer picks runs by their labels; by a setting it picks the sides of .compare() alone")
    return State(**found)


def _calls(node: ast.expr) -> Iterator[tuple[str, list[Any], dict[str, Any]]]:
    """Yield the calls of a chain from its first to its last: ``runs.pick("a").plot.ecdf()``."""
    if isinstance(node, ast.Attribute):
        yield from _calls(node.value)
        yield node.attr, [], {}
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        inner, name = node.func.value, node.func.attr
        if isinstance(inner, ast.Name) and name in ("open", "explore"):
            return  # pk.open(...): where the runs come from
        if isinstance(inner, ast.Attribute):
            name, inner = f"{inner.attr}.{name}", inner.value
        yield from _calls(inner)
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            value = ast.literal_eval(keyword.value)
            named |= {keyword.arg: value} if keyword.arg else value
        yield name, [ast.literal_eval(each) for each in node.args], named
    elif not isinstance(node, ast.Name):
        raise ValueError(f"{ast.unparse(node)} is no runs")


def _plot(chart: str, given: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    if chart not in CHARTS:
        raise UsageError(f"no chart is called {chart!r}; there are {', '.join(CHARTS)}")
    metric = {"metric": given[0]} if given else {}
    by = {"by": named.pop("by")} if "by" in named else {}
    return {"tab": "chart", "chart": chart, **metric, **by, "options": _pairs(named)}


def _pairs(named: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in named.items())


def _export(found: dict[str, Any], given: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    chart, _, metric = given[1][0].partition(":") if len(given) > 1 and given[1] else ("", "", "")
    drawn = {"chart": chart, **({"metric": metric} if metric else {})} if chart else {}
    by = {"by": named.pop("by")} if "by" in named else {}
    return {"tab": "export", **drawn, **by, "export": (("folder", given[0]), *_pairs(named))}


def one_request(run: str, seq: int) -> str:
    """Return the filter that leaves one request.

    Examples
    --------
    >>> one_request("it's", 5)
    "run = 'it''s' AND seq = 5"
    """
    quote = "'"
    return f"run = '{run.replace(quote, quote * 2)}' AND seq = {seq}"


_ONE = re.compile(r"run = '((?:[^']|'')*)' AND seq = (\d+)")


def _where(found: dict[str, Any], given: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    """Read a filter: of one request, of all tabs, or, if there is one already, of the requests within it."""
    if one := _ONE.fullmatch(given[0]):
        return {"request": (one[1].replace("''", "'"), int(one[2]))}
    return {"picked" if "where" in found else "where": given[0]}


def _pick(found: dict[str, Any], given: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    """Read which runs are looked at, or, if that stands there already or by a setting, which sides are compared."""
    sides = [side for values in named.values() for side in ([values] if isinstance(values, str) else values)]
    return {"candidates": (*given, *sides)} if named or "runs" in found else {"runs": tuple(given)}


def _compare(found: dict[str, Any], given: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    others = tuple(side for side in found.get("candidates", ()) if side != given[0])
    return {"tab": "compare", "baseline": given[0], "sides": named.get("by", "run"), "candidates": others}


_READERS: dict[str, Any] = {
    "pick": _pick,
    "rename": lambda found, given, named: {"renamed": tuple(named.items())},
    "trim": lambda found, given, named: {"warmup": str(given[0])},
    "where": _where,
    "decoded": lambda found, given, named: {"tab": "requests"},
    "column": lambda found, given, named: {"tab": "requests"},
    "table": lambda found, given, named: {"tab": "runs"},
    "why_slow": lambda found, given, named: {"tab": "requests", "question": given[0]},
    "compare": _compare,
    "summary": lambda found, given, named: {"tab": "summary", **named},
    "failures": lambda found, given, named: {"tab": "failures"},
    "lens": lambda found, given, named: {"tab": "lens", "metric": given[0]},
    "export": _export,
}
