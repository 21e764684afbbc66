import pytest

from perfkit.comparing.share import share
from perfkit.errors import UsageError


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
