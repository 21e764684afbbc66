"""Keys in every place where one can be given, sent back in every form: whatever is written or shown is searched."""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import perfkit as pk
from perfkit.cli import main
from perfkit.options.arguments import Arguments
from perfkit.runner.start import start
from perfkit.secrets import MASK
from tests.loadgen.workers.processes import family, until
from tests.measured import stored
from tests.scripted import CLOSE, DONE, FINISH, LAST, READ, STREAM, Script, chunk, delta, head, scripted, whole

pytestmark = pytest.mark.processes

PLACES = ("user", "query", "api-key", "header", "named", "cookie", "extra", "parameter", "template", "dataset")
PLACES += ("plugin", "encoded", "proxy")
CANARY = {place: f"canary/{place}-71f3" for place in PLACES}
PLUGIN = f"""
import perfkit as pk

class Mine(pk.DefaultApiPlugin):
    path = "/v1/chat/completions"

    def build_request(self, messages, param):
        return messages

    def headers(self, param):
        return {{**super().headers(param), "X-Plugin": {CANARY["plugin"]!r}}}

    def encode_request(self, body):
        data, headers = super().encode_request(body)
        return data, {{**headers, "X-Encoded": {CANARY["encoded"]!r}}}
"""


def unicode_escaped(text: str) -> str:
    return "".join(f"\\u{ord(each):04X}" for each in text)


def pieces(text: str) -> bytes:
    return b"".join(delta(text[at : at + 3]) for at in range(0, len(text), 3))


def answers(text: str) -> list[bytes]:
    """Return the answers of a server that says the text: in each form, and cut in each way."""
    data = json.dumps({"error": {"message": f"bad key {text}"}}).encode()
    page = f"<html><title>{''.join(f'&#{ord(each)};' for each in text)}</title></html>".encode()
    answer = {"id": text, "model": text, "choices": [{"message": {"content": text}, "finish_reason": text}]}
    body = json.dumps(answer).encode()
    cut = b"".join(chunk(body[at : at + 5]) for at in range(0, len(body), 5))
    return [
        whole(data, f"X-Request-Id: {text}", f"Server: {text}", status=f"401 {text}"),
        whole(f'{{"error": "{unicode_escaped(text)}"}}'.encode(), status="400 Bad Request"),
        whole(quote(text, safe="").encode(), status="500 Oh", kind="text/plain"),
        whole(b64encode(f"Bearer {text}".encode()), status="500 Oh", kind="text/plain"),
        whole(escape(text).encode(), f"Location: http://other/{quote(text)}", status="307 Go", kind="text/html"),
        whole(page, kind="text/html"),
        head("Transfer-Encoding: chunked", kind="application/json") + cut + LAST,
        STREAM + chunk(pieces(text) + FINISH + DONE) + LAST,
        b"nothing like HTTP: " + text.encode() + b"\r\n\r\n",
    ]


APART = ("template", "proxy")
"""Places that exclude others."""
ANSWERS = [
    # Told, so that no request goes to a connection that is about to be closed.
    answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) if answer.startswith(b"HTTP/") else answer
    for place in PLACES
    if place not in APART
    for answer in answers(f"<{CANARY[place]}>")
]
SCRIPTS: list[Script] = [[READ, answer, CLOSE] for answer in ANSWERS]


def found_in(text: str) -> list[str]:
    """Return the places whose canary stands in a text, as it is or in a form that can be read back."""
    hidden = {}
    for place, key in CANARY.items():
        coded = b64encode(f"Bearer <{key}>".encode()).decode()[12:-4]
        forms = {key, json.dumps(key)[1:-1], key.replace("/", "\\/"), quote(key, safe=""), unicode_escaped(key), coded}
        hidden[place] = [form for form in forms if form.lower() in text.lower()]
    return [place for place, forms in hidden.items() if forms]


def all_messages(runs: pk.Runs) -> list[Any]:
    return [each for each in runs.decoded()["response_messages"] if isinstance(each, list)]


