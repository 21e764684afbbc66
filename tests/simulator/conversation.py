"""Talking to a simulated server in the plainest way there is."""

import http.client
import json

CHAT = "/v1/chat/completions"


def ask(server, path=CHAT, *, headers=None, timeout=60, **body):
    """POST a body on a connection of its own; return (status, headers, bytes of the whole answer)."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", path, json.dumps(body), headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def answer(server, path, *, headers=None, **body):
    """POST a body; return the bytes of the answer's body."""
    return ask(server, path, headers=headers, **body)[2]


def chat(server, *, headers=None, timeout=60, **body):
    """Ask for a chat completion; return the bytes of its body."""
    return ask(server, headers=headers, timeout=timeout, **({"messages": [user("hello you")]} | body))[2]


def stream(server, **body):
    """Return the decoded data payloads of a streamed chat completion, [DONE] as text."""
    return payloads(chat(server, stream=True, **body))


def payloads(answer):
    """Return the decoded data payloads of a stream, [DONE] as text."""
    lines = answer.decode().splitlines()
    data = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [json.loads(each) if each != "[DONE]" else each for each in data]


def names(answer):
    """Return the names of a stream's events, in order."""
    return [line[6:].strip() for line in answer.decode().splitlines() if line.startswith("event:")]


def user(content):
    return {"role": "user", "content": content}
