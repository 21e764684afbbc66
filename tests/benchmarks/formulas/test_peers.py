import pytest

from benchmarks.formulas.peers import aiperf, guidellm, llmeter


def row(ttft: float, tokens: int, gap: float = 0.01) -> dict:
    last = ttft + gap * (tokens - 1)
    return {
        "start_time": 100.0,
        "completed_time": 100.0 + last,
        "scheduled_time": 100.0,
        "latency": last,
        "first_chunk_latency": ttft,
        "last_token_time": 100.0 + last,
        "time_per_output_token": gap,
        "inter_token_latencies": f"[{', '.join([str(gap)] * (tokens - 1))}]",
        "prompt_tokens": 10,
        "completion_tokens": tokens,
    }


ROWS = [row(0.1, 11), row(0.3, 2)]


def test_guidellms_tpot_includes_the_first_token_and_weighs_by_tokens():
    found = guidellm(ROWS)["time_per_output_token_ms"]["mean"]
    assert found == pytest.approx((200 + 310) / 13)


def test_guidellms_itl_weighs_by_tokens_too():
    rows = [row(0.1, 11, gap=0.01), row(0.1, 2, gap=0.05)]
    assert guidellm(rows)["inter_token_latency_ms"]["mean"] == pytest.approx((10 * 10 + 50) / 11)


def test_aiperfs_itl_weighs_requests_alike_and_its_gaps_are_pooled():
    rows = [row(0.1, 11, gap=0.01), row(0.1, 2, gap=0.05)]
    found = aiperf(rows, 2.0)
    assert found["inter_token_latency"]["avg"] == pytest.approx((10 + 50) / 2)
    assert found["inter_chunk_latency"]["avg"] == pytest.approx((10 * 10 + 50) / 11)
    assert found["request_throughput"]["avg"] == 1.0


def test_llmeters_percentiles_of_two_requests_lie_beyond_them():
    assert llmeter(ROWS)["time_to_first_token-p99"] == pytest.approx(0.1 + 0.2 * 1.97)
