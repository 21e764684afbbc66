import pytest

from perfkit.analysis.text_table import Cell, as_html, as_text, label, number, plain


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.000123456, "0.000123"),
        (0.5, "0.500"),
        (99.96, "100.0"),
        (-12.34, "-12.3"),
        (1234567, "1,234,567"),
        (1234567.8, "1,234,568"),
        (0, "0"),
        (0.0, "0"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "inf"),
    ],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert number(value) == text


def test_a_terminal_is_not_moved_by_what_a_file_holds():
    assert plain("a\x1b]0;title\x07\nb\u202e") == "a�]0;title��b�"


def test_columns_line_up_under_wide_characters():
    lines = as_text(["run", "n"], [[label("模型"), Cell("1")], [label("abcd"), Cell("2")]]).splitlines()
    assert lines == ["run   n", "模型  1", "abcd  2"]


def test_numbers_stand_right_texts_left_and_faint_ones_carry_a_mark():
    lines = as_text(["a", "number"], [[label("x"), Cell("1", faint=True)]]).splitlines()
    assert lines == ["a  number", "x      1*"]


def test_everything_in_html_is_escaped_and_faint_is_grey():
    html = as_html(["<b>"], [[label("<script>")], [Cell("&", faint=True)]])
    assert "<b>" not in html
    assert "<script>" not in html
    assert "&amp;" in html
    assert "color:#999" in html


def test_a_table_without_rows_is_its_head():
    assert as_text(["run", "n"], []) == "run  n"
