"""Rerank as Jina, Cohere and vLLM serve it: one answer, due when the first token of a generation would be."""

import orjson

from perfkit.records import Json
from perfkit.simulator.dialects.answer import Body, Dialect, Headers, Script, Wanted, count_content, optional, required
from perfkit.simulator.model import mix


def read(body: Body, headers: Headers) -> Wanted:
    """Read a rerank request: the query is counted once per document."""
    query, documents = required(body, "query"), required(body, "documents")
    optional(body, "documents", list, [])
    optional(body, "top_n", int, 0)
    return Wanted(count_content(query) * len(documents) + count_content(documents), generates=False)


class RankingScript(Script):
    """The answer to one rerank request."""

    def whole(self) -> bytes:
        """Return the documents by descending score, ``top_n`` at most."""
        ask, documents = self._ask, self._ask.body["documents"]
        scores = [mix(ask.simulation.seed, index) / 2**64 for index in range(len(documents))]
        results = [
            {"index": index, "document": _document(documents[index]), "relevance_score": scores[index]}
            for index in sorted(range(len(documents)), key=lambda index: -scores[index])
        ]
        head = {"id": f"rerank-{ask.id}", "model": ask.model}
        usage = {"prompt_tokens": ask.prompt_tokens, "total_tokens": ask.prompt_tokens}
        return orjson.dumps(head | {"usage": usage, "results": results[: ask.body.get("top_n")]})


def _document(document: Json) -> Json:
    return {"text": document} if isinstance(document, str) else document


DIALECT = Dialect("rerank", ("/v1/rerank", "/rerank"), read, RankingScript)
