import numpy as np
import pytest

from perfkit.simulator import simulate
from perfkit.simulator.truth import LOG_HEADER, chunks_by_request, read_requests
from tests.simulator.conversation import chat
from tests.simulator.logs import read_chunks, read_received

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truth")
    paths = {name: str(folder / name) for name in ("log", "chunk_log", "request_log")}
    with simulate(ttft=0.03, itl=0.002, output_tokens=5, **paths) as server:
        chat(server, stream=True)
        chat(server, stream=False, headers={"authorization": "Bearer sk-abcdefghij"})
        chat(server, x_fault="http_500")
    return paths


def test_the_log_has_the_columns_that_benchmarks_know():
    assert LOG_HEADER == (
        "req,conn,conn_req,path,stream,outcome,status,open_streams,body_bytes,accept_ns,recv_start_ns,recv_done_ns,"
        "headers_ns,first_ns,last_ns,end_ns,events,tokens,sent_bytes,max_late_us,blocked"
    )


def test_a_streamed_request_is_logged_with_all_its_moments_in_order(logs):
    row = read_requests(logs["log"])[0]
    assert (row.req, row.path, row.stream, row.outcome, row.status) == (1, "chat", 1, "ok", 200)
    assert (row.events, row.tokens, row.open_streams, row.conn_req, row.blocked) == (5, 5, 1, 1, 0)
    moments = [
        row.accept_ns,
        row.recv_start_ns,
        row.recv_done_ns,
        row.headers_ns,
        row.first_ns,
        row.last_ns,
        row.end_ns,
    ]
    assert moments == sorted(moments)


def test_the_first_token_is_never_sent_before_it_is_due(logs):
    row = read_requests(logs["log"])[0]
    assert row.first_ns - row.recv_done_ns >= 30_000_000


def test_each_content_event_has_its_due_time_and_its_stamp(logs):
    row = read_requests(logs["log"])[0]
    chunks = chunks_by_request(logs["chunk_log"])[1]
    assert [chunk.token for chunk in chunks] == [0, 1, 2, 3, 4]
    assert [chunk.due - row.recv_done_ns for chunk in chunks] == [30_000_000 + 2_000_000 * k for k in range(5)]
    assert all(chunk.sent >= chunk.due for chunk in chunks)
    assert (chunks[0].sent, chunks[-1].sent) == (row.first_ns, row.last_ns)
    assert row.max_late_us * 1000 == pytest.approx(max(chunk.sent - chunk.due for chunk in chunks))


def test_an_answer_not_streamed_is_due_with_its_last_token(logs):
    row = read_requests(logs["log"])[1]
    assert (row.stream, row.tokens, row.events) == (0, 5, 0)
    assert row.first_ns - row.recv_done_ns >= 38_000_000
    assert row.headers_ns == row.first_ns == row.last_ns


def test_a_failed_request_is_logged_with_its_status(logs):
    row = read_requests(logs["log"])[2]
    assert (row.outcome, row.status, row.tokens, row.first_ns) == ("fail", 500, 0, 0)


def test_numpy_reads_the_chunk_log_as_documented(logs):
    table = np.fromfile(logs["chunk_log"], dtype="u4,u4,i8,i8")
    assert table.tolist() == [tuple(chunk) for chunk in read_chunks(logs["chunk_log"])]


def test_what_was_received_is_recorded_without_its_secrets(logs):
    received = list(read_received(logs["request_log"]))
    assert [entry["body"]["stream"] for entry in received[:2]] == [True, False]
    assert received[0]["path"] == "/v1/chat/completions"
    assert received[1]["headers"]["authorization"] == "***"
    assert received[1]["recv_done_ns"] == read_requests(logs["log"])[1].recv_done_ns


def test_another_file_is_refused(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="not a request log"):
        read_requests(tmp_path / "x.csv")
