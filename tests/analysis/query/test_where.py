import contextlib
import math
import operator
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perfkit as pk
from perfkit.analysis.query.where import compile_filter, names_in
from perfkit.errors import UsageError, nearest
from perfkit.runfile.percentile import percentile
from tests.run_files import failure, request, write_run

COLUMNS = ("a", "b", "model", "tag one")
NAMES = {name: f'"{name}"' for name in COLUMNS}
ROW = {"a": 2, "b": 0.25, "model": "qwen", "tag one": None}


class Columns:
    """Names of a table; ``values`` are what a percentile of anything is one of."""

    def __init__(self, names=NAMES, numbers=(), values=()):
        self.names, self.numbers, self.values = names, numbers, values

    def sql(self, name):
        return self.names.get(name)

    def refuse(self, name):
        raise UsageError(f"nothing is called {name!r}{nearest(name, self.names)}")

    def is_number(self, name):
        return name in self.numbers

    def percentile(self, sql, parameters, percent):
        return percentile(self.values, percent) if self.values else None


def truth_of(expression, row, columns=None):
    """Compile an expression and let sqlite say whether it holds for a row: True, False, or None for unknown."""
    found = compile_filter(expression, columns or Columns())
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute('CREATE TABLE t (a INTEGER, b REAL, model TEXT, "tag one")')
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", [row[name] for name in COLUMNS])
        (truth,) = connection.execute(f"SELECT {found.sql} FROM t", found.parameters).fetchone()
    return None if truth is None else bool(truth)


@pytest.mark.parametrize(
    ("expression", "truth"),
    [
        ("a = 2", True),
        ("a == 2 and b < 1", True),
        ("a <> 2", False),
        ("a != 3", True),
        ("1 < a <= 2 < 3", True),
        ("1 < a < 2", False),
        ("b = 250ms", True),
        ("b = 250 ms", True),
        ("b = 250000us", True),
        ("b = 250000µs", True),
        ("b = 25%", True),
        ("a < 1 min", True),
        ("a < 1h", True),
        ("a = 2s", True),
        ("model = 'qwen'", True),
        ('model = "qwen"', True),
        ("model in ('llama', 'qwen')", True),
        ("model not in ('llama')", True),
        ("a in (1, 2.0)", True),
        ("a + b × 4 = 3", True),
        ("a ÷ 4 = 0.5", True),
        ("7 / a = 3.5", True),
        ("a − 1 - 1 = 0", True),
        ("-a < -1", True),
        ("(a + 1) * 2 = 6", True),
        ("not (a = 1 or a = 3)", True),
        ("not a = 1 and b > 0", True),
        ("a = 1 or a = 2 and b = 9", False),
        ("a = true", False),
        ("a > false", True),
        ("a IS NOT NULL AND NOT b IS NULL", True),
        ("`tag one` is null", True),
        ("`tag one` > 1", None),
        ("not `tag one` > 1", None),
        ("`tag one` in (1)", None),
        ("`tag one` > 1 or a = 2", True),
        ("`tag one` > 1 and a = 3", False),
        ("a / 0 > 1", None),
        ("a / 0 is null", True),
        ("model + 1 is null", True),
        ("a = '2'", False),
        ("a < 'x'", True),
        ("model = 'it''s'", False),
        ("model like 'qw%'", True),
        ("model LIKE 'Q_EN'", True),
        ("model not like 'qw%'", False),
        ("model like 'q'", False),
        ("`tag one` not like 'q%'", None),
        ("not model like 'l%' and a = 2", True),
        ("((a)) = (2)", True),
        ("- - a = 2", True),
        ("1 < a + 1 <= b * 16 > 3", True),
        ("a = 2 = 2", True),
        ("not not a = 2", True),
    ],
)
def test_a_condition_holds_or_not_or_is_unknown(expression, truth):
    assert truth_of(expression, ROW) is truth


