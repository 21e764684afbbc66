"""The one place where a running event loop is patched, for those who must."""

from importlib import import_module
from importlib.util import find_spec


def share_running_loop() -> str:
    """Let ``asyncio.run`` and ``run_until_complete`` be called while the notebook's own loop runs.

    Returns
    -------
    str
        The module that patched the loop: ``nest_asyncio2`` where it is installed, else ``nest_asyncio``.

    Raises
    ------
    ValueError
        The running loop is uvloop's, which cannot be patched.

    Notes
    -----
    perfkit needs none of this: ``pk.run``, ``pk.start`` and ``await job`` work in any notebook, since what measures
    runs in a process of its own. It is for libraries of yours that call ``asyncio.run`` in a cell, and it costs:

    - it patches every loop of the process, and cannot be undone without restarting the kernel;
    - the patched loop is about half as fast, since it swaps C tasks for Python ones;
    - ``nest_asyncio`` 1.6 followed by ``asyncio.run`` makes ipykernel 7 drop every cell that waits behind a Run All,
      without a word; ``nest_asyncio2`` does not;
    - uvloop's loops cannot be patched at all (ValueError).

    Prefer top-level ``await``, which notebooks have.

    Examples
    --------
    >>> import perfkit as pk
    >>> pk.share_running_loop()  # doctest: +SKIP
    'nest_asyncio2'
    """
    name = "nest_asyncio2" if find_spec("nest_asyncio2") else "nest_asyncio"
    import_module(name).apply()
    return name
