from dataclasses import fields

import pytest

from perfkit.runner.calibration import Calibration, Lateness, Point

HONEST, LATE, SERVER = (0.0001, 0.0001), (0.0100, 0.0001), (0.0003, 0.0042)
"""How late the stamps were, and how late the simulator: seconds."""


def found(*points: tuple[float, float]) -> str:
    """Return the sentence of a calibration whose points, at 100, 200, ... events/s, were so late."""
    measured = []
    for place, (client, server) in enumerate(points, 1):
        known = {field.name: 0.0 for field in fields(Lateness) if field.init}
        known |= {"late_p99": client, "server_late_p99": server, "own": frozenset()}
        measured.append(Point(place, 0.01, 100.0 * place, Lateness(**known)))  # type: ignore[arg-type]
    return Calibration(tuple(measured), host="here").sentence


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([HONEST, HONEST, LATE], "here: stamps hold within 1 ms (p99) up to 200 events/s."),
        (
            [SERVER, HONEST, SERVER],
            "here: stamps hold within 1 ms (p99) up to 200 events/s; at 2 points the simulator itself was late: to "
            "learn of the client there, close what else runs here and calibrate again.",
        ),
        (
            [SERVER],
            "here: nothing was learnt of the client, as the simulator itself was 4.2 ms late or more (p99) at every "
            "point; close what else runs here and calibrate again.",
        ),
        (
            [SERVER, LATE],
            "here: stamps hold within 1 ms (p99) at no point at which the simulator kept time; close what else runs "
            "here and calibrate again.",
        ),
        (
            [LATE, LATE],
            "here: stamps hold within 1 ms (p99) at no point; give fewer --streams or a larger --itl, or take a faster "
            "machine.",
        ),
    ],
)
def test_the_sentence_says_what_holds_what_was_not_learnt_and_what_to_do(
    points: list[tuple[float, float]], said: str
) -> None:
    assert found(*points) == said
