"""When a desk that gives way to everybody is let forward: what it was told, look by look."""

import pytest

from perfkit.engine.relief import LOOKS, SILENT, Relief


def told(*looks: tuple[int, int, int], owes: bool = True) -> list[bool]:
    """Return what the desk was told in a load; a look is: messages heard, answers delivered, answers stored."""
    orders: list[bool] = []
    relief = Relief(orders.append)
    relief.begin()
    for heard, delivered, stored in looks:
        relief.look(heard, delivered=delivered, stored=stored, owes=owes)
    return orders


def test_a_desk_that_keeps_up_stays_behind() -> None:
    assert told(*((look, 10 * look, 10 * look - 5) for look in range(1, 50))) == [False]


def test_a_desk_that_says_nothing_while_it_owes_something_comes_forward() -> None:
    assert told((1, 5, 5), *[(1, 9, 5)] * SILENT) == [False, True]


def test_a_desk_that_owes_nothing_may_be_silent() -> None:
    assert told(*[(1, 5, 5)] * 20, owes=False) == [False]


def test_a_desk_that_falls_behind_comes_forward_however_much_it_says() -> None:
    assert told(*((look, 100 * look, look) for look in range(1, LOOKS + 2))) == [False, True]


def test_it_steps_back_once_everything_is_stored_that_had_come_a_look_before() -> None:
    starved = [(1, 9, 5)] * (SILENT + 1)
    assert told(*starved, (2, 12, 8)) == [False, True]
    assert told(*starved, (2, 12, 9)) == [False, True, False]


@pytest.mark.parametrize("forward", [True, False])
def test_after_the_load_it_stands_with_everybody(forward: bool) -> None:
    orders: list[bool] = []
    relief = Relief(orders.append)
    relief.begin()
    for _ in range(SILENT + 1 if forward else 0):
        relief.look(1, delivered=5, stored=0, owes=True)
    relief.end()
    assert orders == [False, True]
