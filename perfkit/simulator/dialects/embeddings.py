"""OpenAI embeddings: one answer, due when the first token of a generation would be."""

import base64
from array import array

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import Body, Dialect, Headers, Script, Wanted, count_content, optional, required
from perfkit.simulator.model import mix

_DIMENSIONS = 64
_MOST_DIMENSIONS = 8192


def read(body: Body, headers: Headers) -> Wanted:
    """Read an embeddings request."""
    if not 1 <= optional(body, "dimensions", int, _DIMENSIONS) <= _MOST_DIMENSIONS:
        raise ValueError(f"dimensions must be from 1 to {_MOST_DIMENSIONS}, got {body['dimensions']}")
    return Wanted(count_content(required(body, "input")), generates=False)


class EmbeddingsScript(Script):
    """The answer to one embeddings request."""

    def whole(self) -> bytes:
        """Return the list of embeddings, one per input."""
        ask, given = self._ask, self._ask.body["input"]
        several = isinstance(given, list) and not isinstance(given[0], int)
        data = [self._embedding(index) for index in range(len(given) if several else 1)]
        usage = {"prompt_tokens": ask.prompt_tokens, "total_tokens": ask.prompt_tokens}
        head = {"id": f"embd-{ask.id}", "object": "list", "model": ask.model}
        return orjson.dumps(head | {"data": data, "usage": usage})

    def _embedding(self, index: int) -> dict[str, Json]:
        body, seed = self._ask.body, self._ask.simulation.seed
        places = range(body.get("dimensions") or _DIMENSIONS)
        values = array("f", (mix(seed, index, place) / 2**63 - 1 for place in places))
        as_text = body.get("encoding_format") == "base64"
        embedding = base64.b64encode(values.tobytes()).decode() if as_text else values.tolist()
        return {"object": "embedding", "index": index, "embedding": embedding}


DIALECT = Dialect("embeddings", ("/v1/embeddings",), read, EmbeddingsScript)
