"""Where on a chart each request is, and what a rectangle on it stands for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pandas import DataFrame

from perfkit.analysis.metrics import METRICS, RATES
from perfkit.analysis.plots import notes
from perfkit.analysis.plots.groups import groups
from perfkit.analysis.plots.quantity import Quantity, quantity

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Targets:
    """Requests of a chart: where each stands, in the units of the axes, and by which quantities the axes select."""

    x: Floats
    y: Floats
    requests: npt.NDArray[np.int64]
    across: Quantity | None = None
    """What the x axis shows of a request; None where it shows a share or a rank."""
    up: Quantity | None = None

    def condition(self, low: tuple[float, float], high: tuple[float, float]) -> str:
        """Return the filter that a rectangle stands for, given its lower left and upper right corner."""
        parts = [
            f"{_number(least, shown)} <= {shown.name} <= {_number(most, shown)}"
            for shown, least, most in ((self.across, low[0], high[0]), (self.up, low[1], high[1]))
            if shown is not None
        ]
        return " and ".join(parts)


NOTHING = Targets(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64))


def targets(chart: str, rows: DataFrame, metric: str | None, by: str | None, x: str = "prompt_tokens") -> Targets:
    """Return the requests of a chart; none of one whose marks are no single requests."""
    if chart not in _PLACES or metric is None or metric in RATES or (metric in METRICS and METRICS[metric].pooled):
        return NOTHING
    shown = quantity(metric)
    counted = notes.loaded(rows) if chart == "over_time" else notes.measured(rows)
    across = quantity({"scatter": x, "over_time": "t"}.get(chart, metric))
    parts = [_PLACES[chart](group.rows, shown, across) for group in groups(counted, by)]
    x_, y, index = (np.concatenate([part[at] for part in parts] or [np.empty(0)]) for at in range(3))
    on_x, on_y = _AXES[chart]
    return Targets(x_, y, index.astype(np.int64), across if on_x else None, shown if on_y else None)


def _number(value: float, shown: Quantity) -> str:
    return f"{value:.7g}ms" if shown.unit == "ms" else f"{value:.7g}"


Place = Callable[[DataFrame, Quantity, Quantity], Sequence[np.ndarray]]


def _sorted(rows: DataFrame, shown: Quantity) -> tuple[Floats, np.ndarray]:
    values = shown.of(rows).dropna().sort_values(kind="stable")
    return values.to_numpy(dtype=float), values.index.to_numpy()


def _on_ecdf(rows: DataFrame, shown: Quantity, _: Quantity) -> Sequence[np.ndarray]:
    values, index = _sorted(rows, shown)
    return values, np.arange(1, len(values) + 1) / max(len(values), 1), index


def _on_percentiles(rows: DataFrame, shown: Quantity, _: Quantity) -> Sequence[np.ndarray]:
    values, index = _sorted(rows, shown)
    n = len(values)
    share = np.minimum(np.arange(n) / max(n - 1, 1), 1 - 0.5 / max(n, 1))
    return -np.log10(1 - share), values, index


def _on_scatter(rows: DataFrame, shown: Quantity, across: Quantity) -> Sequence[np.ndarray]:
    places = DataFrame({"x": across.of(rows), "y": shown.of(rows)}).dropna()
    return places["x"].to_numpy(dtype=float), places["y"].to_numpy(dtype=float), places.index.to_numpy()


_PLACES: dict[str, Place] = {
    "ecdf": _on_ecdf,
    "percentiles": _on_percentiles,
    "scatter": _on_scatter,
    "over_time": _on_scatter,
    "hist": lambda rows, shown, _: (np.empty(0), np.empty(0), np.empty(0)),
}
_AXES = {
    "ecdf": (True, False),
    "percentiles": (False, True),
    "scatter": (True, True),
    "over_time": (True, True),
    "hist": (True, False),
}
"""Of each chart, whether a drag selects by what its x axis shows, and by what its y axis does."""
