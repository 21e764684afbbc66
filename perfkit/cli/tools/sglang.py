"""SGLang's ``python -m sglang.bench_serving``.

Its options are those of ``sglang/benchmark/serving.py`` of sglang 0.5.23.
"""

from perfkit.cli.tools.registry import KEPT, SERVER, SHOWN, Given, Ours, tool, warmed
from perfkit.cli.tools.vllm import load

BACKENDS = {
    "sglang": ("completions", "/v1/completions", 30000),
    "sglang-native": ("completions", "/v1/completions", 30000),
    "sglang-oai": ("completions", "/v1/completions", 30000),
    "sglang-oai-chat": ("openai", "/v1/chat/completions", 30000),
    "sglang-embedding": ("embeddings", "/v1/embeddings", 30000),
    "vllm": ("completions", "/v1/completions", 8000),
    "vllm-chat": ("openai", "/v1/chat/completions", 8000),
    "vllm-embedding": ("embeddings", "/v1/embeddings", 8000),
    "lmdeploy": ("completions", "/v1/completions", 23333),
    "lmdeploy-chat": ("openai", "/v1/chat/completions", 23333),
}
DRAWN = "lengths are those of the text: theirs are of drawn token ids, whose text may be longer"


@tool(
    "sglang bench_serving",
    "sglang.bench_serving",
    "sglang.benchmark.serving",
    "bench_serving.py",
    flags="random-image-count use-trace-timestamps output-details print-requests disable-tqdm disable-stream "
    "return-logprob return-routed-experts cache-report disable-ignore-eos apply-chat-template profile plot-throughput "
    "profile-by-stage pd-separated flush-cache tokenize-prompt gsp-fast-prepare gsp-send-routing-key gsp-ordered "
    "rust-client fake-prefill",
    reasons={
        "output-file output-details": KEPT,
        "disable-tqdm print-requests": SHOWN,
        "profile profile-activities profile-num-steps profile-by-stage profile-stages profile-output-dir": SERVER,
        "flush-cache flush-cache-timeout": "empty the cache before the run: curl -X POST URL/flush_cache",
        "cache-report": "the summary has cached tokens where the server reports them",
        "apply-chat-template": "with --api openai the server applies it",
        "plot-throughput": "perfkit plot draws the run file",
        "rust-client rust-worker-threads": "there is one client here",
        "ready-check-timeout-sec": "the first request says at once whether the server is there",
    },
)
def translate(given: Given, ours: Ours) -> None:
    """Translate its options."""
    backend = given.one("backend", default="sglang") or ""
    api, path, port = BACKENDS.get(backend, ("completions", "/v1/completions", 8000))
    host = given.one("host", default="localhost")
    host = "localhost" if host == "0.0.0.0" else host
    base, at = given.one("base-url"), given.one("port", default=str(port))
    base = base or f"http://{host}:{at}"
    ours.url = f"{base.rstrip('/')}{path}"
    ours.set("api", api)
    if backend in ("sglang", "sglang-native") or backend not in BACKENDS:
        ours.note(f"the backend {backend} has an API of its own: OpenAI's completions of the same server stand here")
    model, served = given.one("model"), given.one("served-model-name")
    ours.set("model", served or model)
    load(given, ours)
    warmed(ours, given.number("num-prompts", default=1000), max(0, given.number("warmup-requests", default=1) - 1))
    ours.tokenizer(given.one("tokenizer"))
    _dataset(given, ours)
    if given.has("disable-stream"):
        ours.flag("no-stream")
    ours.set("temperature", given.one("temperature", default="0"))
    ours.set("top-p", given.one("top-p"))
    ignores = not given.has("disable-ignore-eos")
    ours.body(given.one("extra-request-body"), {"ignore_eos": ignores})
    ours.limited_anew()
    if api == "completions":
        ours.field("best_of", 1)
    if api in ("completions", "openai") and "no-stream" not in ours.options:
        ours.note("usage is asked for with each stream: theirs does not; --no-include-usage leaves that out")
    ours.headers(given.every("header"), "=")
    ours.set("prompt-seed", seed := given.one("seed"))
    ours.set("arrival-seed", seed)
    ours.set("name", given.one("tag"))
    ours.goodput(given.every("goodput"))


def _dataset(given: Given, ours: Ours) -> None:
    name, path = given.one("dataset-name", default="sharegpt") or "", given.one("dataset-path")
    if name in ("random", "random-ids"):
        lengths, ratio = [], given.number("random-range-ratio")
        for side in ("input", "output"):
            longest = given.number(f"random-{side}-len", default=1024)
            lengths.append((float(max(int(longest * ratio), 1)), longest))
        ours.lengths(*lengths)
        if name == "random-ids":
            ours.note(DRAWN)
    elif name in ("generated-shared-prefix", "gsp"):
        question, output = given.number("gsp-question-len", default=128), given.number("gsp-output-len", default=256)
        ours.lengths((question, question), (output, output))
        ours.set("prefix-length", given.number("gsp-system-prompt-len", default=2048))
        ours.note(DRAWN)
        groups, each = given.number("gsp-num-groups", default=64), given.number("gsp-prompts-per-group", default=16)
        ours.set("number", groups * each)
        ours.note(f"all prompts share one prefix: theirs are {groups:g} groups with a prefix each")
    elif name == "sharegpt":
        ours.set("dataset", "share_gpt")
        ours.set("dataset-path", path)
        if not path:
            ours.note("nothing is downloaded: give the ShareGPT file with --dataset-path")
        answer = given.one("sharegpt-output-len")
        ours.set("max-tokens", answer)
        if answer is None:
            ours.note("answers have the length that the model gives them: theirs have that of the answer in the file")
    else:
        ours.set("dataset", {"mooncake": "trace", "custom": path, "openai": path}.get(name, path or name))
        ours.set("dataset-path", path if name == "mooncake" else None)
        if name not in ("mooncake", "custom", "openai"):
            ours.note(f"the dataset {name} is not known here: save it as JSONL, and give that file to --dataset")
