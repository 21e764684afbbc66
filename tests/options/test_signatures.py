import inspect

import pytest

import perfkit as pk
from perfkit.options.arguments import OPTIONS
from perfkit.options.docstrings import described
from perfkit.options.signatures import takes_options

DOORS = [pk.run, pk.start, pk.check, pk.replay, pk.resume, pk.capacity, pk.ab]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
def test_a_function_that_takes_options_names_and_describes_every_one(door):
    parameters = inspect.signature(door).parameters
    own = {*inspect.signature(inspect.unwrap(door)).parameters} & parameters.keys()
    assert not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    for name, option in OPTIONS.items():
        if name not in ("url", "speed"):  # `url` is the first argument, `speed` one of replay's own
            assert name in parameters
            assert f"\n{name} : " in door.__doc__
            assert option.metadata["meaning"] in door.__doc__
    assert own


def test_arguments_describe_their_fields():
    for option in OPTIONS.values():
        assert f"\n{option.name} : " in pk.Arguments.__doc__
        assert option.metadata["meaning"] in pk.Arguments.__doc__


def test_an_option_is_described_with_kind_unit_range_and_default():
    assert (
        described([OPTIONS["connect_timeout"]]).splitlines()[0] == "connect_timeout : float, s, above 0, default 10.0"
    )


def test_the_options_stand_behind_the_parameters():
    @takes_options
    def look(url, /, **given):
        """Look.

        Parameters
        ----------
        **given
            Options.

        Returns
        -------
        None
        """

    places = [look.__doc__.index(head) for head in ("**given", "Other Parameters", "model : ", "Returns")]
    assert places == sorted(places)
