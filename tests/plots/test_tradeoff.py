import numpy as np
import pytest

from perfkit.errors import UsageError
from perfkit.plots import tradeoff
from perfkit.plots.tradeoff import tradeoff_table
from tests.served import served, together


@pytest.fixture(scope="module")
def closed():
    return together(*(served(f"u{users}", parallel=users, number=40 * users, seed=users) for users in (1, 4, 16)))


def test_a_point_is_the_percentile_and_the_rate_of_its_load(closed):
    table = tradeoff_table(closed).set_index("load")
    four = closed[closed["parallel"] == 4]
    window = four["completed_time"].max() - four["start_time"].min()
    assert table.loc[4, "time to first token [ms]"] == pytest.approx(
        1000 * np.percentile(four["first_chunk_latency"], 95)
    )
    assert table.loc[4, "output throughput [tokens/s]"] == pytest.approx(four["completion_tokens"].sum() / window)


def test_each_point_is_named_by_its_load(closed):
    ax = tradeoff(closed)
    assert [text.get_text() for text in ax.texts if text.get_gid() != "notes"] == ["1", "4", "16"]
    assert "at each point: users" in ax.texts[-1].get_text()


def test_another_percentile_is_named_on_the_axis(closed):
    assert tradeoff(closed, "e2e", percentile=50).get_ylabel() == "p50 end-to-end latency [ms]"


def test_several_systems_have_a_line_each(closed):
    ax = tradeoff(together(closed, closed.assign(model="other")), by="model")
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [name.split(" (")[0] for name in names] == ["qwen2.5-7b-instruct", "other"]


def test_a_rate_has_no_percentile(closed):
    with pytest.raises(UsageError, match="a metric of each request"):
        tradeoff(closed, "output_throughput")
