import pytest

from perfkit.errors import UsageError
from perfkit.options.arguments import Arguments
from perfkit.options.units import share


@pytest.mark.parametrize(
    ("given", "expected"),
    [("5%", 0.05), ("5 %", 0.05), ("0.05", 0.05), (0.05, 0.05), (0, 0.0), ("0.5%", 0.005), ("99%", 0.99)],
)
def test_a_bare_number_is_a_share_and_a_percentage_has_its_sign(given, expected):
    assert share("tolerance", given) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "got 5; for 5 % write '5%'"),
        ("5", "got '5'; for 5 % write '5%'"),
        (1, "got 1; for 1 % write '1%'"),
        ("100%", "got '100%'$"),
        (-0.1, "got -0.1$"),
        ("nan", "got 'nan'$"),
        ("five", "got 'five'$"),
    ],
)
def test_what_is_no_share_is_refused_with_what_to_write(given, words):
    with pytest.raises(UsageError, match=f"the tolerance is a share such as '5%' or 0.05, {words}"):
        share("tolerance", given)


def test_an_effect_may_be_larger_than_the_whole():
    assert share("effect", "150%", most=10) == 1.5


DURATIONS = ["duration", "think_time", "ramp", "connect_timeout", "read_timeout", "total_timeout"]


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize(
    ("given", "seconds"),
    [("2m", 120), ("2min", 120), ("500ms", 0.5), ("1.5 h", 5400), ("90", 90), (90, 90), ("250us", 0.00025)],
)
def test_every_option_that_is_a_time_takes_a_unit(name, given, seconds):
    assert getattr(Arguments(**{name: given}), name) == pytest.approx(seconds)


@pytest.mark.parametrize("given", ["2 apples", "5%", "", "nan", True, [1]])
@pytest.mark.parametrize("name", DURATIONS)
def test_what_is_not_a_time_is_refused_with_the_name_of_the_option(name, given):
    with pytest.raises(UsageError, match=name):
        Arguments(**{name: given})


def test_rates_shares_and_steps_take_units():
    assert Arguments(rate=["300/min", "7/s", 3]).rate == (5, 7, 3)
    assert Arguments(rate="-1").rate == -1
    assert Arguments(max_error_rate="5%").max_error_rate == 0.05
    assert Arguments(max_error_rate="100%").max_error_rate == 1
    assert Arguments(steps=["5:30", "20/s:1min"]).steps == ((5, 30), (20, 60))


@pytest.mark.parametrize("given", [20, "20", "10s", "500ms", "1min", "10%", 0.1, "auto"])
def test_a_run_takes_every_warmup_that_show_takes(given):
    assert Arguments(warmup=given).warmup == given
