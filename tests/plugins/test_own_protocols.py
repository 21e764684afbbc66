"""Plugins of every generation against a server that speaks no OpenAI: what is stored is what the server sent."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import perfkit
from tests.measured import rows_of, stored
from tests.plugins.server import FIRST, GAP, KEY, Server, serving

pytestmark = pytest.mark.processes

HERE = Path(__file__).parent
ASKED = ["one two three four", "five six seven", "eight nine"]
NAMES = [file.stem for file in sorted(HERE.glob("[abcl]*_*.py")) if not file.stem.startswith("test_")]
EARLY = 0.001
"""Seconds by which two readings of the clock may disagree: nothing arrives before it was sent."""
LATE = GAP / 2
"""Seconds within which at least one piece arrives, on however busy a machine: a stamp of a neighbour's is later."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("SIGNING_KEY", KEY.decode())
    with serving() as running:
        yield running


def agree(row: dict[str, Any], server: Server) -> list[float]:
    """Compare a row with what the server sent; return how long after its sending each piece was stamped."""
    told = next(told for told in server.told if f'"{told.asked}"' in json.dumps(row["asked"]))
    assert (row["success"], row["error"]) == (1, None)
    assert row["output_text"] == told.text
    assert (row["prompt_tokens"], row["completion_tokens"]) == (len(told.asked.split()), len(told.pieces))
    assert row["token_source"] == "plugin"
    assert row["is_stream"] == int(len(told.moments) > 1)
    assert row["latency"] >= FIRST
    if not row["is_stream"]:
        assert (row["first_chunk_latency"], row["inter_token_latencies"]) == (None, "[]")
        assert row["time_per_output_token"] is None
        return [row["completed_time"] - told.moments[0]]
    gaps = json.loads(row["inter_token_latencies"])
    if len(gaps) < len(told.moments) - 1:  # of a busy machine: some pieces came in one read
        return []
    assert len(gaps) == len(told.moments) - 1
    arrivals = accumulate(gaps, initial=row["start_time"] + row["first_chunk_latency"])
    assert row["time_per_output_token"] == pytest.approx(sum(gaps) / len(gaps))
    return [arrival - moment for arrival, moment in zip(arrivals, told.moments, strict=True)]


def asked_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a run file, each with the request body that it stored."""
    import perfkit as pk

    requests = pk.open(path).decoded()["request"]
    rows = [row for row in stored(path) if row["phase"] != "preflight"]
    assert len(rows) == len(ASKED)
    return [row | {"asked": request} for row, request in zip(rows, requests, strict=True)]


def agree_all(path: Path, server: Server) -> None:
    """Compare every row of a run file with what the server sent."""
    delays = [delay for row in asked_of(path) for delay in agree(row, server)]
    assert min(delays) > -EARLY
    assert min(delays) < LATE
    assert [told.asked for told in server.told] == ASKED
    assert server.refused == []


def path_of(name: str) -> str:
    return name.rpartition("_")[2]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """The questions as a file, a line each."""
    (tmp_path / "asked.txt").write_text("\n".join(ASKED) + "\n")
    return tmp_path / "asked.txt"


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Server]]:
    """A server for each plugin."""
    monkeypatch.setenv("SIGNING_KEY", KEY.decode())
    with contextlib.ExitStack() as running:
        yield {name: running.enter_context(serving()) for name in NAMES}


SCRIPTS = """
import json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_plugins_run_as_scripts_store_what_the_server_sent(
    servers: dict[str, Server], prompts: Path, tmp_path: Path
) -> None:
    words = [
        [
            str(HERE / f"{name}.py"),
            server.url(path_of(name)),
            *[str(prompts)] * name.startswith("llmuses"),
            f"{name}.db",
        ]
        for name, server in servers.items()
    ]
    script = [sys.executable, "-c", SCRIPTS, json.dumps(words)]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name, server in servers.items():
        agree_all(tmp_path / f"{name}.db", server)


