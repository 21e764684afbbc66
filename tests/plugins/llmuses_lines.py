"""llmuses: the plugin reads the dataset; JSON lines come back."""

import json
import sys

import perfkit as pk


class PerfPlugin(pk.PerfPluginBase):
    def __init__(self, mode_path):
        self.tokenizer = None

    def build_request(self, model, prompt=None, dataset=None, max_length=10**9, min_length=0, **kwargs):
        for line in [prompt] if prompt else self.dataset_line_by_line(dataset):
            yield {"ask": line.strip(), "model": model, **kwargs}

    def parse_responses(self, responses, **kwargs):
        end = json.loads(responses[-1])
        return end["read"], end["written"]


if __name__ == "__main__":
    url, dataset, path = sys.argv[1:]
    pk.run(url, parser=PerfPlugin, model="m", dataset=dataset, db=path, preflight=False)
