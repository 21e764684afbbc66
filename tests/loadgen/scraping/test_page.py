"""Pages that servers publish: read within bounds, whatever comes, and without secrets."""

import contextlib
import socket
import time

import pytest

from perfkit.loadgen.scraping import page as published
from perfkit.loadgen.scraping.page import NothingPublished, PublishedAt, pages_of, parse
from perfkit.options.arguments import Arguments
from perfkit.secrets import Scrubber
from tests.scripted import BEGIN, CLOSE, HANG, head, scripted, whole

PAGE = b'# TYPE waiting gauge\nwaiting{model="m"} 3\n# TYPE made_total counter\nmade_total 7\n'
PLAIN = Scrubber([])


def values(text):
    """Return the values of a page by name."""
    return {series.name: value for series, value in parse(text, PLAIN).items()}


def test_a_page_becomes_series_with_labels_kinds_and_values():
    found = {(series.name, series.labels, series.kind): value for series, value in parse(PAGE.decode(), PLAIN).items()}
    assert found == {("waiting", (("model", "m"),), "gauge"): 3.0, ("made_total", (), "counter"): 7.0}


def test_a_histogram_keeps_its_buckets_apart():
    lines = ["# TYPE w histogram", 'w_bucket{le="1"} 2', 'w_bucket{le="+Inf"} 3', "w_sum 4.5", "w_count 3"]
    found = {(series.name, *series.labels): value for series, value in parse("\n".join(lines), PLAIN).items()}
    assert found == {
        ("w_bucket", ("le", "1")): 2,
        ("w_bucket", ("le", "+Inf")): 3,
        ("w_sum",): 4.5,
        ("w_count",): 3,
    }


def test_numbers_that_no_float_holds_are_infinite_or_unknown():
    found = values(f"a {'9' * 1000}\nb NaN\nc +Inf\n")
    assert found["a"] == found["c"] == float("inf")
    assert found["b"] != found["b"]


def test_secrets_in_labels_are_masked_and_series_that_become_alike_add_up():
    text = 'n{api_key="one",end="sk-abcdefgh"} 1\nn{api_key="two",end="sk-abcdefgh"} 2\n'
    ((series, value),) = parse(text, Scrubber(["sk-abcdefgh"])).items()
    assert (series.labels, value) == ((("api_key", "***"), ("end", "***")), 3)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no value"),
        ("<html><body>Not here</body></html>", "text format"),
        ('{"error": "no"}', "text format"),
        ("waiting 3 4 5 x\n", "text format"),
        ('waiting{a="b" 3\n', "text format"),
        ("# TYPE a nonsense\na 1\n", "text format"),
        (f'a{{b="{"c" * published.LONGEST_LINE}"}} 1\n', "a line of the page is longer"),
    ],
)
def test_what_is_no_such_page_is_refused_in_a_sentence(text, why):
    with pytest.raises(NothingPublished, match=why):
        parse(text, PLAIN)


def test_a_page_of_too_many_series_is_refused(monkeypatch):
    monkeypatch.setattr(published, "MOST_SERIES", 100)
    with pytest.raises(NothingPublished, match="more than 100 series"):
        parse("".join(f'a{{n="{n}"}} 1\n' for n in range(101)), PLAIN)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "a{b=" + '"' + r"\"" * 8000 + '"} 1\n',
        "a{" + ",".join(f'b{n}="c"' for n in range(1500)) + "} 1\n",
        "a{" * 8000 + "\n",
        "a" + " " * 16000 + "1\n",
        "# HELP a " + "\\" * 16000 + "\n",
    ],
)
def test_a_page_made_to_take_for_ever_is_given_up_once_it_has_taken_enough(monkeypatch, line):
    monkeypatch.setattr(published, "PARSING", 0.2)
    before = time.thread_time()
    with contextlib.suppress(NothingPublished):
        parse(line * (published.MOST_BYTES // len(line)), PLAIN)
    assert time.thread_time() - before < 1.0


def read(server, **settings):
    """Read the page beside an endpoint."""
    (page,) = pages_of(Arguments(url=server.url, scrape=True, **settings))
    return page.read()


def test_a_page_is_read_with_the_time_between_asking_and_the_answer():
    with scripted([BEGIN, whole(PAGE, kind="text/plain")]) as server:
        before = time.time()
        page = read(server)
    assert {series.name: value for series, value in page.values.items()} == {"waiting": 3.0, "made_total": 7.0}
    assert before <= page.time <= time.time()
    assert 0 < page.took < 60


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ([BEGIN, whole(b"nothing here", status="404 Not Found")], "HTTP 404"),
        ([BEGIN, whole(b"", "Location: /elsewhere", status="302 Found")], "HTTP 302"),
        ([BEGIN, CLOSE], "closed"),
        ([BEGIN, b"SSH-2.0-OpenSSH\r\n", CLOSE], "SSH"),
        ([BEGIN, head("Content-Length: 100"), PAGE, CLOSE], "hung up"),
    ],
)
def test_what_answers_otherwise_says_why_there_is_no_page(script, why):
    with scripted(script) as server, pytest.raises(NothingPublished, match=why):
        read(server)


