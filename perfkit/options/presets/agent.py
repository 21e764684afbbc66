"""A program that calls tools in a loop."""

from perfkit.options.presets import CHARACTERS_PER_TOKEN, Preset, register_preset


@register_preset("agent")
def agent() -> Preset:
    """Declare coding agents, whose context grows by what their tools return."""
    return Preset(
        meaning="coding agents: a long context that grows by what tools return, in tens of turns",
        settings={
            "dataset": "random",
            "prefix_length": 12_000,
            "dataset_args": {
                "length": {"median": 1466, "sigma": 0.703, "min": 100, "max": 10_000},
                "output": {"median": 167, "sigma": 1.25, "min": 50, "max": 10_000},
                "turns": 33,
                "think_time": {"median": 3.95, "sigma": 1.634, "min": 1, "max": 100},
                "characters_per_token": CHARACTERS_PER_TOKEN,
            },
        },
        sources={
            "prefix_length": "the context of a first turn, 12K tokens in the median, of 610 traces of a coding agent: "
            "vLLM blog, 6 May 2026, Figure 1 (vllm-project/vllm-project.github.io, "
            "_posts/2026-05-06-mooncake-store.md); that all sessions share it (instructions and tools) is chosen",
            "length": "1,877 tokens a turn in the mean: the growth of 2,242 a turn there, less the answer; spread and "
            "bounds of llm-d's profile (llm-d/llm-d-benchmark, "
            "workload/profiles/inference-perf/agentic_code_generation.yaml.in)",
            "output": "365 tokens in the mean before the bounds: 131 tokens of input to one of output there, over 33 "
            "turns; spread and bounds of llm-d's profile",
            "turns": "33, the median there; that all are alike is chosen",
            "think_time": "how long tools take: tool_call_latency_sec of llm-d's profile, mean 15 s and standard "
            "deviation 55 s before its bounds of 1 and 100 s",
        },
    )
