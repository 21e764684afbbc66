"""``vllm bench serve``, and the script ``benchmark_serving.py`` that it was before.

Its options are those of vLLM's ``vllm/benchmarks/serve.py`` and ``vllm/benchmarks/datasets`` of autumn 2026.
"""

import math

from perfkit.cli.tools.registry import AFTERWARDS, KEPT, SERVER, SHOWN, Given, Ours, tool, warmed

APIS = {
    "openai": "completions",
    "vllm": "completions",
    "openai-chat": "openai",
    "openai-embeddings": "embeddings",
    "vllm-rerank": "rerank",
}
SAME = (
    *("temperature", "top-p", "top-k", "min-p", "logprobs"),
    *("frequency-penalty", "presence-penalty", "repetition-penalty"),
)


@tool(
    "vllm bench serve",
    "vllm bench serve",
    "vllm-rs bench serve",
    "benchmark_serving.py",
    flags="trust-remote-code use-beam-search disable-tqdm profile save-result save-detailed append-result ignore-eos "
    "self-timed no-self-timed skip-tokenizer-init insecure plot-timeline plot-dataset-stats disable-shuffle "
    "skip-chat-template no-oversample no-stream",
    reasons={
        "save-result save-detailed append-result result-dir": KEPT,
        "percentile-metrics metric-percentiles": AFTERWARDS,
        "plot-timeline timeline-itl-thresholds plot-dataset-stats": "perfkit plot and perfkit report draw the run file",
        "disable-tqdm": SHOWN,
        "profile": SERVER,
        "trust-remote-code tokenizer-mode skip-tokenizer-init": "only a tokenizer of --tokenizer-path is read",
        "lora-assignment": "models are drawn for each request",
        "ready-check-timeout-sec": "the first request says at once whether the server is there",
        "request-id-prefix": "each request has an id of its own",
        "probe-request-rate": "start a second run beside this one",
    },
)
def translate(given: Given, ours: Ours) -> None:
    """Translate its options."""
    host, port = given.one("host", default="127.0.0.1"), given.one("port", default="8000")
    base = given.one("base-url") or f"http://{host}:{port}"
    ours.url = f"{base.rstrip('/')}{given.one('endpoint', default='/v1/completions')}"
    backend = given.one("backend", "endpoint-type", default="openai") or ""
    ours.set("api", APIS.get(backend, "completions"))
    if backend not in APIS:
        ours.note(f"the backend {backend} is not known here; OpenAI's completions stand in its place")
    model, served = given.one("model"), given.one("served-model-name")
    adapters = given.every("lora-modules")
    ours.set("model", *(adapters or (served or model,)))
    load(given, ours)
    ramp(given, ours)
    warmed(ours, given.number("num-prompts", default=1000), given.number("num-warmups"))
    is_random = (given.options.get("dataset-name") or ["random"])[-1] == "random"
    dataset(given, ours)
    if ours.options["api"][0] in ("embeddings", "rerank"):
        ours.options.pop("max-tokens", None)
    # vLLM takes the tokenizer of the model.
    ours.tokenizer(given.one("tokenizer") or (model if is_random else None))
    for name in SAME:
        ours.set(name, given.one(name))
    if ours.options["api"] == ["completions"] and "repetition-penalty" not in ours.options:
        ours.set("repetition-penalty", 1)  # sent with each text completion
    answers = ours.options["api"][0] not in ("embeddings", "rerank")
    ignores = given.has("ignore-eos") or (is_random and answers)
    ours.body(given.one("extra-body"), {"ignore_eos": True} if ignores else {})
    ours.limited_anew()
    ours.headers(given.every("header"), "=")
    ours.set("tag", *given.every("metadata"))
    ours.set("name", given.one("label"))
    ours.set("db", _file(given.one("result-filename")))
    seed = given.one("seed")
    ours.set("prompt-seed", seed)
    ours.set("arrival-seed", seed)
    if given.has("insecure"):
        ours.flag("no-verify")
    ours.goodput(given.every("goodput"))


def load(given: Given, ours: Ours) -> None:
    """Translate the load, which sglang's client has under the same names."""
    rate, most = given.number("request-rate", default=math.inf), given.one("max-concurrency")
    if math.isfinite(rate):
        ours.set("rate", rate)
        ours.set("max-concurrency", most)
    elif most is not None:
        ours.set("parallel", most)
    else:
        ours.set("rate", -1)
    burstiness = given.number("burstiness", default=1.0)
    if burstiness != 1 and math.isfinite(rate):
        even = math.isinf(burstiness)
        ours.set("arrival", "constant" if even else "gamma")
        ours.set("burstiness", None if even else burstiness)


def ramp(given: Given, ours: Ours) -> None:
    """Translate a rate that rises from one to another over all requests."""
    shape, start, end = given.one("ramp-up-strategy"), given.one("ramp-up-start-rps"), given.one("ramp-up-end-rps")
    if shape is None or end is None:
        return
    mean = (float(start or 0) + float(end)) / 2
    lasts = float((given.options.get("num-prompts") or ["1000"])[-1]) / mean
    ours.options.pop("parallel", None)
    ours.set("rate", end)
    ours.set("ramp", math.ceil(lasts))
    ours.set("ramp-shape", shape)
    ours.note(f"the ramp begins at no request a second, where theirs begins at {start or 0}")


def dataset(given: Given, ours: Ours) -> None:
    """Translate what is asked."""
    name, path = given.one("dataset-name", default="random") or "", given.one("dataset-path")
    long, answer = given.one("input-len"), given.one("output-len")
    if name == "random":
        length = float(given.one("random-input-len") or long or 1024)
        output = float(given.one("random-output-len") or answer or 128)
        ratio = given.one("random-range-ratio", default="0") or "0"
        spread = 0.0
        if ratio.startswith("{"):
            ours.note(f"--random-range-ratio {ratio} is left out: lengths are all the mean")
        else:
            spread = float(ratio)
        sides = [(round(mean * (1 - spread)), round(mean * (1 + spread))) for mean in (length, output)]
        ours.lengths(*sides)
        ours.set("prefix-length", given.one("random-prefix-len"))
        return
    if name in ("prefix_repetition", "prefix-repetition"):
        _prefixes(given, ours, answer)
        return
    ours.set("dataset", {"sharegpt": "share_gpt", "custom": path, "timed_trace": "trace", "hf": "hf"}.get(name, path))
    if name != "custom":
        ours.set("dataset-path", path)
    longest = given.one(f"{name}-output-len") or answer
    ours.set("max-tokens", longest or ("256" if name == "custom" else None))
    if name in ("sharegpt", "custom") and not given.has("disable-shuffle"):
        ours.flag("shuffle")
    if name == "sharegpt" and longest is None:
        ours.note("answers have the length that the model gives them: theirs have that of the answer in the file")
    if name not in ("sharegpt", "custom", "timed_trace"):
        ours.note(f"the dataset {name} is not downloaded: save it as JSONL, and give that file to --dataset")


def _prefixes(given: Given, ours: Ours, answer: str | None) -> None:
    prefix, suffix, many, output = (
        given.one(f"prefix-repetition-{name}", default=default)
        for name, default in (
            ("prefix-len", "256"),
            ("suffix-len", "256"),
            ("num-prefixes", "10"),
            ("output-len", answer or "128"),
        )
    )
    ours.lengths((float(suffix or 0),) * 2, (float(output or 0),) * 2)
    ours.set("prefix-length", prefix)
    if many != "1":
        ours.note(f"all prompts share one prefix: theirs share {many}")


def _file(name: str | None) -> str | None:
    return None if name is None else f"{name.removesuffix('.json')}.db"
