"""Headers of single records: what the server received, and what is stored."""

import json
from pathlib import Path

import pytest

import perfkit as pk
from perfkit.loadgen.datasets.shapes import headers_in
from perfkit.records import Prompt
from tests.measured import SMALL, stored
from tests.recording import recording

RECORDS = [
    {"prompt": "one", "headers": {"X-Tenant": "a", "x-priority": 3}},
    {"prompt": "two", "headers": {"X-Tenant": "b", "Authorization": "Bearer sk-of-tenant-b"}},
    {"prompt": "three"},
]


def measured(dataset, folder, **given):
    """Ask with a dataset; return what the server received, the rows, and the bytes of the file."""
    with recording() as server:
        server.answer = {**server.answer, "id": "seen sk-of-tenant-b"}
        options = {
            **SMALL,
            "prompt": None,
            "number": 3,
            "api_key": "sk-of-the-run",
            "db": str(folder / "a.db"),
            **given,
        }
        pk.run(server.url, dataset=dataset, **options)
        received = list(server.received)
    path = Path(options["db"])
    rows = stored(path, "SELECT * FROM result ORDER BY seq")
    return received, rows, path.read_bytes()


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["file", "prompts"])
def test_each_request_has_the_headers_of_its_record_and_the_runs_besides(kind, tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text("\n".join(map(json.dumps, RECORDS)), encoding="utf-8")
    prompts = [Prompt(each["prompt"], headers=_texts(each.get("headers"))) for each in RECORDS]
    received, rows, kept = measured(str(path) if kind == "file" else prompts, tmp_path)
    assert [each.headers.get("x-tenant") for each in received] == ["a", "b", None]
    assert [each.headers.get("x-priority") for each in received] == ["3", None, None]
    authorizations = [each.headers["authorization"] for each in received]
    assert authorizations == ["Bearer sk-of-the-run", "Bearer sk-of-tenant-b", "Bearer sk-of-the-run"]
    assert [row["request_headers"] for row in rows] == [
        '{"x-priority":"3","x-tenant":"a"}',
        '{"authorization":"***","x-tenant":"b"}',
        None,
    ]
    # Neither as it was sent, nor as the server repeats it to whom it belongs.
    assert rows[1]["server_request_id"] == "seen ***"
    assert b"sk-of-the-run" not in kept


def _texts(headers):
    return None if headers is None else {name: str(value) for name, value in headers.items()}


def test_requests_are_grouped_by_them(tmp_path):
    from tests.run_files import request, write_run

    told = ['{"x-tenant":"a"}', '{"x-tenant":"b"}']
    rows = [request(seq, float(seq), ttft=0.1 * (1 + seq % 2), request_headers=told[seq % 2]) for seq in range(20)]
    runs = pk.open(write_run(tmp_path / "a.db", rows))
    found = runs.percentiles(["ttft"], [50], by="request_headers").reset_index().set_index("request_headers")["p50"]
    assert found.to_dict() == pytest.approx({told[0]: 0.1, told[1]: 0.2})


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({"a b": "c"}, "must have a name and a text on one line"),
        ({"a": "b\r\nc: d"}, "must have a name and a text on one line"),
        ({"a": {"b": 1}}, "must have a name and a text on one line"),
        ({"Transfer-Encoding": "chunked"}, "belongs to the connection"),
    ],
)
def test_what_no_request_can_have_is_refused_with_its_place(headers, sentence):
    with pytest.raises(pk.PerfkitError) as refused:
        headers_in({"headers": headers}, "a.jsonl:7")
    assert str(refused.value).startswith("a.jsonl:7: ")
    assert sentence in str(refused.value)


@pytest.mark.processes
def test_a_replay_sends_them_again_but_for_the_keys_that_nobody_kept(tmp_path):
    prompts = [Prompt(each["prompt"], headers=_texts(each.get("headers"))) for each in RECORDS]
    measured(prompts, tmp_path)
    with recording() as server:
        pk.replay(str(tmp_path / "a.db"), url=server.url, workers=0, db=str(tmp_path / "b.db")).wait()
    tenants = {each.body["messages"][0]["content"]: each.headers.get("x-tenant") for each in server.received}
    assert tenants == {"one": "a", "two": "b", "three": None}
    assert all("authorization" not in each.headers for each in server.received)


@pytest.mark.processes
def test_a_conversation_has_those_of_its_record_in_every_turn(tmp_path):
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"turns": ["a", "b"], "headers": {"x-tenant": "t"}}), encoding="utf-8")
    for dataset in ("jsonl", "multi_turn"):
        received, _, _ = measured(
            dataset, tmp_path, dataset_path=str(path), number=2, db=str(tmp_path / f"{dataset}.db")
        )
        assert [each.headers.get("x-tenant") for each in received] == ["t", "t"]
