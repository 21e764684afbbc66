"""Several URLs in one run: what each server received."""

import json
from collections import Counter
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.loadgen.choices import Choice, drawn
from perfkit.records import Prompt
from perfkit.simulator.truth import read_requests
from tests.measured import SMALL, stored
from tests.recording import recording

MODELS = ["base=2", "lora-a", "lora-b"]
WEIGHTS = [("base", 2.0), ("lora-a", 1.0), ("lora-b", 1.0)]


@pytest.mark.processes
def test_two_urls_three_adapters_and_clients_that_cancel_by_the_logs_of_both_servers(tmp_path):
    logs = [tmp_path / f"{name}.csv" for name in "ab"]
    asked = [tmp_path / f"{name}.jsonl" for name in "ab"]
    given = {"model": MODELS, "cancel": 0.25, "cancel_after": 0.3, "number": 60, "parallel": 20, "preflight": False}
    with (
        pk.simulate(ttft=0.02, itl=0.02, log=str(logs[0]), request_log=str(asked[0])) as one,
        pk.simulate(ttft=0.02, itl=0.02, log=str(logs[1]), request_log=str(asked[1])) as other,
    ):
        urls = [one.url, other.url]
        runs = pk.run(urls, max_tokens=48, db=str(tmp_path / "run.db"), **given)
    leaving = {seq for seq in range(60) if drawn(0, "cancel", seq) < 0.25}
    chosen = [Choice(WEIGHTS, 0, "model").of(seq) for seq in range(60)]
    rows = stored(tmp_path / "run.db", "SELECT * FROM result ORDER BY seq")
    for at, url in enumerate(urls):
        own = range(at, 60, 2)
        served = read_requests(logs[at])
        outcomes = Counter(row.outcome for row in served)
        assert outcomes == Counter("client_closed" if seq in leaving else "ok" for seq in own)
        bodies = [json.loads(line) for line in Path(asked[at]).read_text(encoding="utf-8").splitlines()]
        assert Counter(each["body"]["model"] for each in bodies) == Counter(chosen[seq] for seq in own)
        mine = [row for row in rows if row["request_target"] == url]
        assert [row["seq"] for row in mine] == list(own)
        assert [row["request_model"] for row in mine] == [chosen[seq] for seq in own]
        assert {row["seq"] for row in mine if row["error_kind"] == "cancelled"} == leaving & set(own)
    (note,) = [note for note in runs.summary().notes if "by URL" in note]
    assert all(f"{url}: 30 requests" in note for url in urls)
    assert runs.table["target"].tolist() == [", ".join(f"{url}/v1/chat/completions" for url in urls)]
    assert len({(row["connection"], row["connection_use"]) for row in rows}) == 60  # numbers are of the run


@pytest.mark.processes
def test_a_conversation_stays_with_its_server(tmp_path):
    talks = [
        Prompt([{"role": "user", "content": f"{talk} {turn}"}], session_id=str(talk), turn=turn)
        for talk in range(4)
        for turn in (1, 2)
    ]
    with recording() as one, recording() as other:
        given = {**SMALL, "prompt": None, "dataset": talks, "number": 8}
        pk.run([one.url, other.url], db=str(tmp_path / "a.db"), **given)
    for server, own in ((one, "02"), (other, "13")):
        assert Counter(each.body["messages"][0]["content"][0] for each in server.received) == {name: 2 for name in own}


@pytest.mark.processes
def test_whoever_has_the_fewest_in_flight_is_asked(tmp_path):
    with pk.simulate(ttft=0.01, itl=0.001) as quick, pk.simulate(ttft=2.0, itl=0.001) as slow:
        given = {"number": 40, "parallel": 2, "max_tokens": 4, "workers": 0, "balance": "least-in-flight"}
        runs = pk.run([slow.url, quick.url], db=str(tmp_path / "a.db"), preflight=False, **given)
    counts = runs.requests.groupby("request_target").size()
    # Of two users one waits for the slow server, and the other has the quick one to itself.
    assert counts[slow.url] <= 5
    assert counts[quick.url] >= 35
    assert runs.requests["success"].all()


@pytest.mark.processes
def test_each_server_is_named_in_the_requests_that_it_gets(tmp_path):
    with recording() as one, recording() as other:
        given = {**SMALL, "number": 6, "parallel": 2, "balance": "least-in-flight"}
        pk.run([one.url, other.url], db=str(tmp_path / "a.db"), **given)
    for server in (one, other):
        assert {each.headers["host"] for each in server.received} <= {server.url.removeprefix("http://")}
    assert len(one.received) + len(other.received) == 6


@pytest.mark.processes
def test_what_is_stored_of_a_url_has_no_secrets_and_a_replay_goes_to_the_same_servers(tmp_path):
    with recording() as one, recording() as other:
        urls = [each.url.replace("http://", "http://me:pass-word-1@") for each in (one, other)]
        runs = pk.run(urls, db=str(tmp_path / "a.db"), **{**SMALL, "number": 4})
        assert b"pass-word-1" not in (tmp_path / "a.db").read_bytes()
        assert {each.headers["authorization"] for each in other.received} == {"Basic bWU6cGFzcy13b3JkLTE="}
        again = pk.replay(runs, workers=0, db=str(tmp_path / "b.db")).wait()
    assert sorted(again.requests["request_target"].str.removesuffix("/v1/chat/completions")) == sorted(
        [one.url, one.url, other.url, other.url]
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"url": []}, "url is empty; give an endpoint, or several"),
        ({"url": ["a:1", "http://a:1"]}, "url takes URLs that differ, got 'http://a:1' twice"),
        ({"url": ["a:1", "b:1"], "proxy": "http://p:1"}, "several URLs and proxy exclude each other"),
        ({"url": ["a:1", 5]}, "url must be a text, got 5"),
        ({"url": ["a:1", "b c:1"]}, "url must look like http://host:port"),
        ({"balance": "least-in-flight"}, "balance is of several URLs"),
        ({"url": ["a:1/x", "b:1/y"], "balance": "least-in-flight"}, "may differ in their hosts alone"),
    ],
)
def test_urls_that_cannot_share_are_refused(given, sentence):
    with pytest.raises(pk.PerfkitError) as refused:
        pk.Arguments(**given)
    assert sentence in str(refused.value)


def test_one_url_in_a_list_is_that_url():
    assert pk.Arguments(url=["a:8000"]) == pk.Arguments(url="a:8000")
    assert pk.Arguments(url=["a:1", "b:1"]).replace(max_tokens=3).urls == ("http://a:1", "http://b:1")
    assert pk.Arguments(url=["a:1", "b:1"]).shown() == {"url": ["http://a:1", "http://b:1"]}


def test_every_one_of_them_must_be_text():
    with pytest.raises(pk.PerfkitError, match="url must be text that UTF-8 can spell"):
        pk.Arguments(url=["http://a", "http://b/\udc80"])
