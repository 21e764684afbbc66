"""Charts of requests: each ``(requests, metric, *, by, ax) -> Axes``, one a file, registered in ``CHARTS``.

>>> sorted(CHARTS)[:3]
['ecdf', 'hist', 'over_time']
"""

from perfkit.plots.accessor import Plots
from perfkit.plots.canvas import Style, render, style
from perfkit.plots.catalogue import CHARTS, Chart, chart
from perfkit.plots.ecdf import ecdf
from perfkit.plots.hist import hist
from perfkit.plots.over_time import over_time
from perfkit.plots.percentiles import percentiles
from perfkit.plots.raster import raster
from perfkit.plots.scatter import scatter
from perfkit.plots.sweep import sweep
from perfkit.plots.timeline import timeline
from perfkit.plots.tradeoff import tradeoff

__all__ = [
    "CHARTS",
    "Chart",
    "Plots",
    "Style",
    "chart",
    "ecdf",
    "hist",
    "over_time",
    "percentiles",
    "raster",
    "render",
    "scatter",
    "style",
    "sweep",
    "timeline",
    "tradeoff",
]
