"""``pk.explore``: a workbench of tabs over runs, each with the line of code that gives the same."""

from pathlib import Path
from typing import TYPE_CHECKING

from perfkit.analysis.notebook.explorer.state import as_code
from perfkit.analysis.query.opening import Places, flattened
from perfkit.analysis.results.open import open as open_runs
from perfkit.analysis.results.runs import Runs
from perfkit.errors import UsageError
from perfkit.runfile.schema import OUTPUTS

if TYPE_CHECKING:
    from perfkit.analysis.notebook.explorer.workbench import Explorer

__all__ = ["explore"]


def explore(source: "Runs | Places | None" = None, code: str = "") -> "Explorer":
    """Look at runs by hand.

    Parameters
    ----------
    source : Runs, or path, folder, pattern, or several of these, optional
        What ``pk.open`` takes, or what it returned. Default: the folder ``outputs``, or else this one.
    code : str
        A line that an explorer showed: what it stands for is shown.

    Returns
    -------
    Explorer
        A panel, shown when it ends a cell: runs, chart, requests, comparison, summary, failures, lens and export, over
        the line of code that gives the same. ``state`` and ``code`` are what it shows; ``restore(code)`` shows another.

    Raises
    ------
    UsageError
        No file was found, the code cannot be read, or anywidget is missing: ``pip install 'perfkit[notebook]'``.

    Examples
    --------
    >>> explore("outputs/")  # doctest: +SKIP
    >>> explore("outputs/", 'runs.pick("tp2").where("ttft > 1s").plot.hist("tpot")')  # doctest: +SKIP
    """
    try:
        from perfkit.analysis.notebook.explorer.workbench import Bench, Explorer
    except ImportError as error:
        raise UsageError(f"the explorer needs {error.name}: pip install 'perfkit[notebook]'") from None
    if isinstance(source, Runs):
        explorer = Explorer(Bench(source, "runs"))
    else:
        places = list(flattened(source if source is not None else OUTPUTS if Path(OUTPUTS).is_dir() else "."))
        explorer = Explorer(
            Bench(open_runs(places), f"pk.open({', '.join(map(as_code, places))})", lambda: open_runs(places))
        )
    if code:
        explorer.restore(code)
    return explorer
