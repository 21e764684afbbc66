"""Generation C: a JSON-lines protocol; times, text and counts are returned as BenchmarkData."""

import json
import sys
import time

import perfkit as pk


class LinesPlugin(pk.DefaultApiPlugin):
    def build_request(self, messages, param=None):
        return {"ask": messages if isinstance(messages, str) else messages[-1]["content"]}

    async def process_request(self, client_session, url, headers, body):
        output = pk.BenchmarkData(request=json.dumps(body), start_time=time.perf_counter())
        latest = output.start_time
        async with client_session.post(url, data=json.dumps(body), headers=headers) as response:
            output.status_code = response.status
            async for line in response.content:
                now, message = time.perf_counter(), json.loads(line)
                output.response_messages.append(message)
                if message["kind"] == "piece":
                    if output.first_chunk_latency is None:
                        output.first_chunk_latency = now - output.start_time
                    else:
                        output.inter_chunk_latency.append(now - latest)
                    latest = now
                    output.generated_text += message["text"]
                else:
                    output.prompt_tokens, output.completion_tokens = message["read"], message["written"]
        output.completed_time = time.perf_counter()
        output.query_latency = output.completed_time - output.start_time
        output.success = response.status == 200
        return output


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url, api=LinesPlugin, dataset=["one two three four", "five six seven", "eight nine"], db=path, preflight=False
    )
