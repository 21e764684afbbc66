"""Generation A: a JSON-lines protocol that perfkit sends and reads."""

import json
import sys

import perfkit as pk


class LinesPlugin(pk.ApiPluginBase):
    def __init__(self, model_path):
        self.model_path = model_path

    def build_request(self, messages, param):
        return {"ask": messages if isinstance(messages, str) else messages[-1]["content"]}

    def parse_responses(self, responses, request=None, **kwargs):
        end = json.loads(responses[-1])
        return end["read"], end["written"]


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url,
        api=LinesPlugin,
        model="m",
        dataset=["one two three four", "five six seven", "eight nine"],
        db=path,
        preflight=False,
    )
