"""llmuses: a file is sent as multipart/form-data."""

import json
import sys

import perfkit as pk

BOUNDARY = "a-line-that-is-in-no-file"


class PerfPlugin(pk.PerfPluginBase):
    def build_request(self, model, prompt=None, dataset=None, max_length=10**9, min_length=0, **kwargs):
        for line in [prompt] if prompt else self.dataset_line_by_line(dataset):
            yield {"file": line.strip()}

    def encode_request(self, body):
        head = 'Content-Disposition: form-data; name="file"; filename="asked.txt"'
        data = f"--{BOUNDARY}\r\n{head}\r\n\r\n{body['file']}\r\n--{BOUNDARY}--\r\n"
        return data.encode(), {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}

    def parse_responses(self, responses, **kwargs):
        answer = json.loads(responses[0])
        return answer["read"], answer["written"]


if __name__ == "__main__":
    url, dataset, path = sys.argv[1:]
    pk.run(url, parser=PerfPlugin, model="m", dataset=dataset, db=path, preflight=False)
