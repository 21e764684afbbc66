"""``evalscope perf``, whose options perfkit's are: what it sends by default and perfkit does not is added.

Its options are those of ``evalscope/perf/arguments.py`` of evalscope 1.14.1.
"""

from perfkit.cli.tools.registry import KEPT, SHOWN, Given, Ours, tool, warmed
from perfkit.options.arguments import OPTIONS

APIS = {
    "openai": "openai",
    "openai_responses": "responses",
    "responses": "responses",
    "openai_embedding": "embeddings",
    "embedding": "embeddings",
    "openai_rerank": "rerank",
    "rerank": "rerank",
}
_DEFAULTS = {"max-tokens": "2048", "temperature": "0"}
_LATER = (
    *("number", "parallel", "rate", "url", "api", "headers", "api-key", "wandb-api-key", "seed"),
    *("dataset", "min-prompt-length", "tokenizer-path"),
)
_SAME = tuple(name.replace("_", "-") for name in OPTIONS if name.replace("_", "-") not in _LATER)
_CAPACITY = "perfkit capacity finds the largest load that meets objectives"


@tool(
    "evalscope perf",
    "evalscope perf",
    flags="no-test-connection enable-pd-metrics open-loop sla-auto-tune debug enable-progress-tracker no-timestamp "
    "apply-chat-template no-apply-chat-template logprobs stream no-stream tokenize-prompt multi-turn",
    short={"n": "number"},
    reasons={
        "outputs-dir no-timestamp db-commit-interval": KEPT,
        "enable-progress-tracker": SHOWN,
        "sleep-interval": "points of a sweep follow each other at once",
        "port attn-implementation": "no model runs here: start the server, and give its URL",
        "queue-size-multiplier in-flight-task-multiplier num-workers": "see --workers",
        "sla-auto-tune sla-variable sla-params sla-num-runs sla-upper-bound sla-lower-bound": _CAPACITY,
        "sla-fixed-parallel sla-number-multiplier": _CAPACITY,
        "visualizer wandb-api-key swanlab-api-key swanlab-host": "see --wandb-api-key",
        "alias model-id": "see --name and --tag",
    },
)
def translate(given: Given, ours: Ours) -> None:
    """Translate its options."""
    ours.url = given.one("url", default="http://127.0.0.1:8877/v1/chat/completions")
    api = given.one("api", default="openai") or ""
    asks_text = api == "openai" and str(ours.url).endswith("/completions") and "/chat/" not in str(ours.url)
    ours.set("api", "completions" if asks_text else APIS.get(api, api))
    if api.startswith("local"):
        ours.note("no model runs here: start the server, and give its URL")
    _load(given, ours)
    _prompts(given, ours)
    for name in _SAME:
        if name in ("stream", "apply-chat-template"):
            for flag in (name, f"no-{name}"):
                if given.has(flag) and flag != "stream":
                    ours.flag(flag)
        elif name in ("debug", "logprobs"):
            if given.has(name):
                ours.flag(name)
        elif name in given.options or name in _DEFAULTS:
            values = given.every(name) or [_DEFAULTS[name]]
            ours.set(name, *values[:1] if name == "max-tokens" else values)
            if name == "max-tokens" and len(values) > 1:
                ours.options[name] = [str((int(values[0]) + int(values[1])) // 2)]
                ours.note(f"answers are all as long as the mean: theirs are of {values[0]} to {values[1]} tokens")
    seed = given.one("seed")
    ours.set("seed", seed)
    ours.set("prompt-seed", seed)
    if given.has("no-test-connection"):
        ours.flag("no-preflight")
    elif max(len(ours.options.get(name, ())) for name in ("parallel", "rate")) > 1:
        ours.note("theirs tries the connection before each point of the sweep, with a request that it does not count")
    ours.headers(given.every("headers"), "=")
    ours.key(given.one("api-key"))
    ours.tokenizer(given.one("tokenizer-path"))


def _load(given: Given, ours: Ours) -> None:
    users, rates, numbers = given.every("parallel"), given.every("rate"), given.every("number")
    rates = [each for each in rates if float(each) > 0]
    if given.has("open-loop") and rates:
        ours.set("rate", *rates)
        if users:
            ours.note("--parallel has no meaning with --open-loop, and is left out")
    elif rates:
        ours.set("rate", *rates)
        ours.set("max-concurrency", (users or ["1"])[0])
        ours.note("a rate that the users of --parallel hold back is an open load with a cap here")
    else:
        ours.set("parallel", *(users or ["1"]))
    warmup = given.number("warmup-num")
    if len(numbers) > 1 or 0 < warmup < 1:
        ours.set("number", *numbers)
        ours.set("warmup", f"{warmup * 100:g}%" if 0 < warmup < 1 else warmup or None)
    else:
        warmed(ours, float(numbers[0]) if numbers else None, warmup)


def _prompts(given: Given, ours: Ours) -> None:
    name, least = given.one("dataset", default="openqa") or "", given.one("min-prompt-length")
    if given.options.get("prompt"):
        return
    if name == "random":
        most = given.one("max-prompt-length", default="131072") or ""
        ours.lengths((float(least or 0), float(most)), None)
        if "tokenizer-path" in given.options:
            ours.note("lengths are those of the text: theirs are of drawn token ids, and count a chat template's, too")
    else:
        names = {"workload_trace": "trace", "share_gpt_en": "share_gpt", "share_gpt_zh": "share_gpt"}
        ours.set("dataset", names.get(name, name))
        ours.set("min-prompt-length", least)
        if given.has("multi-turn"):
            ours.set("dataset", "multi_turn")
