"""Rerank as Jina, Cohere and vLLM serve it: one answer, due when the first token of a generation would be."""

from functools import partial

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import (
    Ask,
    Body,
    Dialect,
    Headers,
    Unstreamed,
    ask,
    count_content,
    optional,
    required,
)
from perfkit.simulator.model import mix
from perfkit.simulator.options import Simulation


def read(request: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
    """Read a rerank request: the query is counted once per document.

    Raises
    ------
    ValueError
        A field is missing or of the wrong kind.
    """
    query, documents = required(body, "query"), optional(body, "documents", list, [])
    optional(body, "top_n", int, 0)
    tokens = count_content(query) * len(documents) + count_content(documents)
    return ask(request, body, simulation, prompt_tokens=tokens, stream=False, limit=1).without_output()


def ranking(ask: Ask) -> bytes:
    """Return the documents by descending score, ``top_n`` at most."""
    documents: list[Json] = ask.body["documents"]
    results = [
        {"index": index, "document": _document(document), "relevance_score": mix(ask.simulation.seed, index) / 2**64}
        for index, document in enumerate(documents)
    ]
    results.sort(key=lambda result: -result["relevance_score"])
    head = {"id": f"rerank-{ask.id}", "model": ask.model}
    usage = {"prompt_tokens": ask.prompt_tokens, "total_tokens": ask.prompt_tokens}
    return orjson.dumps(head | {"usage": usage, "results": results[: ask.body.get("top_n")]})


def _document(document: Json) -> Json:
    return {"text": document} if isinstance(document, str) else document


def _script(ask: Ask) -> Unstreamed:
    return Unstreamed(partial(ranking, ask))


DIALECT = Dialect("rerank", ("/v1/rerank", "/rerank"), read, _script)
