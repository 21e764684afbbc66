"""Generation A: perfkit sends; the signature of the body is a header."""

import hashlib
import hmac
import json
import os
import sys

import perfkit as pk


class SignedPlugin(pk.ApiPluginBase):
    def build_request(self, messages, param):
        return {"ask": messages if isinstance(messages, str) else messages[-1]["content"]}

    def encode_request(self, body):
        data = json.dumps(body).encode()
        key = os.environ["SIGNING_KEY"].encode()
        return data, {"X-Signature": hmac.new(key, data, hashlib.sha256).hexdigest()}

    def parse_responses(self, responses, request=None, **kwargs):
        end = json.loads(responses[-1])
        return end["read"], end["written"]


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url,
        api=SignedPlugin,
        model="m",
        dataset=["one two three four", "five six seven", "eight nine"],
        db=path,
        preflight=False,
    )
