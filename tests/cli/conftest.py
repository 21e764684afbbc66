import pytest

from perfkit.simulator import simulate


@pytest.fixture(scope="session")
def server():
    with simulate(ttft=0.01, itl=0.002, model="tiny") as running:
        yield running


@pytest.fixture(scope="session")
def slow_server():
    with simulate(ttft=0.01, itl=0.05, model="slow") as running:
        yield running
