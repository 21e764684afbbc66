"""How charts look: the style sheet, its sizes for screen and paper, and the sheet of axes a chart is drawn on.

Nothing here uses pyplot, whose current figure belongs to one thread: widget callbacks run on others.
"""

import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.transforms import Bbox

from perfkit.analysis.plots import auto_display
from perfkit.errors import UsageError
from perfkit.options.units import inches

SHEET = Path(__file__).with_name("perfkit.mplstyle")
GREYS = ("#000000", "#7a7a7a", "#444444", "#9a9a9a", "#2a2a2a", "#606060")
PAPER_WIDTH = 89 / 25.4
"""One column of a journal, in inches."""

MANY = 1000
"""Dots or lines beyond which a vector file holds a picture of them instead."""

DRAWING = threading.RLock()
"""Matplotlib's settings belong to the process: whoever draws or renders in house style holds this."""

_UNDATED: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
    "png": {"Software": None},
}
_PAPER = {
    "font.size": 7.0,
    "axes.titlesize": 7.0,
    "axes.labelsize": 7.0,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.title_fontsize": 6.5,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.2,
    "patch.linewidth": 1.1,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.5,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "savefig.dpi": 600,
}


@dataclass(frozen=True)
class Style:
    """How a chart is to look.

    Parameters
    ----------
    size : "notebook" or "paper"
        Letters of 10 points on 7.2 inches, or of 7 points on a journal's column.
    width : float or None, inches
        Another width; the height keeps its proportion.
    grey : bool
        Greys in place of colours, told apart by line style and marker.
    as_text : bool
        Letters of an svg as text, which can be found and copied and takes a third of the room, in the reader's fonts.
    """

    size: Literal["notebook", "paper"] = "notebook"
    width: float | None = None
    grey: bool = False
    as_text: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a size that is none."""
        if self.size not in ("notebook", "paper"):
            raise UsageError(f"size must be 'notebook' or 'paper', got {self.size!r}")

    def settings(self) -> dict[str, Any]:
        """Return the matplotlib settings of this style."""
        settings: dict[str, Any] = dict(_sheet())
        if self.size == "paper":
            settings |= _PAPER
        width, height = settings["figure.figsize"]
        wanted = self.width or (PAPER_WIDTH if self.size == "paper" else width)
        settings["figure.figsize"] = (wanted, wanted * (0.74 if self.size == "paper" else height / width))
        if self.as_text:
            settings["svg.fonttype"] = "none"
        settings["font.family"] = list(installed_fonts())
        return settings

    @property
    def palette(self) -> tuple[str, ...]:
        """Colours of the groups, in order."""
        return GREYS if self.grey else tuple(f"#{colour.lstrip('#')}" for colour in _cycle("color"))

    @property
    def dashes(self) -> tuple[Any, ...]:
        """Line styles of the groups, in order."""
        return _cycle("linestyle")


_current = Style()


def style(
    size: Literal["notebook", "paper"] = "notebook", *, width: str | float | None = None, grey: bool = False
) -> Style:
    """Choose how charts look from now on.

    Parameters
    ----------
    size : "notebook" or "paper"
        For the screen, or for one column of a journal (89 mm).
    width : str or float, optional
        Width of the picture: ``"89mm"``, ``"12cm"``, ``"3.5in"``, or a number of inches.
    grey : bool
        Draw in greys.

    Returns
    -------
    Style
        What was chosen.

    Raises
    ------
    UsageError
        The size is unknown or the width is not a length.

    Examples
    --------
    >>> round(style("paper", width="127mm", grey=True).width, 2)
    5.0
    >>> style()
    Style(size='notebook', width=None, grey=False)
    """
    global _current
    _current = Style(size, None if width is None else inches(width), grey)
    return _current


def current() -> Style:
    """Return the style that charts are drawn in now."""
    return _current


@contextmanager
def styled(chosen: Style) -> Iterator[None]:
    """Draw in a style for a while, whatever ``style`` says; other threads wait."""
    global _current
    with DRAWING:
        before, _current = _current, chosen
        try:
            yield
        finally:
            _current = before


class ChartFigure(Figure):
    """A figure that holds one chart. A notebook shows it as it shows the chart."""

    _places: Sequence[tuple[Axes, Bbox]] = ()

    def keep_places(self) -> None:
        """Remember where the axes are before they are laid out."""
        self._places = [(ax, ax.get_position(original=True).frozen()) for ax in self.axes]

    def restore_places(self) -> None:
        """Put the axes where they were: each layout begins at the last one's end, and would end elsewhere."""
        for ax, place in self._places:
            if ax.get_in_layout():  # else somebody has placed it
                ax.set_position(place)
                ax.set_in_layout(True)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        for chart in [ax for ax in self.axes if isinstance(ax, ChartAxes)]:
            display(chart)  # type: ignore[no-untyped-call]