def test_nobody_who_answers_is_a_reason(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NothingPublished, match="refused"):
        PublishedAt(f"http://127.0.0.1:{port}/metrics").read()


def test_a_page_larger_than_it_may_be_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(published, "MOST_BYTES", 1 << 20)
    endless = [head("Connection: close"), *[PAGE * 10_000] * 8, HANG]
    with scripted([BEGIN, *endless]) as server, pytest.raises(NothingPublished, match="larger than 1 MiB"):
        read(server)


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX: ", head("Connection: close")])
def test_a_page_that_comes_byte_by_byte_is_given_up(monkeypatch, first):
    monkeypatch.setattr(published, "TIMEOUT", 0.3)
    drip = [step for _ in range(200) for step in (b"a", 0.05)]
    with scripted([BEGIN, first, *drip]) as server, pytest.raises(NothingPublished, match=r"within 0\.3 s"):
        read(server)


def test_a_page_on_a_socket_is_that_of_its_server(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "a.sock"))
        listener.listen()
        with scripted_on(listener) as asked:
            (page,) = pages_of(Arguments(url=f"unix://{tmp_path}/a.sock", scrape=True))
            assert len(page.read().values) == 2
    assert asked[0].startswith(b"GET /metrics HTTP/1.1\r\n")


class scripted_on:
    """Answers one request on a listener with the page."""

    def __init__(self, listener):
        import threading

        self.asked, self.listener = [], listener
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        connection, _ = self.listener.accept()
        with connection:
            self.asked.append(connection.recv(65536))
            connection.sendall(whole(PAGE))

    def __enter__(self):
        self.thread.start()
        return self.asked

    def __exit__(self, *_):
        self.thread.join(10)


def test_keys_and_headers_go_to_the_endpoint_alone():
    own = {"url": "http://h:8000/v1", "api_key": "sk-abcdefgh", "headers": {"X-Mine": "secret-value"}}
    arguments = Arguments(scrape=["http://h:8000/metrics", "http://gpu:9400/metrics", "http://me:pw@h:9/m"], **own)
    beside, other, own_password = pages_of(arguments)
    assert beside.headers == {"Authorization": "Bearer sk-abcdefgh", "X-Mine": "secret-value"}
    assert other.headers == {}
    assert own_password.headers == {"Authorization": "Basic bWU6cHc="}
    assert own_password.shown == "http://h:9/m"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (True, True),
        (False, False),
        ("gpu:9400/metrics", ("http://gpu:9400/metrics",)),
        (["http://a/m", "b:1/m"], ("http://a/m", "http://b:1/m")),
        ([], False),
        (None, False),
    ],
)
def test_scrape_takes_yes_no_or_urls(given, kept):
    assert Arguments(scrape=given).scrape == kept


@pytest.mark.parametrize(
    "given", ["ftp://h/metrics", "http://", "http://h:99999/", "http://h/a b", "http://h/a\r\nX: b"]
)
def test_scrape_refuses_what_is_no_url(given):
    with pytest.raises(ValueError, match=r"^scrape takes URLs such as http://host:9400/metrics"):
        Arguments(scrape=given)


def test_scrape_refuses_a_load_in_this_process():
    with pytest.raises(ValueError, match="workers=1 or more"):
        Arguments(scrape=True, workers=0)


def test_stored_settings_hold_no_secrets_of_the_urls():
    shown = Arguments(scrape=["http://me:pw@h/m?api_key=abcdefgh&n=1"]).shown()
    assert shown["scrape"] == ["http://h/m?api_key=***&n=1"]
