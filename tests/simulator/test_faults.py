import http.client
import json

import pytest

from perfkit.simulator import simulate
from tests.simulator.conversation import ask, chat, payloads, user

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def server():
    with simulate(ttft=0.0, itl=0.001, output_tokens=6, usage="always") as running:
        yield running


def provoke(server, fault, **body):
    return ask(server, messages=[user("hi")], stream=True, x_fault=fault, **body)


def test_a_header_asks_for_a_fault_too(server):
    assert ask(server, messages=[user("hi")], headers={"X-Fault": "http_503"})[0] == 503


def test_an_unknown_fault_is_refused_with_the_nearest(server):
    status, _, body = provoke(server, "truncated")
    assert status == 400
    assert "did you mean 'truncate'?" in json.loads(body)["error"]["message"]


@pytest.mark.parametrize("name", ["http_400", "http_404", "http_429", "http_500", "http_599"])
def test_a_status_comes_with_a_json_error(server, name):
    status, _, body = provoke(server, name)
    assert status == int(name[5:]) == json.loads(body)["error"]["code"]


def test_429_says_when_to_come_back(server):
    assert provoke(server, "http_429")[1]["retry-after"] == "2"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("close", http.client.RemoteDisconnected),
        ("reset", ConnectionResetError),
        ("reset_midway", ConnectionResetError),
        ("close_midway", http.client.IncompleteRead),
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


@pytest.mark.parametrize("name", ["truncate", "error_event"])
def test_a_stream_that_breaks_off_has_half_of_its_tokens(server, name):
    body = provoke(server, name)[2]
    assert body.count(b'"delta":{"content":" ') == 3
    assert b"[DONE]" not in body
    assert b'"finish_reason":"' not in body


def test_an_error_event_comes_last(server):
    assert payloads(provoke(server, "error_event")[2])[-1]["error"]["code"] == 500


def test_usage_and_done_can_be_missing(server):
    assert b"usage" not in provoke(server, "no_usage")[2]
    assert b"[DONE]" not in provoke(server, "no_done")[2]
