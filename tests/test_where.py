import contextlib
import math
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfkit.errors import UsageError
from perfkit.where import evaluate, names_in, parse, to_sql

COLUMNS = ("a", "b", "model", "tag one")
NAMES = {name: f'"{name}"' for name in COLUMNS}
ROW = {"a": 2, "b": 0.25, "model": "qwen", "tag one": None}


def kept_by_sqlite(expression: str, row: dict) -> bool | None:
    sql, parameters = to_sql(parse(expression), NAMES)
    connection = sqlite3.connect(":memory:")
    connection.execute('CREATE TABLE t (a INTEGER, b REAL, model TEXT, "tag one")')
    connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", [row[name] for name in COLUMNS])
    (truth,) = connection.execute(f"SELECT {sql} FROM t", parameters).fetchone()
    connection.close()
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
    ],
)
def test_a_condition_means_the_same_here_and_in_sqlite(expression, truth):
    assert evaluate(parse(expression), ROW) is truth
    assert kept_by_sqlite(expression, ROW) is truth


@pytest.mark.parametrize(
    ("expression", "advice"),
    [
        ("a > 1 & b > 1", "'&' at character 7 .*: write 'and'"),
        ("a > 1 | b > 1", "write 'or'"),
        ("~a > 1", "write 'not'"),
        ("a > 1 && b > 1", "write 'and'"),
        ("a = 'open", "never closed"),
        ("a > 5 sec", r"or a unit \(ns, us"),
        ("a", "a value alone is no condition"),
        ("a > 1 and b", "a value alone is no condition"),
        ("(a > 1) + 2 > 1", "a condition is no value"),
        ("(a > 1) = (b > 1)", "a condition is no value"),
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
        parse(expression)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(UsageError, match=r"nothing is called 'ttftt'; did you mean 'ttft'\?"):
        to_sql(parse("ttftt > 1"), {"ttft": "x", "tpot": "y"})


def test_names_are_case_sensitive():
    with pytest.raises(UsageError, match="nothing is called 'TTFT'"):
        to_sql(parse("TTFT > 1"), {"ttft": "x"})


def test_a_unit_gives_the_nearest_float():
    assert evaluate(parse("a = 231ms"), {"a": 0.231}) is True
    assert evaluate(parse("a = 7us"), {"a": 7e-6}) is True


def test_the_names_of_an_expression_are_known():
    assert names_in(parse("a + 1 < b < 2 or model in ('x') or not `tag one` is null")) == set(COLUMNS)


def test_texts_travel_as_parameters():
    sql, parameters = to_sql(parse("model = '''; DROP TABLE result; --'"), NAMES)
    assert "DROP" not in sql
    assert parameters == ["'; DROP TABLE result; --"]


def test_a_long_list_of_items_is_allowed():
    expression = f"a in ({', '.join(map(str, range(5000)))})"
    assert kept_by_sqlite(expression, ROW) is True


def test_a_nan_is_missing():
    assert evaluate(parse("a > 1"), {"a": math.nan}) is None
    assert evaluate(parse("a is null"), {"a": math.nan}) is True


# Any expression, any row ---------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
numbers = st.integers(-5, 5) | st.floats(-4, 4, width=16) | st.sampled_from([2**62, 1e300, -0.5])
cells = st.none() | numbers | texts
quoted = texts.map(lambda text: "'" + text.replace("'", "''") + "'")
positive = st.integers(0, 5).map(str) | st.sampled_from(["0.5", "1.5e0", "250ms", "50%", "1min", "9e999"])
names = st.sampled_from(["a", "b", "model", "`tag one`"])


def arithmetic(inner):
    side = inner.map(lambda text: f"({text})")
    return st.tuples(side, st.sampled_from("+-*/"), side).map(" ".join) | side.map(lambda text: f"-{text}")


values = st.recursive(names | positive, arithmetic, max_leaves=4) | quoted
comparisons = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
predicates = (
    st.tuples(values, comparisons, values).map(" ".join)
    | st.tuples(values, comparisons, values, comparisons, values).map(" ".join)
    | values.map(lambda text: f"{text} is null")
    | st.tuples(values, st.lists(quoted | positive, min_size=1, max_size=3)).map(
        lambda pair: f"{pair[0]} not in ({', '.join(pair[1])})"
    )
)
conditions = st.recursive(
    predicates,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})")
        | inner.map(lambda text: f"not ({text})")
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries({"a": st.none() | numbers, "b": st.none() | numbers, "model": cells, "tag one": cells})


@settings(max_examples=400, deadline=None)
@given(conditions, rows)
def test_sqlite_and_plain_evaluation_agree_on_any_expression_and_row(expression, row):
    sql, parameters = to_sql(parse(expression), NAMES)
    connection = sqlite3.connect(":memory:")
    connection.execute('CREATE TABLE t (a, b INTEGER, model TEXT, "tag one" REAL)')
    connection.execute("INSERT INTO t VALUES (?, ?, ?, ?)", [row[name] for name in COLUMNS])
    stored = dict(zip(COLUMNS, connection.execute("SELECT * FROM t").fetchone(), strict=True))
    (truth,) = connection.execute(f"SELECT {sql} FROM t", parameters).fetchone()
    connection.close()
    assert evaluate(parse(expression), stored) is (None if truth is None else bool(truth))


@settings(max_examples=300)
@given(st.text(max_size=30) | st.text("ab1.5 ()<>=+-*'is notadr,%", max_size=30))
def test_any_text_parses_or_is_a_usage_error(text):
    with contextlib.suppress(UsageError):
        parse(text)