@pytest.mark.parametrize("name", NAMES)
def test_a_plugin_on_the_command_line_stores_what_the_server_sent(
    name: str, server: Server, prompts: Path, tmp_path: Path
) -> None:
    option, file = ("--parser", f"{name}.py:PerfPlugin") if name.startswith("llmuses") else ("--api", f"{name}.py")
    words = ["--url", server.url(path_of(name)), option, str(HERE / file), "--dataset", str(prompts), "--no-preflight"]
    words += ["--model", "m"] if not name.startswith(("b", "c")) else []
    done = perfkit("run", *words, "--db", "a.db", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    agree_all(tmp_path / "a.db", server)


@pytest.mark.kernel
def test_plugins_of_a_kernel_store_what_the_server_sent(
    servers: dict[str, Server], prompts: Path, tmp_path: Path
) -> None:
    from tests.analysis.notebook.kernels import run_all

    cells = []
    for name, server in servers.items():
        kind = path_of(name)
        older = f"parser=PerfPlugin, dataset={str(prompts)!r}"
        given = older if name.startswith("llmuses") else f"dataset={ASKED!r}, api={kind.capitalize()}Plugin"
        cells.append((HERE / f"{name}.py").read_text().partition("\nif __name__")[0])
        cells.append(f"pk.run({server.url(kind)!r}, {given}, model='m', preflight=False, db='{name}.db')")
    assert [cell.error for cell in run_all(cells, tmp_path) if cell.error] == []
    for name, server in servers.items():
        agree_all(tmp_path / f"{name}.db", server)


HEAD = "import asyncio, json, time\nimport perfkit as pk\n\n"
SENDING = (
    HEAD
    + """class Plugin(pk.ApiPluginBase):
    def build_request(self, messages, param=None):
        return {"ask": "one two three"}

    async def process_request(self, client_session, url, headers, body):
        BODY
"""
)


def one_row(server: Server, folder: Path, body: str, text: str = SENDING, **given: Any) -> dict[str, Any]:
    """Send one request by a plugin whose ``process_request`` has this body, and return its row."""
    plugin = folder / "mine.py"
    plugin.write_text(text.replace("BODY", body.strip().replace("\n", "\n        ")))
    (row,) = rows_of(given.pop("url", server.url("lines")), folder, api=str(plugin), **given)
    return row


def data(fields: str) -> str:
    """Return a body that returns a BenchmarkData, 0.1 s after its start."""
    return f"begin = time.perf_counter()\nawait asyncio.sleep(0.1)\nreturn pk.BenchmarkData(success=True, {fields})"


def test_fields_alone_make_a_row_where_no_message_was_kept(server: Server, tmp_path: Path) -> None:
    fields = (
        "start_time=begin, query_latency=0.09, first_chunk_latency=0.02, inter_chunk_latency=[0.03, 0.04], "
        "generated_text='one two three', prompt_tokens=7, completion_tokens=5"
    )
    row = one_row(server, tmp_path, data(fields))
    assert (row["success"], row["output_text"], row["is_stream"]) == (1, "one two three", 1)
    assert row["first_chunk_latency"] == pytest.approx(0.02)
    assert json.loads(row["inter_token_latencies"]) == pytest.approx([0.03, 0.04])
    assert row["time_per_output_token"] == pytest.approx(0.07 / 4)
    assert row["latency"] == pytest.approx(0.09)
    assert (row["prompt_tokens"], row["completion_tokens"], row["token_source"]) == (7, 5, "plugin")


def test_a_first_chunk_and_an_end_are_enough_for_the_time_per_token(server: Server, tmp_path: Path) -> None:
    fields = "start_time=begin, query_latency=0.09, first_chunk_latency=0.01, generated_text='x', completion_tokens=5"
    row = one_row(server, tmp_path, data(fields))
    assert row["first_chunk_latency"] == pytest.approx(0.01)
    assert row["time_per_output_token"] == pytest.approx(0.08 / 4)
    assert row["inter_token_latencies"] == "[]"


def test_a_time_per_token_that_is_reported_counts(server: Server, tmp_path: Path) -> None:
    fields = "query_latency=0.09, first_chunk_latency=0.01, time_per_output_token=0.015, completion_tokens=5"
    assert one_row(server, tmp_path, data(fields))["time_per_output_token"] == 0.015


def test_stamps_of_chunks_that_are_not_the_messages_are_the_reported_ones(server: Server, tmp_path: Path) -> None:
    """Role and usage messages are kept beside the text, but have no stamp."""
    messages = [{"choices": [{"delta": {"role": "assistant"}}]}]
    messages += [{"choices": [{"delta": {"content": text}}]} for text in ("a", "b")]
    messages += [{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}]
    fields = f"query_latency=0.09, first_chunk_latency=0.02, inter_chunk_latency=[0.03], response_messages={messages}"
    row = one_row(server, tmp_path, data(fields))
    assert row["first_chunk_latency"] == pytest.approx(0.02)
    assert json.loads(row["inter_token_latencies"]) == pytest.approx([0.03])
    assert (row["output_text"], row["completion_tokens"], row["token_source"]) == ("ab", 2, "server")


@pytest.mark.parametrize("unknown", ["-1", "0", "None", "float('nan')"])
def test_what_stands_for_unknown_is_stored_as_unknown(unknown: str, server: Server, tmp_path: Path) -> None:
    names = ("first_chunk_latency", "query_latency", "prompt_tokens", "completion_tokens", "start_time")
    fields = ", ".join(f"{name}={unknown}" for name in names)
    row = one_row(server, tmp_path, data(f"{fields}, generated_text='text'"))
    assert (row["success"], row["output_text"], row["first_chunk_latency"]) == (1, "text", None)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (None, None)
    assert row["latency"] > 0.09  # asyncio may end a sleep of 0.1 s a little early


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return None", "mine.py:8: process_request returned None; it must return a BenchmarkData"),
        ("return {'text': 'hi'}", "process_request returned {'text': 'hi'}; it must return a BenchmarkData"),
        (data("first_chunk_latency='soon'"), "a BenchmarkData with first_chunk_latency='soon', which is not a number"),
        (data("query_latency=90"), "an end in the future; times are seconds of one clock"),
        (data("start_time=begin, query_latency=0.05, first_chunk_latency=50"), "chunks outside of the time from"),
        (data("inter_chunk_latency=[0.01, -3], first_chunk_latency=0.01"), "a negative or missing time in inter_chunk"),
        (data("completion_tokens=2.5"), "completion_tokens=2.5, which is not a whole number"),
        ("return pk.BenchmarkData()", "mine.py:8: process_request returned success=False and no error"),
        ("raise ValueError('no luck')", "mine.py:9: ValueError: no luck"),
        ("json.loads('{')", "mine.py:9: JSONDecodeError: Expecting property name"),
        ("raise SystemExit(3)", "mine.py:9: SystemExit: 3"),
        ("raise asyncio.CancelledError", "mine.py:8: process_request cancelled itself"),
        ("yield 'text'", "mine.py:8: process_request yielded 'text', not (is_error, status, data)"),
        ("yield False, 'ok', 'text'", "process_request yielded (False, 'ok', 'text'), not (is_error, status, data)"),
        ("for _ in (): yield", "mine.py:8: process_request yielded nothing"),
        ("yield False, 200, ''", "mine.py:8: process_request yielded nothing"),
        ("yield False, 200, 'a'\nraise KeyError('b')", "mine.py:10: KeyError: 'b'"),
    ],
)
def test_nonsense_of_a_plugin_is_its_rows_error_with_file_and_line(
    body: str, told: str, server: Server, tmp_path: Path
) -> None:
    row = one_row(server, tmp_path, body)
    assert row["success"] == 0
    assert told in row["error"]
    assert row["error_kind"] == ("empty" if "nothing" in told else "plugin")
    assert (row["latency"], row["first_chunk_latency"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "kind", "told"),
    [
        (
            "async with client_session.post(url + 'x', json=body) as answer:\n    answer.raise_for_status()\n    yield",
            "http_status",
            "mine.py:10: HTTP 404: Not Found",
        ),
        (
            "async with client_session.ws_connect(url) as socket:\n    yield",
            "http_status",
            "mine.py:9: no websocket: HTTP 405",
        ),
        ("reader, _ = await asyncio.open_connection('127.0.0.1', 1)\nyield", "connect", "mine.py:9: "),
        ("await asyncio.Event().wait()\nyield", "read_timeout", "nothing was yielded for 0.3 s"),
    ],
)
def test_what_goes_wrong_on_the_network_keeps_its_kind_and_names_the_line(
    body: str, kind: str, told: str, server: Server, tmp_path: Path
) -> None:
    row = one_row(server, tmp_path, body, read_timeout=0.3)
    assert row["error_kind"] == kind
    assert told in row["error"]


