"""What of a run's arguments is allowed and yet seldom meant: said when it starts, and kept with it."""

from perfkit.options.arguments import Arguments
from perfkit.secrets import SHORTEST, is_secret_name, keys_in, secrets_in, template_keys


def warnings_about(arguments: Arguments) -> list[str]:
    """Return a sentence for each.

    Examples
    --------
    >>> warnings_about(Arguments(parallel=200, number=2))
    ['parallel=200 users for number=2 requests: 198 of them send nothing; were the two swapped?']
    >>> warnings_about(Arguments(api_key="12345"))[0].partition(":")[0]
    'a key in api_key has fewer than 8 characters and cannot be told from other text'
    """
    said = []
    users, number = arguments.parallel, arguments.number
    if isinstance(users, int) and isinstance(number, int) and users > number:
        said.append(
            f"parallel={users:,} users for number={number:,} requests: {users - number:,} of them send nothing; "
            "were the two swapped?"
        )
    if short := _short_keys(arguments):
        said.append(
            f"a key in {', '.join(short)} has fewer than {SHORTEST} characters and cannot be told from other text: "
            "where the server repeats it, it is stored and shown; longer keys are masked everywhere"
        )
    return said


def _short_keys(arguments: Arguments) -> list[str]:
    """Return the options that hold a key too short to be looked for in texts."""
    headers = {name: value for name, value in arguments.headers.items() if is_secret_name(name)}
    keys = {
        "api_key": [arguments.api_key or ""],
        "headers": [value.rpartition(" ")[2] for value in headers.values()],
        "url": secrets_in(arguments.address, {})[:1],
        "proxy": secrets_in(arguments.proxy or "", {})[:1],
        "query_template": template_keys(arguments.query_template or ""),
        **{name: keys_in(getattr(arguments, name)) for name in ("extra_args", "parameters")},
    }
    return [name for name, held in keys.items() if any(0 < len(key) < SHORTEST for key in held)]
