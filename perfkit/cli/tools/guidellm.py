"""``guidellm benchmark`` of 0.2 to 0.7, and ``guidellm run`` of 0.8, whose options hold ``kind=...,name=value``.

Facts: guidellm's ``docs/guides`` and README of 0.8.1, and the options of its releases before.
"""

from collections.abc import Mapping
from typing import Any

from perfkit.cli.tools.registry import KEPT, SHOWN, Given, Ours, seconds, tool
from perfkit.options.coercion import as_mapping

APIS = {
    "chat_completions": ("openai", "/v1/chat/completions"),
    "text_completions": ("completions", "/v1/completions"),
    "responses": ("responses", "/v1/responses"),
    "embeddings": ("embeddings", "/v1/embeddings"),
}
_PATHS = {path: api for api, path in APIS.values()}


@tool(
    "guidellm",
    "guidellm benchmark run",
    "guidellm benchmark",
    "guidellm run",
    flags="disable-progress disable-console disable-console-outputs disable-console-interactive "
    "display-scheduler-stats",
    short={"c": "config", "l": "label"},
    reasons={
        "output-path output-dir outputs output output-extras output-sampling sample-requests": KEPT,
        "disable-progress disable-console disable-console-outputs disable-console-interactive": SHOWN,
        "backend-type": "see --api",
        "processor-args": "only a tokenizer of --tokenizer-path is read",
        "data-sampler data-num-workers data-column-mapper": "what is read of a record is in docs/datasets.md",
        "config scenario": "write the settings into a file for --config",
        "over-saturation detect-saturation": "perfkit capacity finds the largest load",
    },
)
def translate(given: Given, ours: Ours) -> None:
    """Translate its options."""
    backend = _fields(given.every("backend"))
    extra = _fields(given.every("backend-args", "backend-kwargs"))
    target = given.one("target") or backend.get("target") or "http://localhost:8000"
    kind = str(given.one("request-type", "request-format") or backend.get("request_format") or "chat_completions")
    api, path = APIS.get(kind) or (_PATHS.get(kind, "openai"), kind)
    ours.url = f"{str(target).rstrip('/').removesuffix('/v1')}{path if path.startswith('/') else f'/{path}'}"
    ours.set("api", api)
    ours.set("model", given.one("model") or backend.get("model"))
    profile = _fields(given.every("profile", "rate-type"), first="kind")
    _load(given, ours, profile)
    _limits([_fields([text]) for text in given.every("constraint")], ours)
    ours.set("duration", seconds(given.one("max-seconds")))
    ours.set("number", *given.many("max-requests"))
    ours.set("max-error-rate", given.one("max-error-rate"))
    _edges(given, ours, profile)
    ours.tokenizer(_fields(given.every("processor", "tokenizer"), first="model").get("model"))
    _data(_fields(given.every("data"), first="source"), ours)
    settings = {**backend, **extra}
    if _is(settings.get("verify"), False) or ("verify" not in settings and ours.url.startswith("https://")):
        ours.flag("no-verify")
    if _is(settings.get("stream"), False):
        ours.flag("no-stream")
    elif api in ("openai", "completions"):
        ours.note("usage is asked for once, at the end of a stream: theirs asks for it with every chunk")
    extras = settings.get("extras")
    body = extras.get("body", {}) if isinstance(extras, Mapping) else {}
    for name, value in body.items():
        ours.field(name, value)
    if "max-tokens" not in ours.options:
        ours.set("max-tokens", settings.get("max_tokens"))
    ours.limited_anew()
    ours.set("read-timeout", settings.get("timeout"))
    ours.set("connect-timeout", settings.get("timeout_connect"))
    key = extra.get("api_key") or backend.get("api_key")
    ours.key(str(key) if key else None)
    seed = given.one("random-seed") or _fields(given.every("seed"), first="value").get("value")
    ours.set("prompt-seed", seed)
    ours.set("arrival-seed", seed)
    ours.set("tag", *given.every("label"))


