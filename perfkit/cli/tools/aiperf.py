"""NVIDIA's ``aiperf profile``, and ``genai-perf profile`` that it was before.

Their options are those of aiperf 0.13 (``aiperf/config/flags/cli_config.py``) and genai-perf 0.0.16
(``genai_perf/parser.py``); where both have one, it means the same.
"""

from perfkit.cli.tools.registry import AFTERWARDS, KEPT, SHOWN, Given, Ours, seconds, tool, warmed

APIS = {
    "chat": ("openai", "/v1/chat/completions"),
    "completions": ("completions", "/v1/completions"),
    "responses": ("responses", "/v1/responses"),
    "embeddings": ("embeddings", "/v1/embeddings"),
    "rankings": ("rerank", "/v1/ranking"),
    "nim_rankings": ("rerank", "/v1/ranking"),
    "messages": ("anthropic", "/v1/messages"),
    "anthropic_messages": ("anthropic", "/v1/messages"),
    "huggingface_generate": ("tgi", "/generate_stream"),
    "tgi": ("tgi", "/generate_stream"),
}
_REASONS = {
    "artifact-dir output-artifact-dir profile-export-file profile-export-prefix": KEPT,
    "export-level profile-export-level": KEPT,
    "ui ui-type verbose v extra-verbose vv log-level": SHOWN,
    "tokenizer-trust-remote-code tokenizer-revision": "only a tokenizer of --tokenizer-path is read",
    "use-server-token-count": "the server's counts are always used where it sends some",
    "measurement-interval p stability-percentage s": "a run has a number or a duration, and is not repeated",
    "generate-plots auto-plot": "perfkit plot and perfkit report draw the run file",
    "slice-duration": AFTERWARDS,
    "workers-max max-workers record-processors record-processor-service-count": "see --workers",
    "backend": "it names the server's kind, which perfkit need not know",
    "num-prompts num-dataset-entries": "prompts are made one for each request",
    "no-gpu-telemetry no-server-metrics": "nothing is scraped unless --scrape asks for it",
    "gpu-telemetry server-metrics": "give those pages to --scrape",
    "confidence-level": "perfkit compare has intervals of 95 %",
}
_FLAGS = (
    "streaming use-server-token-count tokenizer-trust-remote-code fixed-schedule no-fixed-schedule verbose v "
    "generate-plots auto-plot no-auto-plot use-legacy-max-tokens no-gpu-telemetry no-server-metrics extra-verbose "
    "output-tokens-mean-deterministic enable-checkpointing override-config force-min-tokens no-force-min-tokens "
    "export-http-trace apply-chat-template"
)
_SHORT = {"m": "model", "u": "url", "H": "header", "b": "batch-size"}


@tool("genai-perf", "genai-perf profile", flags=_FLAGS, short=_SHORT, reasons=_REASONS)
def translate_older(given: Given, ours: Ours) -> None:
    """Translate the options of genai-perf, which sends ``max_tokens``."""
    given.options["use-legacy-max-tokens"] = []
    translate(given, ours)


@tool("aiperf", "aiperf profile", flags=_FLAGS, short=_SHORT, reasons=_REASONS)
def translate(given: Given, ours: Ours) -> None:
    """Translate their options."""
    kind = given.one("endpoint-type", default="chat") or ""
    api, path = APIS.get(kind, ("openai", "/v1/chat/completions"))
    if kind not in APIS:
        ours.note(f"the endpoint type {kind} is not known here; OpenAI's chat stands in its place")
    urls = given.every("url")
    path = given.one("custom-endpoint", "endpoint") or path
    ours.url, *others = (_url(each, path) for each in urls or ["localhost:8000"])
    ours.others = tuple(others)
    ours.set("api", api)
    models = given.many("model", "model-names")
    ours.set("model", *models[:1])
    if len(models) > 1:
        ours.note(f"one model a run: {', '.join(models[1:])} left out")
    _load(given, ours)
    ours.tokenizer(given.one("tokenizer"))
    _prompts(given, ours)
    if not given.has("streaming") and api not in ("embeddings", "rerank"):
        ours.flag("no-stream")
    _body(given, ours)
    if not given.has("use-legacy-max-tokens"):
        ours.limited_anew()
    ours.headers(given.every("header"), ":")
    ours.key(given.one("api-key"))
    ours.set("total-timeout", given.one("request-timeout-seconds"))
    ours.set("prompt-seed", given.one("random-seed"))
    if cancelled := given.one("request-cancellation-rate"):
        ours.set("cancel", f"{cancelled}%")
        ours.set("cancel-after", given.one("request-cancellation-delay", default="0"))
    ours.goodput(given.every("goodput"))


