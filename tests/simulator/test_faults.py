import http.client
import json
import socket

import pytest

from perfkit.simulator import simulate
from perfkit.simulator.faults import FAULTS
from tests.simulator.conversation import CHAT, ask, chat, payloads, user


@pytest.fixture(scope="module")
def server():
    with simulate(ttft=0.0, itl=0.001, output_tokens=6, usage="always") as running:
        yield running


@pytest.fixture(scope="module")
def chinese():
    with simulate(ttft=0.0, itl=0.001, output_tokens=6, text="chinese") as running:
        yield running


def provoke(server, fault, **body):
    return ask(server, messages=[user("hi")], stream=True, x_fault=fault, **body)


def contents(answer):
    return sum(isinstance(event, dict) and event["choices"][0]["delta"]["content"] != "" for event in payloads(answer))


def test_every_fault_has_a_sentence():
    assert all(fault.sentence for fault in FAULTS.values())


def test_a_header_asks_for_a_fault_too(server):
    assert ask(server, messages=[user("hi")], headers={"X-Fault": "http_503"})[0] == 503


def test_an_unknown_fault_is_refused_with_the_nearest(server):
    status, _, body = provoke(server, "truncated")
    assert status == 400
    assert "did you mean 'truncate'?" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("name", sorted(name for name in FAULTS if name.startswith("http_")))
def test_a_status_comes_with_a_json_error(server, name):
    status, _, body = provoke(server, name)
    assert status == int(name[5:]) == json.loads(body)["error"]["code"]


def test_429_says_when_to_come_back(server):
    assert provoke(server, "http_429")[1]["retry-after"] == "2"


def test_a_redirect_names_another_origin(server):
    status, headers, _ = provoke(server, "redirect")
    assert (status, headers["location"].startswith("http://127.0.0.2")) == (307, True)


@pytest.mark.parametrize("name", ["error_json", "not_json", "html", "empty_body", "empty_stream", "only_done"])
def test_an_answer_that_is_none_has_status_200_and_keeps_the_connection(server, name):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for _ in range(2):
        connection.request("POST", CHAT, json.dumps({"messages": [user("hi")], "stream": True, "x_fault": name}))
        answer = connection.getresponse()
        assert answer.status == 200
        assert b'"delta"' not in answer.read()
    connection.close()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("close", http.client.RemoteDisconnected),
        ("reset", ConnectionResetError),
        ("reset_midway", ConnectionResetError),
        ("close_midway", http.client.IncompleteRead),
        ("short_body", http.client.IncompleteRead),
        ("not_http", http.client.BadStatusLine),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_broken_connection_is_seen_as_such(server, name, error, stream):
    if name == "close_midway" and not stream:
        error = http.client.RemoteDisconnected  # half of an answer that is not streamed is nothing
    with pytest.raises(error):
        ask(server, messages=[user("hi")], stream=stream, x_fault=name)


@pytest.mark.parametrize("name", ["stall", "stall_midway"])
def test_a_stalled_answer_never_ends(server, name):
    with pytest.raises(TimeoutError):
        chat(server, x_fault=name, timeout=0.15)


@pytest.mark.parametrize("name", ["truncate", "error_event", "named_error", "cut_json"])
def test_a_stream_that_breaks_off_has_half_of_its_tokens(server, name):
    body = provoke(server, name)[2]
    assert body.count(b'"delta":{"content":" ') == 3
    assert b"[DONE]" not in body
    assert b'"finish_reason":"' not in body


def test_an_error_event_is_the_last_thing_said(server):
    assert payloads(provoke(server, "error_event")[2])[-1]["error"]["code"] == 500
    assert b"\n\nevent: error\ndata: {" in provoke(server, "named_error")[2]


@pytest.mark.parametrize("name", ["bom", "no_space", "comments", "split_utf8", "split_events", "at_once", "eof_framed"])
def test_a_strange_stream_carries_the_same_content(chinese, name):
    body = provoke(chinese, name)[2].decode("utf-8-sig").replace("data:{", "data: {").replace(": keep-alive\n\n", "")
    plain = chat(chinese, stream=True).decode()
    lengths = [len(payloads(each.encode())) for each in (body, plain)]
    assert lengths == [9, 9]
    assert contents(body.encode()) == 6
    assert body.endswith("[DONE]\n\n")


def test_lines_can_end_in_cr(server):
    body = provoke(server, "cr")[2]
    assert b"\n" not in body
    assert body.endswith(b"data: [DONE]\r\r")


def test_data_on_two_lines_is_one_payload(server):
    first = provoke(server, "multi_data")[2].split(b"\n\n")[0].decode()
    lines = first.split("\n")
    assert len(lines) == 2
    assert json.loads("\n".join(line.removeprefix("data: ") for line in lines))["object"] == "chat.completion.chunk"


def test_characters_are_split_between_reads(chinese):
    content = json.dumps({"messages": [user("hi")], "stream": True, "x_fault": "split_utf8"}).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", chinese.port), timeout=5) as connection:
        connection.sendall(head + content)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    # Each chunk of the body but the last holds an incomplete character.
    chunks = received.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2]
    with pytest.raises(UnicodeDecodeError):
        chunks[1].decode()


def test_an_event_can_have_megabytes(server):
    sizes = [len(json.dumps(event)) for event in payloads(provoke(server, "huge_event")[2])]
    assert sum(size > 4 << 20 for size in sizes) == 1


def test_one_event_can_be_no_json(server):
    body = provoke(server, "bad_event")[2]
    assert b'data: {"id":"chatc\n\n' in body
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("name", "count"), [("usage_text", b'"completion_tokens":"6"'), ("usage_huge", b'"completion_tokens":%d' % 2**70)]
)
def test_usage_can_lie(server, name, count):
    assert count in provoke(server, name)[2]


def test_usage_and_done_can_be_missing(server):
    assert b"usage" not in provoke(server, "no_usage")[2]
    assert b"[DONE]" not in provoke(server, "no_done")[2]


def test_a_server_can_hang_up_after_a_good_answer(server):
    content = json.dumps({"messages": [user("hi")], "x_fault": "hang_up"}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content
        )
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 200 OK")
    assert b"connection: close" not in received
