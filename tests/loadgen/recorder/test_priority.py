"""Where a recorder is told to stand, look by look."""

from perfkit.loadgen.recorder.priority import LATE, OLD, REMEMBERED, SILENT, PriorityController

Look = tuple[int, int, int]
"""Messages heard, answers delivered, answers stored."""


def told(*looks: Look, lag: float = 2 * LATE, owes: bool = True) -> list[bool]:
    """Return what the recorder was told in a load whose loop is late."""
    orders: list[bool] = []
    priority = PriorityController(orders.append)
    for heard, delivered, stored in looks:
        priority.look(lag, heard, delivered=delivered, stored=stored, owes=owes)
    return orders


def keeping_up(looks: int) -> list[Look]:
    return [(look, 10 * look, 10 * look - 5) for look in range(1, looks)]


def test_a_recorder_that_keeps_up_steps_back_when_the_loop_is_late() -> None:
    assert told(*keeping_up(50)) == [False]


def test_beside_a_loop_that_is_in_time_it_stands_with_everybody() -> None:
    assert told(*keeping_up(50), lag=LATE / 2) == []


def test_it_returns_once_the_loop_has_been_in_time_for_a_while() -> None:
    orders: list[bool] = []
    priority = PriorityController(orders.append)
    for number, (heard, delivered, stored) in enumerate(keeping_up(REMEMBERED + 3)):
        priority.look(0.0 if number else 2 * LATE, heard, delivered=delivered, stored=stored, owes=True)
        assert orders == ([False] if number < REMEMBERED else [False, True])


def test_a_recorder_that_says_nothing_while_it_owes_something_comes_forward() -> None:
    assert told((1, 5, 5), *[(1, 9, 5)] * SILENT) == [False, True]


def test_a_recorder_that_owes_nothing_may_be_silent() -> None:
    assert told(*[(1, 5, 5)] * 20, owes=False) == [False]


def test_a_recorder_that_falls_behind_comes_forward_however_much_it_says() -> None:
    assert told(*((look, 100 * look, look) for look in range(1, OLD + 2))) == [False, True]


def test_it_steps_back_once_everything_is_stored_that_had_come_a_look_before() -> None:
    starved = [(1, 9, 5)] * (SILENT + 1)
    assert told(*starved, (2, 12, 8)) == [False, True]
    assert told(*starved, (2, 12, 9)) == [False, True, False]


def test_after_the_load_it_stands_with_everybody_and_begins_anew() -> None:
    orders: list[bool] = []
    priority = PriorityController(orders.append)
    priority.look(2 * LATE, 1, delivered=5, stored=5, owes=False)
    priority.end()
    priority.look(0.0, 1, delivered=0, stored=0, owes=False)
    assert orders == [False, True]
