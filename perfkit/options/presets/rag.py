"""Questions with the passages that a search found for them."""

from perfkit.options.presets import CHARACTERS_PER_TOKEN, Preset, register_preset


@register_preset("rag")
def rag() -> Preset:
    """Declare questions with retrieved passages before them."""
    return Preset(
        meaning="single questions behind a system prompt and some six retrieved passages",
        settings={
            "dataset": "random",
            "prefix_length": 1024,
            "dataset_args": {
                "length": {"mean": 2232, "stdev": 358},
                "output": {"median": 178, "sigma": 0.62},
                "characters_per_token": CHARACTERS_PER_TOKEN,
            },
        },
        sources={
            "prefix_length": "the first two blocks of 512 tokens of the system prompt, which requests of a day share: "
            "RAGPulse (Wang et al. 2025, arXiv:2511.12979; flashserve/RAGPulse, data/1_sys_prompt.jsonl)",
            "length": "prompts with passages of data/0_trace.jsonl there: mean 3,256 tokens, standard deviation 358, "
            "the prefix included; 50 requests in a row of its 7,106, timestamps 137395 to 163473; passages that come "
            "again are left out: no published figure",
            "output": "the same requests: median 178 tokens, standard deviation of the logarithm 0.62",
        },
    )
