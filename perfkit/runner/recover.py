"""Adds the answers that a killed run has left beside its file, with the plugins that read them."""

from collections.abc import Iterable
from pathlib import Path

from perfkit import plugins as loaded
from perfkit.decoding.pending import Folded, built_in
from perfkit.decoding.pending import recover as fold
from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from perfkit.plugins import BoundApi
from perfkit.registry import APIS
from perfkit.runfile.record import RunRecord


def recover(path: str | Path, *, plugins: Iterable[str] = (), parser: str | None = None) -> Folded:
    """Write the answers that a killed run has left beside its file into it.

    ``open`` reads them as well, and leaves the file as it is; this is for answers that a plugin reads, and for a file
    that is to be copied alone. Those of runs that are under way are left to them.

    Parameters
    ----------
    path : path
        The run file.
    plugins : iterable of path
        Python files that register the APIs of the runs. Their code is run.
    parser : str, optional
        File of the class that the runs were given as ``parser``, as ``file.py`` or ``file.py:Class``.

    Returns
    -------
    Folded
        ``added``, the number of rows, and ``left``: by run, the API that is missing and how many answers wait for it.

    Raises
    ------
    UsageError
        There is no such file.
    StorageError
        It cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import perfkit as pk
    >>> with pk.simulate(ttft=0.01, itl=0.001) as server, tempfile.TemporaryDirectory() as folder:
    ...     job = pk.start(server.url, number=3, max_tokens=4, db=f"{folder}/a.db")
    ...     _ = job.wait()
    ...     recover(job.path).added  # a run that came to its end has left nothing
    0
    """
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}; give the run file beside which the answers lie")
    loaded.load_plugins(plugins)
    own = loaded.load_parser(parser) if parser else None

    def api(record: RunRecord) -> BoundApi | None:
        cls = own if record.arguments.get("parser") else APIS.own.get(str(record.get("api")))
        if cls is None:
            return built_in(record)
        given = {key: value for key, value in record.arguments.items() if key not in ("plugins", "parser", "api", "db")}
        return loaded.bind_api(cls, Arguments.from_record(given))

    return fold(path, api)
