from pathlib import Path

import pytest

from perfkit.runner.start import start
from perfkit.simulator import simulate
from perfkit.validity import calibrated_rate
from perfkit.validity.calibrated_rate import honest_rate, stored_path


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ('{"honest_rate": 1600.0}', 1600.0),
        ('{"honest_rate": null}', None),  # calibrated, and it held nowhere
        ('{"honest_rate": 16', None),  # cut short
        ("[1]", None),
    ],
)
def test_the_honest_rate_is_what_was_stored(tmp_path: Path, text: str, rate: float | None) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(text)
    assert honest_rate(file) == rate


def test_a_machine_that_was_never_calibrated_has_none(tmp_path: Path) -> None:
    assert honest_rate(tmp_path / "calibration.json") is None


def test_it_is_looked_for_where_the_calibration_keeps_it() -> None:
    from perfkit.runner import calibration

    assert calibration.stored_path is calibrated_rate.stored_path


@pytest.mark.processes
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_beyond_the_honest_rate_is_suspect_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stored_path().parent.mkdir()
    stored_path().write_text('{"honest_rate": 10}')
    with simulate(ttft=0.01, itl=0.005) as server:
        runs = start(server.url, number=8, max_tokens=20, db=f"{tmp_path}/a.db", workers=workers).wait(30)
    (verdict,) = runs.verdicts.values()
    assert verdict is not None
    # 20 tokens in about 0.11 s, one user: some 180/s, eighteen times what is vouched for.
    (told,) = [check for check in verdict.checks if check.name == "calibration"]
    assert told.level == "SUSPECT"
    assert 5 < float(told.sentence.split()[0]) < 20