@pytest.mark.parametrize(
    ("expression", "advice"),
    [
        ("a > 1 & b > 1", "'&' at character 7 .*: write 'and'"),
        ("a > 1 | b > 1", "write 'or'"),
        ("~a > 1", "write 'not'"),
        ("a > 1 && b > 1", "write 'and'"),
        ("a = 'open", "never closed"),
        ("a > 5 sec", r"or a unit \(ns, us"),
        ("a", "a value alone is not a condition"),
        ("a > 1 and b", "a value alone is not a condition"),
        ("a and b > 1", "a value alone is not a condition"),
        ("not a", "a value alone is not a condition"),
        ("(a > 1) + 2 > 1", "a condition is not a value"),
        ("(a > 1) = (b > 1)", "a condition is not a value"),
        ("-(a > 1) = 1", "a condition is not a value"),
        ("(a > 1) is null", "a condition is not a value"),
        ("a like 5", "what follows 'like' is a text"),
        ("a like b", "what follows 'like' is a text"),
        (f"a like '{'%' * 1001}'", "at most 1000 characters"),
        ("a between 1 and 2", "'between' at character 3"),
        ("a > (select 1)", "expected"),
        ("a > ?", "not in the language"),
        ("p95 is null", "p95 is a percentile of what it is compared with"),
        ("p50 < p95", "is a percentile of what it is compared with"),
        ("p95 in (1)", "is a percentile of what it is compared with"),
        ("a > ", "the end at character"),
        ("", "the end at character 1"),
        ("a = null", "write 'is null'"),
        ("len(a) > 1", "no functions"),
        ("a in ()", "expected a name, a number or a text"),
        ("a in (b)", "an item of 'in' is a number, or a text in quotes"),
        ("a in 5", r"expected '\('"),
        ("a > b b", "expected 'and', 'or' or the end"),
        ("(a > 1", r"expected '\)'"),
        ("a is 5", "expected 'null'"),
        ("a; DROP TABLE result", "not in the language"),
        ("a + 'x' > 1", "cannot be calculated with"),
        ("(" * 50 + "a > 1" + ")" * 50, "nested deeper than 40"),
        (" or ".join(["a = 1"] * 300), "more than 200 operators"),
        ("-" * 100 + "a > 1", "nested deeper than 40"),
    ],
)
def test_what_is_not_in_the_language_is_a_value_error_with_advice(expression, advice):
    with pytest.raises(ValueError, match=advice):
        compile_filter(expression, Columns())


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"nothing is called 'ttftt'; did you mean 'ttft'\?"):
        compile_filter("ttftt > 1", Columns({"ttft": "x", "tpot": "y"}))


def test_names_are_case_sensitive():
    with pytest.raises(UsageError, match="nothing is called 'TTFT'"):
        compile_filter("TTFT > 1", Columns({"ttft": "x"}))


def test_a_unit_gives_the_nearest_float():
    assert compile_filter("b = 231ms", Columns()).parameters == (0.231,)
    assert compile_filter("b = 7us", Columns()).parameters == (7e-6,)


def test_the_names_of_an_expression_are_known():
    expression = "a + 1 < b < 2 or model in ('x') or not `tag one` is null"
    assert names_in(expression) == compile_filter(expression, Columns()).names == set(COLUMNS)


def test_texts_travel_as_parameters():
    found = compile_filter("model = '''; DROP TABLE result; --'", Columns())
    assert "DROP" not in found.sql
    assert found.parameters == ("'; DROP TABLE result; --",)


def test_a_long_list_of_items_is_allowed():
    expression = f"a in ({', '.join(map(str, range(5000)))})"
    assert truth_of(expression, ROW) is True


@pytest.mark.parametrize(
    ("expression", "truth"),
    [
        ("a > p50", False),  # the median of 1, 2, 3, 6
        ("a < p50", True),
        ("a > 0.5 * p50", True),
        ("p0 < a < p100", True),
        ("p99.9 > a", True),
        ("not a > p50", True),
    ],
)
def test_a_percentile_is_one_of_what_it_is_compared_with(expression, truth):
    assert truth_of(expression, ROW, Columns(values=[1, 2, 3, 6])) is truth


def test_a_percentile_of_nothing_is_missing():
    assert truth_of("a > p50", ROW) is None


def test_a_column_called_like_a_percentile_is_that_column():
    assert truth_of("p95 = 2", ROW, Columns({"p95": "a"})) is True


# On files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(tmp_path):
    """Two runs: TTFT 1 to 10 s and 11 to 20 s; of each one warm-up request of 100 s and one failure."""
    for number, name in enumerate(("a", "b")):
        rows = [request(seq, seq, ttft=seq + 1.0 + 10 * number, gaps=[0.1, seq / 10]) for seq in range(10)]
        outside = [request(10, 10, ttft=100.0, phase="warmup"), failure(11, 11)]
        write_run(tmp_path / "a.db", rows + outside, name=name, run_id=name, tags={"gpu": f"H{number}00 80%"})
    return pk.open(tmp_path / "a.db")


@pytest.mark.slow
def test_a_percentile_is_that_of_each_run_by_itself_as_its_summary_shows(runs):
    kept = runs.where("ttft > p90").steady
    assert kept.groupby("run")["ttft"].apply(list).to_dict() == {"a": [10.0], "b": [20.0]}
    bounds = runs.percentiles("ttft", [90])["p90"]
    assert len(runs.where("ttft = p100").requests) == 2
    assert bounds.tolist() == pytest.approx([9.1, 19.1])


def test_a_percentile_of_a_filtered_run_is_one_of_what_is_left(runs):
    left = runs["a"].where("ttft < 5.5s")
    assert left.where("ttft >= p50").requests["ttft"].tolist() == [3.0, 4.0, 5.0]


def test_percentiles_of_metrics_that_sqlite_cannot_compute(runs):
    kept = runs["a"].where("itl_p99 >= p50 and ttft < p90")
    assert kept.steady["ttft"].tolist() == [6.0, 7.0, 8.0, 9.0]


@pytest.mark.slow
def test_a_filter_on_a_percentile_looks_at_outcomes(runs):
    assert math.isnan(runs.where("ttft > p50").summary().rates["request_throughput"].iloc[0])


