"""Generation C: a signed request; only chunk_times and the text are filled, the counts by parse_responses."""

import hashlib
import hmac
import json
import os
import sys
import time

import perfkit as pk


class SignedPlugin(pk.DefaultApiPlugin):
    def build_request(self, messages, param=None):
        return {"ask": messages if isinstance(messages, str) else messages[-1]["content"]}

    async def process_request(self, client_session, url, headers, body):
        data = json.dumps(body).encode()
        signature = hmac.new(os.environ["SIGNING_KEY"].encode(), data, hashlib.sha256).hexdigest()
        output = pk.BenchmarkData(start_time=time.time())
        async with client_session.post(url, data=data, headers={**headers, "X-Signature": signature}) as response:
            output.status_code = response.status
            if response.status != 200:
                output.error = await response.text()
                return output
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                message = json.loads(line[6:])
                output.response_messages.append(message)
                if message["kind"] == "piece":
                    output.chunk_times.append(time.time())
                    output.generated_text += message["text"]
        output.completed_time = time.time()
        output.success = True
        return output

    def parse_responses(self, responses, request=None, **kwargs):
        return responses[-1]["read"], responses[-1]["written"]


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url, api=SignedPlugin, dataset=["one two three four", "five six seven", "eight nine"], db=path, preflight=False
    )
