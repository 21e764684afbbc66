"""Charts of requests: each ``(requests, metric, *, by, ax) -> Axes``, one a file, registered in ``CHARTS``.

Whatever a module of this package registers with ``@chart`` is found by itself, and is a function of this package.

>>> sorted(CHARTS)[:3]
['box', 'ecdf', 'failures']
"""

from perfkit.analysis.plots.accessor import Plots
from perfkit.analysis.plots.canvas import Style, render, style
from perfkit.analysis.plots.catalogue import CHARTS, Chart, chart

# The functions, in place of their modules of the same names.
globals().update({name: each.draw for name, each in CHARTS.built_in.items()})

__all__ = ["CHARTS", "Chart", "Plots", "Style", "chart", "render", "style"]
__all__ += [*CHARTS.built_in]