def test_like_takes_patterns_and_says_nothing_of_what_is_missing(runs):
    assert runs.where("gpu like 'h0%80\\%'").requests.empty
    assert set(runs.where("gpu like 'h0% 80_'").requests["run"]) == {"a"}
    assert len(runs.where("error like '%boom%'").requests) == 2


def test_columns_that_differ_by_case_alone_are_told_apart(tmp_path):
    path = write_run(tmp_path / "a.db", [request(0, gaps=[0.5])], tags={"MODEL": "x"})
    assert len(pk.open(path).where("MODEL = 'x' and model = 'm' and itl_p99 > 0").requests) == 1


# Any expression, any row ---------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
numbers = st.integers(-5, 5) | st.floats(-4, 4, width=16) | st.sampled_from([2**62, 1e300, -0.5])
cells = st.none() | numbers | texts


# Expressions are drawn as pairs: what is written, and a function that says of a row what that means.
def constant(written, value):
    return written, lambda row: value


def computed(left, sign, right):
    def value(row):
        a, b = left[1](row), right[1](row)
        if not isinstance(a, int | float) or not isinstance(b, int | float) or (sign == "/" and b == 0):
            return None
        found = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}[sign](
            float(a), float(b)
        )
        return None if math.isnan(found) else found

    return f"({left[0]}) {sign} ({right[0]})", value


def negated(inner):
    value = computed(constant("0", 0), "-", inner)[1]
    return f"-({inner[0]})", value


def ordered(value):
    return isinstance(value, str), value


def chained(values, signs):
    ways = dict(zip(("=", "!=", "<", "<=", ">", ">="), ("eq", "ne", "lt", "le", "gt", "ge"), strict=True))

    def truth(row):
        found = [value(row) for _, value in values]
        pairs = [
            None if a is None or b is None else getattr(operator, ways[sign])(ordered(a), ordered(b))
            for a, sign, b in zip(found, signs, found[1:], strict=False)
        ]
        return False if False in pairs else None if None in pairs else True

    return " ".join(
        [values[0][0], *(f"{sign} {value[0]}" for sign, value in zip(signs, values[1:], strict=True))]
    ), truth


def excluded(value, items):
    def truth(row):
        found = value[1](row)
        return None if found is None else ordered(found) not in [ordered(item[1](row)) for item in items]

    return f"{value[0]} not in ({', '.join(item[0] for item in items)})", truth


def combined(parts, word):
    def truth(row):
        found = [part[1](row) for part in parts]
        decisive = word == "or"
        return decisive if decisive in found else None if None in found else not decisive

    return f"({f' {word} '.join(part[0] for part in parts)})", truth


def denied(inner):
    return f"not ({inner[0]})", lambda row: None if (found := inner[1](row)) is None else not found


quoted = texts.map(lambda text: constant("'" + text.replace("'", "''") + "'", text))
written = {"0.5": 0.5, "1.5e0": 1.5, "250ms": 0.25, "50%": 0.5, "1min": 60.0, "9e999": math.inf}
positive = st.sampled_from([constant(*pair) for pair in [*written.items(), *((str(n), n) for n in range(6))]])
named = st.sampled_from([(f"`{name}`", lambda row, name=name: row[name]) for name in COLUMNS])
values = (
    st.recursive(
        named | positive,
        lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda d: computed(*d)) | inner.map(negated),
        max_leaves=4,
    )
    | quoted
)
signs = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
predicates = (
    st.tuples(values, signs, values).map(lambda d: chained([d[0], d[2]], [d[1]]))
    | st.tuples(values, signs, values, signs, values).map(lambda d: chained(d[::2], d[1::2]))
    | values.map(lambda value: (f"{value[0]} is null", lambda row: value[1](row) is None))
    | st.tuples(values, st.lists(quoted | positive, min_size=1, max_size=3)).map(lambda d: excluded(*d))
)
conditions = st.recursive(
    predicates,
    lambda inner: (
        st.tuples(st.lists(inner, min_size=2, max_size=3), st.sampled_from(["and", "or"])).map(lambda d: combined(*d))
        | inner.map(denied)
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries({"a": st.none() | numbers, "b": st.none() | numbers, "model": cells, "tag one": cells})


@pytest.mark.slow
@given(conditions, rows)
def test_any_expression_means_of_any_row_what_it_says(condition, row):
    expression, meant = condition
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute('CREATE TABLE t (a, b INTEGER, model TEXT, "tag one" REAL)')
        connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", [row[name] for name in COLUMNS])
        stored = dict(zip(COLUMNS, connection.execute("SELECT * FROM t").fetchone(), strict=True))
        found = compile_filter(expression, Columns())
        (truth,) = connection.execute(f"SELECT {found.sql} FROM t", found.parameters).fetchone()
    assert (None if truth is None else bool(truth)) is meant(stored)


@given(st.text(max_size=30) | st.text("ab1.5 ()<>=+-*'is notadrlike,%p9", max_size=30))
def test_any_text_compiles_to_sql_or_is_a_usage_error(text):
    with contextlib.suppress(UsageError):
        truth_of(text, ROW)
