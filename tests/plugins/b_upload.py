"""Generation B: a file is uploaded, and the whole answer is yielded at once."""

import json
import sys

import aiohttp

import perfkit as pk


class UploadPlugin(pk.ApiPluginBase):
    def build_request(self, messages, param=None):
        return {"file": messages if isinstance(messages, str) else messages[-1]["content"], "name": "asked.txt"}

    async def process_request(self, client_session, url, headers, body):
        form = aiohttp.FormData()
        form.add_field("file", body["file"], filename=body["name"], content_type="text/plain")
        async with client_session.post(url, data=form) as response:
            yield response.status != 200, response.status, await response.text()

    def parse_responses(self, responses, request=None, **kwargs):
        answer = json.loads(responses[0])
        return answer["read"], answer["written"]


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url, api=UploadPlugin, dataset=["one two three four", "five six seven", "eight nine"], db=path, preflight=False
    )