def everything_in(folder: Path) -> str:
    """Return all that was written, the texts that sqlite's cells hold in base64 included."""
    given = {"given.toml", "bodies.jsonl", "mine.py"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc" and path.name not in given]
    written = [path.read_bytes().decode("latin-1") for path in files]
    runs = pk.open(str(folder))
    streams = ["".join(re.findall(r'"content": ?"([^"]*)"', text)) for text in map(json.dumps, all_messages(runs))]
    assert any(MASK in stream for stream in streams)
    written += streams
    cells = runs.decoded(raw=True)[["request", "response_messages"]]
    return "\n".join([*written, cells.to_json(), runs.decoded().to_json(), str(runs.table.to_dict()), repr(runs)])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERFKIT_CANARY", CANARY["named"])
    (tmp_path / "mine.py").write_text(PLUGIN)
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "credentials": {"own": CANARY["dataset"]}}
    (tmp_path / "bodies.jsonl").write_text(f"{json.dumps(body)}\n")
    return tmp_path


def test_no_key_is_written_or_shown_wherever_it_was_given_and_however_it_comes_back(folder: Path, capfd: Any) -> None:
    seen: list[str] = []

    def look() -> None:
        below = family(os.getpid())[1:]
        seen.extend(Path(f"/proc/{pid}/{file}").read_text() for pid in below for file in ("cmdline", "environ"))
        seen.extend(path.read_bytes().decode("latin-1") for path in folder.glob("*.db*"))

    with scripted(*SCRIPTS[:-1], [READ, look, ANSWERS[-1], CLOSE]) as server:
        url = f"http://me:{quote(CANARY['user'], safe='')}@127.0.0.1:{server.port}/v1/chat/completions"
        (folder / "given.toml").write_text(
            f'url = "{url}?api_key={CANARY["query"]}"\napi_key = "{CANARY["api-key"]}"\nmodel = "m"\n'
            f'extra_args = {{ api_key = "{CANARY["extra"]}" }}\n'
            f'parameters = {{ access_token = "{CANARY["parameter"]}" }}\n'
            f'headers = {{ X-Mine = "{CANARY["header"]}", X-Named = "env:PERFKIT_CANARY", '
            f'Cookie = "session={CANARY["cookie"]}" }}\n'
        )
        words = f"--config given.toml --api mine.py:Mine --dataset bodies.jsonl -n {len(SCRIPTS)} --no-preflight"
        status = main(["run", *words.split(), "--db", "a.db", "--debug", "--log-every-n-query", "5"])
        assert status in (0, 1, 3)
        assert until(lambda: server.connections >= len(SCRIPTS))
        sent = b"".join(server.requests[0].split(b"\r\n\r\n", 1)).decode()
    assert {place for place in PLACES if CANARY[place] in sent} >= {"api-key", "header", "named", "plugin", "encoded"}
    main(["show", "a.db", "--json"])
    main(["ls", "."])
    main(["report", "a.db", "--out", "r.md"])
    runs = pk.open("a.db")
    runs.report("r.html", charts=[])
    runs.save("b.db")
    runs.requests.to_csv("all.csv")
    shown = capfd.readouterr()
    assert len(runs.requests) == len(SCRIPTS)
    given = Arguments.from_file(folder / "given.toml")
    assert found_in(shown.out + shown.err + repr(given) + str(given.shown())) == []
    assert found_in("".join(seen)) == []
    assert any("perfkit.loadgen.workers.program" in text for text in seen)
    assert found_in(everything_in(folder)) == []


@pytest.mark.parametrize("place", APART)
def test_no_key_of_a_template_or_a_proxy_is_written(folder: Path, place: str, capfd: Any) -> None:
    mine = [[READ, answer, CLOSE] for answer in answers(f"<{CANARY[place]}>")]
    with scripted(*mine) as server:
        given: dict[str, Any] = {"query_template": json.dumps({"model": "m", "password": CANARY["template"]})}
        if place == "proxy":
            user = quote(CANARY["proxy"], safe="")
            given = {"proxy": f"http://{user}@127.0.0.1:{server.port}", "prompt": "hi"}
        job = start(server.url, model="m", db="a.db", workers=0, number=len(mine), preflight=False, **given)
        said = ""
        try:
            job.wait(60)
        except pk.PerfkitError as error:
            said = str(error)
        assert found_in(said) == []
        assert place == "template" or found_in(repr(job.arguments)) == []
    assert len(stored(folder / "a.db")) == len(mine)
    shown = capfd.readouterr()
    assert found_in(shown.out + shown.err) == []
    assert found_in(everything_in(folder)) == []
