import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes


def test_a_loop_can_be_entered_twice_after_it_was_asked_for():
    program = """
import asyncio
import perfkit as pk

async def inner():
    return "inner"

async def outer():
    pk.share_running_loop()
    return asyncio.run(inner())

print(asyncio.new_event_loop().run_until_complete(outer()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "inner"


def test_nothing_is_patched_by_importing_it():
    program = "import asyncio, perfkit.analysis.notebook.loops; print(asyncio.run.__module__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "asyncio.runners"
