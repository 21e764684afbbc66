"""Generation A: perfkit sends a file as multipart/form-data."""

import json
import sys
import uuid

import perfkit as pk


class UploadPlugin(pk.ApiPluginBase):
    def build_request(self, messages, param):
        return {"file": messages if isinstance(messages, str) else messages[-1]["content"]}

    def encode_request(self, body):
        boundary = uuid.uuid4().hex
        lines = [
            f"--{boundary}",
            'Content-Disposition: form-data; name="file"; filename="asked.txt"',
            "Content-Type: text/plain",
            "",
            body["file"],
            f"--{boundary}--",
            "",
        ]
        return "\r\n".join(lines).encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}

    def parse_responses(self, responses, request=None, **kwargs):
        answer = json.loads(responses[0])
        return answer["read"], answer["written"]


if __name__ == "__main__":
    url, path = sys.argv[1:]
    pk.run(
        url,
        api=UploadPlugin,
        model="m",
        dataset=["one two three four", "five six seven", "eight nine"],
        db=path,
        preflight=False,
    )
