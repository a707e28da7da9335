from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab import InvalidRequest
from pidlab.registry import parse


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("comm", "comm", {}),
        ("cross+self", "cross+self", {}),
        ("comm()", "comm", {}),
        (" comm( temperature = 0.1 ) ", "comm", {"temperature": 0.1}),
        ("f(a=1, b=(1, 2), c=None, d=-2.5)", "f", {"a": 1, "b": (1, 2), "c": None, "d": -2.5}),
    ],
)
def test_valid_references(text, name, arguments):
    reference = parse(text)
    assert (reference.name, reference.arguments) == (name, arguments)
    assert parse(str(reference)) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        "()",
        "f(",
        "f(a)",
        "f(a=b)",
        "f(1)(2)",
        "f({[]: 1})",
        "f(a=open('x'))",
        "f(**{})",
        "f(a=1))",
        "f(a=1)(b=2)",
        "f(a=1 if 1 else 2)",
    ],
)
def test_invalid_references_are_refused_in_one_line(text):
    with pytest.raises(InvalidRequest) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


def test_positional_arguments_are_bound_in_order():
    assert parse("gate('and')").bind(["pmf", "noise"]) == {"pmf": "and"}
    assert str(parse("gate( 'and' , noise=1)")) == "gate('and', noise=1)"
    for text, says in (
        ("f(1, 2, 3)", "at most 2"),
        ("f(1, a=2)", "a is given twice"),
        ("f(c=1)", "no argument 'c'"),
    ):
        with pytest.raises(InvalidRequest, match=says):
            parse(text).bind(["a", "b"])


@given(st.text())
def test_parse_raises_only_invalid_requests(text):
    with suppress(InvalidRequest):
        parse(text)
