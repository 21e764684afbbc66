"""OpenAI embeddings: one answer, due when the first token of a generation would be."""

import base64
from array import array
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

_DIMENSIONS = 64
_MOST_DIMENSIONS = 8192


def read(request: int, body: Body, headers: Headers, simulation: Simulation) -> Ask:
    """Read an embeddings request.

    Raises
    ------
    ValueError
        A field is missing or of the wrong kind.
    """
    tokens = count_content(required(body, "input"))
    if not 1 <= optional(body, "dimensions", int, _DIMENSIONS) <= _MOST_DIMENSIONS:
        raise ValueError(f"dimensions must be from 1 to {_MOST_DIMENSIONS}, got {body['dimensions']}")
    return ask(request, body, simulation, prompt_tokens=tokens, stream=False, limit=1).without_output()


def embeddings(ask: Ask) -> bytes:
    """Return the list of embeddings, one per input."""
    given = ask.body["input"]
    several = isinstance(given, list) and not isinstance(given[0], int)
    data = [_embedding(ask, index) for index in range(len(given) if several else 1)]
    usage = {"prompt_tokens": ask.prompt_tokens, "total_tokens": ask.prompt_tokens}
    head = {"id": f"embd-{ask.id}", "object": "list", "model": ask.model}
    return orjson.dumps(head | {"data": data, "usage": usage})


def _embedding(ask: Ask, index: int) -> dict[str, Json]:
    dimensions = ask.body.get("dimensions") or _DIMENSIONS
    values = array("f", (mix(ask.simulation.seed, index, place) / 2**63 - 1 for place in range(dimensions)))
    embedding: Json = values.tolist()
    if ask.body.get("encoding_format") == "base64":
        embedding = base64.b64encode(values.tobytes()).decode()
    return {"object": "embedding", "index": index, "embedding": embedding}


def _script(ask: Ask) -> Unstreamed:
    return Unstreamed(partial(embeddings, ask))


DIALECT = Dialect("embeddings", ("/v1/embeddings",), read, _script)
