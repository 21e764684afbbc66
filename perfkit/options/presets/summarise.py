"""Long documents in, short texts out."""

from perfkit.options.presets import CHARACTERS_PER_TOKEN, Preset, register_preset


@register_preset("summarise")
def summarise() -> Preset:
    """Declare summaries of long documents."""
    return Preset(
        meaning="summaries of long documents, each asked once",
        settings={
            "dataset": "random",
            "dataset_args": {
                "length": {"median": 7059, "sigma": 0.476, "max": 16_384},
                "output": {"median": 208, "sigma": 0.452},
                "characters_per_token": CHARACTERS_PER_TOKEN,
            },
        },
        sources={
            "length": "arxiv_summarization: median 7,059 tokens, 90th percentile 12,985, whole requests above 16,384 "
            "left out (Agrawal et al., Sarathi-Serve, OSDI 2024, Table 2). Documents share nothing",
            "output": "the same table: median 208 tokens, 90th percentile 371",
        },
    )
