"""An editor that completes what is being typed."""

from perfkit.options.presets import CHARACTERS_PER_TOKEN, Preset, register_preset


@register_preset("code")
def code() -> Preset:
    """Declare completions in an editor."""
    return Preset(
        meaning="completions in an editor: much code before the cursor, a few tokens behind it",
        settings={
            "dataset": "random",
            "dataset_args": {
                "length": {"median": 1500, "sigma": 0.79, "max": 7743},
                "output": {"median": 13, "sigma": 1.24},
                "characters_per_token": CHARACTERS_PER_TOKEN,
            },
        },
        sources={
            "length": "median 1,500 tokens: the coding service in Azure's trace of 2023 (Patel et al., Splitwise, ISCA "
            "2024, section III-A); spread so that the mean of a lognormal is the trace's 2,048 "
            "(Azure/AzurePublicDataset, data/AzureLLMInferenceTrace_code.csv); the longest of the trace of 2024 has "
            "7,743. What requests share is not published, and left out",
            "output": "median 13 tokens: the same section; spread so that the mean is the trace's 28",
        },
    )
