"""Generation B: a JSON-lines protocol; each line is yielded as it comes."""

import json
import sys

import perfkit as pk


class LinesPlugin(pk.ApiPluginBase):
    def build_request(self, messages, param=None):
        return {"ask": messages if isinstance(messages, str) else messages[-1]["content"]}

    async def process_request(self, client_session, url, headers, body):
        async with client_session.post(url, data=json.dumps(body), headers=headers) as response:
            async for line in response.content:
                yield response.status != 200, response.status, line.decode()

    def parse_responses(self, responses, request=None, **kwargs):
        end = json.loads(responses[-1])
        return end["read"], end["written"]


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url, api=LinesPlugin, dataset=["one two three four", "five six seven", "eight nine"], db=path, preflight=False
    )