class ChartAxes(Axes):
    """Axes on a figure of their own, which a notebook shows once, at the latest when the cell ends."""

    style: Style

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        auto_display.show_earlier(self)
        width, height = figure_of(self).get_size_inches() * 100
        return render(self, "png", dpi=200), {"width": round(width), "height": round(height)}


def letters_across(ax: Axes, size: float = 1.0) -> int:
    """Return how many letters fit across some axes, set in a size relative to their labels."""
    # Before it is laid out, a single chart has 0.775 of the figure's width; afterwards about 0.86.
    points = 72 * figure_of(ax).get_size_inches()[0] * ax.get_position().width * 0.86 / 0.775
    return int(points / (0.56 * size * letter_of(ax)))


def lines_down(ax: Axes, size: float = 1.0) -> int:
    """Return how many lines of text fit beside some axes, set in a size relative to their labels."""
    points = 72 * figure_of(ax).get_size_inches()[1] * ax.get_position().height
    return int(points / (1.4 * size * letter_of(ax)))


def grow(ax: Axes, points: float) -> None:
    """Make a chart's figure taller, so that what is added takes nothing from the plot; a caller's figure stays."""
    if isinstance(ax, ChartAxes):
        figure = figure_of(ax)
        width, height = figure.get_size_inches()
        figure.set_size_inches(width, height + points / 72)


def fit_rows(ax: Axes, rows: int, *, most: float = 3.0, least: float = 1.4) -> None:
    """Make a chart's figure as tall as its rows need: each between so many lines of small text."""
    line, there = 0.85 * letter_of(ax), 1.4 * 0.85 * letter_of(ax) * lines_down(ax, 0.85)
    wanted = min(max(there, least * line * rows), most * line * max(rows, 3))
    grow(ax, wanted - there)


def letter_of(ax: Axes) -> float:
    """Return the height of the letters of a chart, in points."""
    settings = ax.style.settings() if isinstance(ax, ChartAxes) else mpl.rcParams
    return float(settings["font.size"])


@contextmanager
def canvas(ax: Axes | None) -> Iterator[Axes]:
    """Give the axes to draw on: the caller's, untouched, or new ones in house style."""
    if ax is not None:
        yield ax
        return
    style = current()
    with drawing(style):
        figure = ChartFigure()
        fresh = ChartAxes(figure, 1, 1, 1)
        fresh.style = style
        figure.add_subplot(fresh)
        yield fresh
        figure.keep_places()
    auto_display.show_at_end(fresh)


@contextmanager
def drawing(style: Style) -> Iterator[None]:
    """Hold matplotlib's settings at a style; one thread at a time."""
    with DRAWING, mpl.rc_context(style.settings()):  # type: ignore[arg-type]
        yield


def laid_out(ax: Axes) -> None:
    """Give everything on a chart the place that it has in its picture; what is missing for it, ``render`` says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure_of(ax).draw_without_rendering()


def render(ax: Axes, format: str, **options: Any) -> bytes:
    """Return the picture of a chart as the bytes of a png, svg or pdf file.

    The same chart gives the same bytes: no dates, no random names. A notebook does not show it again by itself.
    """
    auto_display.forget(ax)
    style = ax.style if isinstance(ax, ChartAxes) else current()
    figure, buffer = figure_of(ax), io.BytesIO()
    if isinstance(figure, ChartFigure):
        figure.restore_places()
    with drawing(style), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(buffer, format=format, metadata=_UNDATED.get(format), **options)
    _say_missing_letters([str(warning.message) for warning in caught])
    return buffer.getvalue()


def figure_of(ax: Axes) -> Figure:
    """Return the figure that holds some axes, at whatever depth."""
    figure = ax.figure
    while isinstance(figure, SubFigure):
        figure = figure.figure
    if not isinstance(figure, Figure):
        raise UsageError("these axes were removed from their figure")
    return figure


_said_missing = False


def _say_missing_letters(messages: list[str]) -> None:
    """Say once, in one sentence, that letters are missing; matplotlib says it for each letter and each drawing."""
    global _said_missing
    missing = [message for message in messages if message.startswith("Glyph ")]
    for message in messages:
        if message not in missing:
            warnings.warn(message, stacklevel=3)
    if missing and not _said_missing:
        _said_missing = True
        warnings.warn(
            "no installed font has some letters of these labels, which are drawn as boxes; "
            "for Chinese, Japanese and Korean install one: apt install fonts-noto-cjk, then restart Python",
            stacklevel=3,
        )


@cache
def installed_fonts() -> tuple[str, ...]:
    """Return the sheet's fonts that this machine has: matplotlib complains of each one it looks for in vain."""
    known = set(font_manager.get_font_names())
    return tuple(name for name in _sheet()["font.sans-serif"] if name in known) or ("sans-serif",)


@cache
def _sheet() -> dict[str, Any]:
    return dict(mpl.rc_params_from_file(SHEET, use_default_template=False))  # type: ignore[arg-type]


def _cycle(key: str) -> tuple[Any, ...]:
    return tuple(_sheet()["axes.prop_cycle"].by_key()[key])