def test_a_plugin_that_waits_for_ever_ends_with_the_total_timeout(server: Server, tmp_path: Path) -> None:
    row = one_row(server, tmp_path, "await asyncio.Event().wait()", total_timeout=0.3)
    assert row["error_kind"] == "total_timeout"
    assert row["error"].endswith("mine.py:8: no end after 0.3 s")


@pytest.mark.parametrize(
    ("yields", "text", "gaps"),
    [
        (["sea", " ", "42"], "sea 42", 2),
        (['{"token": {"text": "a"}}', '{"token": {"text": "b"}, "generated_text": "ab"}'], "ab", 1),
        (['data: {"text": "a"}\n\n', 'data: {"text": "b"}\n\n', "data: [DONE]\n\n"], "ab", 1),
        (['{"text": "a"}\n{"text": "b"}\n', '{"text": "c"}\n{"end": true}\n'], "abc", 1),
        (['{"n": 1}', '{"n": 2}', '{"n": 3, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}'], None, 1),
    ],
    ids=["text", "nested", "events", "lines in one yield", "no text in sight"],
)
def test_each_yield_is_a_stamp_and_its_text_is_found(
    yields: list[str], text: str | None, gaps: int, server: Server, tmp_path: Path
) -> None:
    row = one_row(
        server, tmp_path, f"for text in {yields!r}:\n    await asyncio.sleep(0.02)\n    yield False, 200, text"
    )
    assert (row["success"], row["output_text"], row["is_stream"]) == (1, text, 1), row["error"]
    assert row["first_chunk_latency"] >= 0.015
    found = json.loads(row["inter_token_latencies"])
    assert len(found) == gaps
    assert min(found) >= 0.015
    assert row["flags"] == (None if text else "unread_messages")


