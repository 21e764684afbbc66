"""No group pools loads in silence: charts and summaries say it, exported tables part by it."""

import pytest

import perfkit as pk
from tests.run_files import request, write_run


@pytest.fixture
def runs(tmp_path):
    for users in (1, 8):
        rows = [request(seq, seq, ttft=0.01 * users) for seq in range(30)]
        write_run(tmp_path / "p.db", rows, name=f"u{users}", run_id=f"R{users}", parallel=users, tags={"gpu": "H100"})
    return pk.open(tmp_path / "p.db")


def beneath(ax):
    return "\n".join(text.get_text() for text in ax.texts)


def test_a_chart_says_which_loads_are_in_one_line(runs):
    assert "pooled in one group: 1 user, 8 users" in beneath(runs.plot.ecdf("ttft", by="gpu"))
    assert "pooled" not in beneath(runs.plot.ecdf("ttft"))
    assert "pooled" not in beneath(runs.pick("u1").plot.ecdf("ttft", by="gpu"))


def test_a_summary_says_which_loads_are_in_one_row(runs):
    assert "pooled in H100: 1 user, 8 users; add parallel" in str(runs.summary(by="gpu"))
    assert "pooled" not in str(runs.summary(by=["gpu", "parallel"]))


def test_a_table_of_percentiles_names_the_loads_in_one_row(runs):
    assert runs.percentiles("ttft", by="gpu")["pooled"].tolist() == ["1 user, 8 users"]
    assert runs.percentiles("ttft", by=["gpu", "parallel"])["pooled"].tolist() == ["", ""]


def test_the_numbers_behind_a_chart_name_the_loads_in_one_line(runs, tmp_path):
    runs.export(tmp_path / "out", charts=["ecdf:ttft"], by="gpu", formats=["csv", "svg"])
    header, *lines = (tmp_path / "out/ecdf-ttft.csv").read_text().splitlines()
    assert header.endswith("pooled")
    assert {line.partition('"')[2] for line in lines} == {'pooled in one group: 1 user, 8 users"'}
    assert "pooled in one group" in (tmp_path / "out/ecdf-ttft.svg").read_text()
    runs.export(tmp_path / "apart", charts=["ecdf:ttft"], formats=["csv"])
    assert "pooled" not in (tmp_path / "apart/ecdf-ttft.csv").read_text()


def test_exported_tables_part_by_load(runs, tmp_path):
    runs.export(tmp_path / "out", charts=["ecdf:ttft"], by="gpu", formats=["csv", "tex"])
    table = (tmp_path / "out/percentiles.csv").read_text()
    assert {line.split(",")[1] for line in table.splitlines()[1:] if line.startswith("H100")} == {"1", "8"}
    assert "parallel" in (tmp_path / "out/percentiles.tex").read_text()
