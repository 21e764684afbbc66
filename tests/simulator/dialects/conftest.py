import pytest

from perfkit.simulator import simulate


@pytest.fixture(scope="package")
def server():
    """A server that answers at once."""
    with simulate(ttft=0.0, itl=0.0) as running:
        yield running


@pytest.fixture(scope="package")
def thinker():
    """One whose answers begin with two tokens of reasoning, in events of three tokens."""
    with simulate(ttft=0.0, itl=0.0, reasoning_tokens=2, cached_tokens=1, tokens_per_event=3) as running:
        yield running
