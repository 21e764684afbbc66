import subprocess
import sys


def test_a_loop_can_be_entered_twice_after_it_was_asked_for():
    program = """
import asyncio
from perfkit.notebook.loops import share_running_loop

async def inner():
    return "inner"

async def outer():
    share_running_loop()
    return asyncio.run(inner())

print(asyncio.new_event_loop().run_until_complete(outer()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "inner"


def test_nothing_is_patched_by_importing_it():
    program = "import asyncio, perfkit.notebook.loops; print(asyncio.run.__module__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "asyncio.runners"