def _load(given: Given, ours: Ours, profile: Mapping[str, Any]) -> None:
    kind = str(profile.get("kind", "sweep"))
    rates = given.many("rate") or _levels(given.every("override")) or _listed(profile)
    if kind == "synchronous":
        ours.set("parallel", 1)
    elif kind == "concurrent":
        ours.set("parallel", *rates)
    elif kind == "throughput":
        most = rates[0] if rates else profile.get("max_concurrency")
        ours.set("rate", -1)
        ours.set("max-concurrency", most)
    elif kind in ("constant", "poisson", "async"):
        ours.set("rate", *rates)
        ours.set("arrival", None if kind == "poisson" else "constant")
        ours.set("max-concurrency", profile.get("max_concurrency"))
    else:
        ours.set("parallel", 1, 2, 4, 8, 16, 32, 64)
        ours.note(
            f"the profile {kind} chooses its loads by itself: name them with --parallel or --rate, or have perfkit "
            "capacity find the largest that meets objectives"
        )
    ours.set("ramp", given.one("rampup", "rampup-duration") or profile.get("rampup_duration"))


def _listed(profile: Mapping[str, Any]) -> list[str]:
    """Return the loads of a profile: one, or a list."""
    told: Any = next((profile[name] for name in ("rate", "streams") if name in profile), [])
    return [str(each) for each in (told if isinstance(told, list) else [told])]


def _levels(override: list[str]) -> list[str]:
    """Return the loads of ``--override profile.streams 1,2,4``."""
    if override[:1] not in (["profile.streams"], ["profile.rate"]):
        return []
    return [part.strip("[] ") for text in override[1:] for part in text.split(",")]


def _is(value: object, wanted: bool) -> bool:
    return value is wanted or str(value).lower() == str(wanted).lower()


def _limits(constraints: list[dict[str, Any]], ours: Ours) -> None:
    for each in constraints:
        kind = each.get("kind")
        if kind == "max_duration":
            ours.set("duration", each.get("seconds"))
        elif kind == "max_requests":
            ours.set("number", each.get("count"))
        elif kind == "max_error_rate":
            ours.set("max-error-rate", each.get("rate"))
        else:
            ours.note(f"the constraint {kind} is left out: see --max-error-rate")


def _edges(given: Given, ours: Ours, profile: Mapping[str, Any]) -> None:
    """Translate what is left out at the start and the end: shares below 1, else requests."""
    warmup = given.one("warmup", "warmup-percent") or profile.get("warmup")
    cooldown = given.one("cooldown", "cooldown-percent") or profile.get("cooldown")
    ours.set("warmup", None if warmup is None else _amount(warmup))
    if cooldown is not None:
        ours.note(f"the end is left out afterwards: perfkit show FILE --cooldown {_amount(cooldown)}")


def _amount(value: object) -> str:
    number = float(str(value))
    return f"{number * 100:g}%" if number < 1 else f"{number:g}"


def _data(data: Mapping[str, Any], ours: Ours) -> None:
    if "prompt_tokens" in data:
        spread, low, high = (data.get(f"prompt_tokens_{name}") for name in ("stdev", "min", "max"))
        mean = float(data["prompt_tokens"])
        if spread:
            ours.drawn(mean, float(spread))
        else:
            ours.lengths((float(low or mean), float(high or mean)), None)
        ours.set("prefix-length", data.get("prefix_tokens"))
        ours.set("max-tokens", data.get("output_tokens"))
        if data.get("output_tokens"):
            ours.set("extra-args", "ignore_eos=true")
        if data.get("output_tokens_stdev"):
            ours.note("answers are all as long as the mean: output_tokens_stdev is left out")
        return
    source = data.get("path") or data.get("source")
    if source is not None:
        ours.set("dataset", source)
        if not str(source).endswith((".json", ".jsonl", ".csv", ".txt", ".parquet", ".arrow")):
            ours.note(f"nothing is downloaded: save {source} first, and give its file or folder to --dataset")


def _fields(texts: list[str], first: str = "kind") -> dict[str, Any]:
    """Return what an option holds: JSON, or NAME=VALUE between commas; a bare word is the value of its first field."""
    found: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            found |= as_mapping("an option of guidellm", text)
        elif "=" in text:
            found |= dict(part.split("=", 1) for part in text.split(",") if "=" in part)
        else:
            found[first] = text
    return found
