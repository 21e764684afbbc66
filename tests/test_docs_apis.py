"""What docs/apis.md says, held against the registry and a server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from perfkit.options.arguments import Arguments
from perfkit.registry import api_class
from perfkit.runner.start import start

TEXT = (Path(__file__).parent.parent / "docs/apis.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_api_has_the_path_that_its_row_says(row: list[str]) -> None:
    assert getattr(api_class(row[0].strip("`")), "path") == row[1].strip("`")  # noqa: B009


@pytest.mark.parametrize("row", ROWS[:5], ids=lambda row: row[0])
def test_each_api_asks_with_the_field_that_its_row_says(row: list[str]) -> None:
    api = api_class(row[0].strip("`"))(Arguments(model="m"))
    assert row[2].split("`")[1] in api.build_request([{"role": "user", "content": "hi"}])


@pytest.fixture
def odd_server() -> Iterator[str]:
    """A server of a dialect that perfkit does not know."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            messages: list[dict[str, Any]] = [{"token": word} for word in ("so ", asked["text"], "!")]
            messages.append({"finished": "limit", "counts": [1, asked["limit"]]})
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for message in messages:
                self.wfile.write(b"data: " + json.dumps(message).encode() + b"\n\n")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.processes
def test_the_plugin_shown_measures_a_dialect_of_its_own(odd_server: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEXT.partition("```python\n")[2].partition("```")[0])
    runs = start(
        odd_server,
        plugins=[str(tmp_path / "mine.py")],
        api="mine",
        model="m",
        prompt="long",
        apply_chat_template=False,
        max_tokens=3,
        number=2,
        preflight=False,
        workers=0,
        db=str(tmp_path / "runs.db"),
    ).wait()
    rows = runs.requests
    assert list(rows["success"]) == [True, True], rows["error"].iloc[0]
    assert set(rows["completion_tokens"]) == {3}
    assert set(rows["finish_reason"]) == {"limit"}
    assert rows["ttft"].notna().all()