def test_a_websocket_that_a_plugin_opens_is_measured(server: Server, tmp_path: Path) -> None:
    body = (
        "async with client_session.ws_connect(url) as socket:\n"
        "    await socket.send_json(body)\n"
        "    async for message in socket:\n"
        "        yield False, 101, message.data\n"
        "        if json.loads(message.data)['kind'] == 'end':\n"
        "            break"
    )
    row = one_row(server, tmp_path, body, url=server.url("socket", "ws"), model=None)
    assert (row["success"], row["output_text"]) == (1, "three two one ")
    assert row["first_chunk_latency"] >= FIRST


ENCODING = (
    HEAD
    + """class Plugin(pk.ApiPluginBase):
    def build_request(self, messages, param=None):
        return {"ask": "one"}

    def encode_request(self, body):
        BODY
"""
)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return json.dumps(body)", 'mine.py:8: encode_request returned \'{"ask": "one"}\', not (bytes, headers)'),
        (
            "return b'', {'X-A': 'a\\r\\nX-B: b'}",
            "mine.py:8: encode_request returned (b'', {'X-A': 'a\\r\\nX-B: b'}), not",
        ),
        ("return 1 / 0", "mine.py:9: ZeroDivisionError: division by zero"),
    ],
)
def test_an_encoding_that_cannot_be_sent_is_its_rows_error(
    body: str, told: str, server: Server, tmp_path: Path
) -> None:
    row = one_row(server, tmp_path, body, ENCODING)
    assert (row["success"], row["error_kind"]) == (0, "plugin")
    assert told in row["error"]


def test_a_body_with_bytes_of_a_plugin_that_sends_is_stored_by_their_number(server: Server, tmp_path: Path) -> None:
    text = SENDING.replace('{"ask": "one two three"}', '{"file": b"abc", "ask": "x"}')
    assert one_row(server, tmp_path, "yield False, 200, 'text'", text)["success"] == 1
    from perfkit.runfile.safe_pickle import decode_cell

    (row,) = stored(tmp_path / "run.db", "SELECT request FROM result")
    assert decode_cell(row["request"], "request") == {"file": "<3 bytes>", "ask": "x"}
