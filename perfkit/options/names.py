"""The names of options as people write them: with dashes, in short, and as other tools call them."""

from collections.abc import Mapping
from dataclasses import Field
from typing import Any

from perfkit.errors import UsageError, nearest

ELSEWHERE: Mapping[str, str] = {
    "request_rate": "--rate R",
    "qps": "--rate R",
    "rps": "--rate R",
    "rampup": "--ramp SECONDS",
    "rampup_duration": "--ramp SECONDS",
    "ramp_up": "--ramp SECONDS",
    "ramp_up_strategy": "--ramp-shape SHAPE",
    "arrival_pattern": "--arrival SHAPE",
    "arrival_smoothness": "--arrival gamma --burstiness X",
    "concurrency": "--parallel N",
    "num_concurrency": "--parallel N",
    "num_concurrent_requests": "--parallel N",
    "users": "--parallel N",
    "num_users": "--parallel N",
    "clients": "--parallel N",
    "streams": "--parallel N",
    "num_prompts": "--number N",
    "num_requests": "--number N",
    "request_count": "--number N",
    "max_requests": "--number N",
    "max_num_completed_requests": "--number N",
    "max_seconds": "--duration SECONDS",
    "max_time_per_run": "--duration SECONDS",
    "benchmark_duration": "--duration SECONDS",
    "run_duration": "--duration SECONDS",
    "warmup_num": "--warmup N",
    "num_warmups": "--warmup N",
    "warmup_requests": "--warmup N",
    "warmup_request_count": "--warmup N",
    "warmup_ratio": "--warmup SHARE",
    "random_input_len": "--dataset random --dataset-args length=N",
    "random_input": "--dataset random --dataset-args length=N",
    "input_len": "--dataset random --dataset-args length=N",
    "synthetic_input_tokens_mean": "--dataset random --dataset-args length=N",
    "prompt_tokens_mean": "--dataset random --dataset-args length=N",
    "mean_input_tokens": "--dataset random --dataset-args length=N",
    "isl": "--dataset random --dataset-args length=N",
    "random_output_len": "--max-tokens N",
    "random_output": "--max-tokens N",
    "output_len": "--max-tokens N",
    "output_tokens_mean": "--max-tokens N",
    "mean_output_tokens": "--max-tokens N",
    "osl": "--max-tokens N",
    "random_prefix_len": "--dataset random --prefix-length N",
    "prefix_prompt_length": "--dataset random --prefix-length N",
    "session_turns_mean": "--dataset random --dataset-args turns=N",
    "conversation_turn_mean": "--dataset random --dataset-args turns=N",
    "session_turn_delay_mean": "--dataset random --dataset-args turns=N think_time=SECONDS",
    "conversation_turn_delay_mean": "--dataset random --dataset-args turns=N think_time=SECONDS",
    "endpoint": "--url URL, with its path",
    "ignore_eos": "--extra-args ignore_eos=true",
    "extra_body": "--extra-args JSON",
    "extra_inputs": "--extra-args KEY=VALUE",
    "extra_request_body": "--extra-args JSON",
    "additional_sampling_params": "--extra-args JSON",
    "header": "--headers NAME=VALUE",
    "input_file": "--dataset FILE",
    "dataset_name": "--dataset NAME",
    "data": "--dataset NAME",
    "backend": "--api NAME",
    "endpoint_type": "--api NAME",
    "tokenizer": "--tokenizer-path FOLDER",
    "processor": "--tokenizer-path FOLDER",
    "insecure": "--no-verify",
    "test_connection": "--preflight",
    "no_test_connection": "--no-preflight",
    "random_seed": "--prompt-seed N",
    "request_timeout_seconds": "--total-timeout SECONDS",
    "timeout": "--total-timeout SECONDS",
    "metadata": "--tag KEY=VALUE",
    "base_url": "--url URL",
    "host": "--url URL",
    "target": "--url URL",
    "outputs_dir": "--db FILE",
    "output_path": "--db FILE",
    "result_filename": "--db FILE",
    "label": "--name NAME",
    "percentile_metrics": "",
    "metric_percentiles": "",
    "goodput": "",
}
"""What other tools call an option, and how it is given here; empty where it is asked of ``perfkit show`` afterwards."""
_AFTERWARDS = "every percentile, and --slo for goodput, is asked of perfkit show FILE after the run"


def said_here(name: str) -> str | None:
    """Say how an option that another tool has is given here; None where none is known by that name.

    Examples
    --------
    >>> said_here("--num-prompts")
    'here it is --number N'
    >>> said_here("nosuch") is None
    True
    """
    found = ELSEWHERE.get(name.lstrip("-").replace("-", "_"))
    if found is None:
        return None
    return f"here it is {found}" if found else _AFTERWARDS


def unknown(key: str, known: Mapping[str, Any]) -> UsageError:
    """Return the error for a name that no option has."""
    said = said_here(key)
    return UsageError(f"no argument is called {key!r}" + (f"; {said}" if said else nearest(key, known).split(" (k")[0]))


def as_fields(settings: Mapping[str, Any], options: Mapping[str, "Field[Any]"]) -> dict[str, Any]:
    """Return settings under the names of fields: dashes, short names and ``no-`` are those of the command line.

    Parameters
    ----------
    settings : mapping
        As a file holds them.
    options : mapping of str to Field
        The declared options, by name.

    Raises
    ------
    UsageError
        One is given twice, under two of its names.

    Examples
    --------
    >>> from perfkit.options.arguments import OPTIONS
    >>> as_fields({"max-tokens": 8, "no-stream": True, "tag": {"gpu": "H100"}, "n": 3}, OPTIONS)
    {'max_tokens': 8, 'stream': False, 'tags': {'gpu': 'H100'}, 'number': 3}
    """
    short = {flag.lstrip("-"): name for name, field in options.items() for flag in field.metadata["flags"]}
    named: dict[str, Any] = {}
    for key, value in settings.items():
        name = str(key).lstrip("-").replace("-", "_")
        positive = name.removeprefix("no_")
        if name not in options and isinstance(value, bool) and positive in options:
            name, value = positive, not value
        name = short.get(name, name)
        if name not in options:
            name = key  # as it was written, for the error
        if name in named:
            raise UsageError(f"{name} is given twice, once as {key!r}; leave one out")
        named[name] = value
    return named
