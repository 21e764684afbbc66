"""Generation B: a request whose body is signed; the events of the answer are yielded as JSON text."""

import hashlib
import hmac
import json
import os
import sys

import perfkit as pk


class SignedPlugin(pk.ApiPluginBase):
    def __init__(self, param):
        super().__init__(param)
        self.key = os.environ["SIGNING_KEY"].encode()

    def build_request(self, messages, param=None):
        return {"ask": messages if isinstance(messages, str) else messages[-1]["content"]}

    async def process_request(self, client_session, url, headers, body):
        data = json.dumps(body).encode()
        headers = {**headers, "X-Signature": hmac.new(self.key, data, hashlib.sha256).hexdigest()}
        async with client_session.post(url, data=data, headers=headers) as response:
            if response.status != 200:
                yield True, response.status, await response.text()
                return
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield False, response.status, line[6:].decode().strip()

    def parse_responses(self, responses, request=None, **kwargs):
        end = json.loads(responses[-1])
        return end["read"], end["written"]


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url, api=SignedPlugin, dataset=["one two three four", "five six seven", "eight nine"], db=path, preflight=False
    )