def _url(given: str, path: str) -> str:
    base = given if "://" in given else f"http://{given}"
    return base if base.count("/") > 2 and not base.endswith("/") else f"{base.rstrip('/')}/{path.lstrip('/')}"


def _load(given: Given, ours: Ours) -> None:
    rates, users = given.many("request-rate"), given.many("concurrency")
    if rates:
        ours.set("rate", *rates)
        ours.set("max-concurrency", *users[:1])
        shape = given.one("arrival-pattern", "request-rate-mode")
        ours.set("arrival", shape if shape in ("constant", "gamma") else None)
        if shape == "gamma":
            ours.set("burstiness", given.one("arrival-smoothness", "vllm-burstiness"))
        ours.set("ramp", given.one("request-rate-ramp-duration"))
    elif given.options.get("fixed-schedule") is None:
        ours.set("parallel", *(users or ["1"]))
        ours.set("ramp", given.one("concurrency-ramp-duration"))
    duration = seconds(given.one("benchmark-duration"))
    ours.set("duration", duration)
    # Theirs is ten, or two a user, without a count or a time.
    is_bounded = duration is not None or given.options.get("fixed-schedule") is not None
    default = None if is_bounded else max(10, 2 * int((users or ["1"])[-1]))
    counts = given.many("request-count", "num-requests")
    warmup = given.number("warmup-request-count", "num-warmup-requests")
    if len(counts) > 1:
        ours.set("number", *counts)
    else:
        warmed(ours, float(counts[0]) if counts else default, warmup)


def _prompts(given: Given, ours: Ours) -> None:
    file, public = given.one("input-file"), given.one("public-dataset")
    kind = given.one("custom-dataset-type") or ""
    trace = given.has("fixed-schedule") or kind.endswith("_trace")
    answer = given.one("output-tokens-mean", "osl", "prompt-output-tokens-mean")
    if file:
        ours.set("dataset", "trace" if trace else "multi_turn" if kind == "multi_turn" else file)
        ours.set("dataset-path", file if trace or kind == "multi_turn" else None)
    elif public:
        ours.set("dataset", "share_gpt" if public == "sharegpt" else public)
        ours.note("nothing is downloaded: give the file with --dataset-path")
    else:
        mean = given.one("synthetic-input-tokens-mean", "isl", "prompt-input-tokens-mean", default="550") or ""
        spread = given.number("synthetic-input-tokens-stddev", "isl-stddev", "prompt-input-tokens-stddev")
        if spread:
            ours.drawn(float(mean), spread)
        else:
            ours.lengths((float(mean),) * 2, None)
        ours.set(
            "prefix-length", given.one("prefix-prompt-length", "prompt-prefix-length", "shared-system-prompt-length")
        )
    ours.set("max-tokens", answer)
    if given.number("output-tokens-stddev", "osl-stddev", "prompt-output-tokens-stddev"):
        ours.note("answers are all as long as the mean: --osl-stddev is left out")


def _body(given: Given, ours: Ours) -> None:
    for text in given.every("extra-inputs"):
        if text.lstrip().startswith("{"):
            ours.options["extra-args"] = [text]
        else:
            name, _, value = text.partition(":")
            ours.set("extra-args", f"{name}={value}")
