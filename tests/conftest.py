"""What every test leaves as it found it."""

import os
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from threading import enumerate as enumerate_threads
from threading import get_ident

import hypothesis
import pytest

from perfkit.registry import REGISTRIES

# Whatever the environment says: hundreds of processes would each compile the package anew, half a second long.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def _registries_as_before() -> Iterator[None]:
    """Forget the plugins that a test registered: names such as ``custom`` replace built-in ones."""
    before = [(registry, dict(registry.own)) for registry in REGISTRIES]
    yield
    for registry, own in before:
        registry.own.clear()
        registry.own.update(own)


STARTS = {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.spawn", "os.system"}
STARTED: list[str] = []
"""What the test under way has started."""
STARTING: set[tuple[str, str]] = set()
"""Fixtures that start a process: their names, and the folder or file that they are of."""
EARLIER: set[int] = set()
"""Threads of earlier tests: what they start is not this test's."""
ONCE = {"fc-list", "uname"}
"""What matplotlib and ``platform`` start the first time that anyone draws, or asks for the machine."""
MAY_START = ("processes", "alone")
LEFT_OUT = (*MAY_START, "slow")
"""Marks of tests that ``--quick`` leaves out."""
WHOLE_FILE = re.compile(rf"^pytestmark = .*\bmark\.({'|'.join(LEFT_OUT)})\b", re.MULTILINE)
EXAMPLES = 50
"""Of each property, the same in every run: what a run finds, the next one finds, too."""


@pytest.fixture(autouse=True)
def _a_test_that_starts_a_process_is_marked(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that starts a process and is not marked so, itself or by a fixture, whoever used that first."""
    yield
    if any(map(request.node.get_closest_marker, MAY_START)):
        return
    nodeid = request.node.nodeid
    fixtures = [name for name, place in STARTING if name in request.fixturenames and nodeid.startswith(place)]
    if STARTED or fixtures:
        by = STARTED[0] if STARTED else fixtures[0]
        pytest.fail(f"starts a process ({by}): mark it with pytest.mark.processes", pytrace=False)


def _note(event: str, given: tuple[object, ...]) -> None:
    if event in STARTS and get_ident() not in EARLIER and not (given and Path(str(given[0])).name in ONCE):
        STARTED.append(event)


def pytest_runtest_logstart() -> None:
    STARTED.clear()
    EARLIER.clear()
    EARLIER.update(thread.ident for thread in enumerate_threads() if thread.ident not in (None, get_ident()))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object]) -> Generator[None, object, object]:
    before = len(STARTED)
    made = yield
    if len(STARTED) > before:
        STARTING.add((fixturedef.argname, fixturedef.baseid))
    return made


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help=f"leave out the tests marked {', '.join(LEFT_OUT)}")
    parser.addoption("--examples", type=int, help="try so many examples of each property, others in each run")


def pytest_configure(config: pytest.Config) -> None:
    # An audit hook sees every start, however deep in a library, and cannot be removed: it only takes notes. Raising
    # from it would leave threads dead and tests waiting for them.
    sys.addaudithook(_note)
    chosen = config.getoption("examples")
    # No limits of time: how long an example takes says how busy the machine is.
    hypothesis.settings.register_profile(
        "ours",
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
        max_examples=chosen or (10 if config.getoption("quick") else EXAMPLES),
        derandomize=chosen is None,
    )
    hypothesis.settings.load_profile("ours")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files of which nothing is wanted before they are imported: what they import is slow to load."""
    if collection_path.suffix != ".py":
        return None
    if config.getoption("quick"):
        return WHOLE_FILE.search(collection_path.read_text(encoding="utf-8")) is not None or None
    if config.getoption("markexpr") == "alone":
        return "mark.alone" not in collection_path.read_text(encoding="utf-8") or None
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("quick"):
        left_out = [item for item in items if any(map(item.get_closest_marker, LEFT_OUT))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not any(map(item.get_closest_marker, LEFT_OUT))]
