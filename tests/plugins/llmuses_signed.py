"""llmuses: the signature of the body is a header."""

import hashlib
import hmac
import json
import os
import sys

import perfkit as pk


class PerfPlugin(pk.PerfPluginBase):
    def build_request(self, model, prompt=None, dataset=None, max_length=10**9, min_length=0, **kwargs):
        for line in [prompt] if prompt else self.dataset_line_by_line(dataset):
            yield {"ask": line.strip(), "model": model, **kwargs}

    def encode_request(self, body):
        data = json.dumps(body).encode()
        return data, {"X-Signature": hmac.new(os.environ["SIGNING_KEY"].encode(), data, hashlib.sha256).hexdigest()}

    def parse_responses(self, responses, **kwargs):
        end = json.loads(responses[-1])
        return end["read"], end["written"]


if __name__ == "__main__":
    url, dataset, path = sys.argv[1:]
    pk.run(url, parser=PerfPlugin, model="m", dataset=dataset, db=path, preflight=False)
