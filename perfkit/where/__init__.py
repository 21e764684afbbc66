"""The language of ``runs.where("ttft > 231ms and model = 'qwen'")``: parsed, compiled to sqlite, or evaluated here.

::

    condition   a < x <= b     = == != <> < <= > >=, chained      and  or  not  ( )
                model in ('a', 'b')    tag not in (1, 2)          x is null    x is not null
    value       name  `odd name`  'text'  "text"  12  1.5e3  231ms  5%  true  false    + - * / ( )
    units       ns us ms s min h (seconds inside), % (a share)

A comparison with a missing value is neither true nor false, and ``not`` does not make it true: a row is kept only
when the whole condition is true. Numbers sort before texts. Text in arithmetic is missing, division by zero as well.
"""

from perfkit.where.evaluation import Truth, evaluate
from perfkit.where.parser import parse
from perfkit.where.scanner import DURATIONS, quantity
from perfkit.where.sql import to_sql
from perfkit.where.tree import Condition, Constant, Name, Value, compared, names_in

__all__ = [
    "DURATIONS",
    "Condition",
    "Constant",
    "Name",
    "Truth",
    "Value",
    "compared",
    "evaluate",
    "names_in",
    "parse",
    "quantity",
    "to_sql",
]
