"""Generation C: a file is uploaded; the answer comes whole."""

import sys
import time

import aiohttp

import perfkit as pk


class UploadPlugin(pk.DefaultApiPlugin):
    def build_request(self, messages, param=None):
        return {"file": messages if isinstance(messages, str) else messages[-1]["content"]}

    async def process_request(self, client_session, url, headers, body):
        form = aiohttp.FormData()
        form.add_field("file", body["file"], filename="asked.txt", content_type="text/plain")
        begin = time.perf_counter()
        async with client_session.post(url, data=form) as response:
            answer = await response.json()
        latency = time.perf_counter() - begin
        return pk.BenchmarkData(
            start_time=begin,
            completed_time=begin + latency,
            query_latency=latency,
            first_chunk_latency=latency,
            success=response.status == 200,
            status_code=response.status,
            response_messages=[answer],
            generated_text=answer["text"],
            prompt_tokens=answer["read"],
            completion_tokens=answer["written"],
        )


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url, api=UploadPlugin, dataset=["one two three four", "five six seven", "eight nine"], db=path, preflight=False
    )
