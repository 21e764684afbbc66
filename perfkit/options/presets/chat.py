"""People who talk to a model."""

from perfkit.options.presets import CHARACTERS_PER_TOKEN, Preset, register_preset


@register_preset("chat")
def chat() -> Preset:
    """Declare conversations of people, with the reading and typing between their turns."""
    return Preset(
        meaning="people in conversations of a few turns, with time to read and type between them",
        settings={
            "dataset": "random",
            "prefix_length": 500,
            "dataset_args": {
                "length": {"median": 42.2, "sigma": 1.0},
                "output": {"median": 130, "sigma": 1.0},
                "turns": {"values": [1, 2, 3, 4, 6, 9, 16], "weights": [35, 20, 11, 9, 15, 5, 5]},
                "think_time": 100,
                "characters_per_token": CHARACTERS_PER_TOKEN,
            },
        },
        sources={
            "prefix_length": "the system prompt that all have in common: common_prefix_num_tokens of vLLM's multi-turn "
            "benchmark (vllm-project/vllm, benchmarks/multi_turn/generate_multi_turn.json)",
            "length": "mean 69.5 tokens a prompt: LMSYS-Chat-1M (Zheng et al. 2023, arXiv:2309.11998, Table 1); the "
            "spread is chosen",
            "output": "mean 214.5 tokens an answer: the same table; the spread is chosen, and makes a median of 130 "
            "where the conversations of Azure's trace of 2023 have 129 (Patel et al., Splitwise, ISCA 2024, section "
            "III-A)",
            "turns": "over 35 % have one, the median is 2, 75 % have at most 4: BurstGPT (Wang et al., "
            "arXiv:2401.17644); mean 3.6, ServeGen has 3.5 (Xiang et al. 2025, arXiv:2505.09999); how those above 4 "
            "lie is chosen",
            "think_time": "about 100 s between turns: ServeGen, as above; that all are alike is chosen",
        },
    )
