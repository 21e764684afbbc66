"""The program that loses connections: what it sees on both loops, plain and TLS, and what it refuses."""

from shutil import which

import pytest


@pytest.mark.processes
@pytest.mark.parametrize(
    "wire", ["plain", pytest.param("TLS", marks=pytest.mark.skipif(not which("openssl"), reason="no openssl"))]
)
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_every_loss_is_noticed_as_what_it_is(program, loop, wire, tmp_path):
    if loop not in program.loops():
        pytest.skip("no uvloop here")
    certificate = program.certificate_in(tmp_path) if wire == "TLS" else None
    found = program.losses(program.loops()[loop], 6, certificate)
    assert [(each.way, each.kind) for each in found] == 2 * list(program.WAYS.items())
    assert all(each.after > -0.001 for each in found)  # none before it happened


def test_a_loss_that_was_noticed_late_or_as_something_else_is_refused(program):
    soon, late, wrong = (
        program.Loss("reset", after, kind) for after, kind in ((0.01, "reset"), (0.06, "reset"), (0.01, None))
    )
    others = [program.Loss("half-close", 0.02, "reset"), program.Loss("stall", 0.02, "read_timeout")]
    assert program.table({("uvloop", "plain"): [soon, *others]}, 0.05)[1]
    for bad in (late, wrong):
        text, good = program.table({("uvloop", "plain"): [soon, bad, *others]}, 0.05)
        assert not good
        assert "| 1 of 2 |" in text
