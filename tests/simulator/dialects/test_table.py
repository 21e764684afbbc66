from perfkit.simulator.dialects import DIALECTS


def test_every_dialect_is_found_by_its_paths():
    assert sorted(DIALECTS) == [
        "/api/v1/services/aigc/text-generation/generation",
        "/rerank",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/rerank",
        "/v1/responses",
    ]
