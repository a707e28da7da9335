import re
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pidlab.generators
from pidlab import InvalidRequest
from pidlab.generators import Gate, Generator
from pidlab.registry import look_up, parse, scan


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


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("f(a=1e999)", "not a finite number"),
        ("f(-1e999)", "not a finite number"),
        ("f(a=[1, (2, {'k': 1e999})])", "not a finite number"),
        ("f(a={1, 2})", "is a set; use a list"),
        ("f(a=2j)", "is a complex"),
        ("f(a=...)", "is a ellipsis"),
        ("f(a=b'x')", "is a bytes"),
        ("f(a=nan)", "expected plain values"),
        ("f(a=" + "9" * 5000 + ")", "expected plain values"),
        ("f(" + "[" * 100_000 + "]" * 100_000 + ")", "expected plain values"),
    ],
)
def test_arguments_without_a_canonical_spelling_are_refused(text, why):
    with pytest.raises(InvalidRequest, match=why) as caught:
        parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_equal_references_have_one_spelling():
    one, other = parse("f( b={'y': 1, 'x': [1,2]}, a = 0.10)"), parse("f(a=.1, b={'x':[1, 2], 'y':1})")
    assert one == other
    assert hash(one) == hash(other)
    assert str(one) == "f(a=0.1, b={'x': [1, 2], 'y': 1})"
    assert parse(str(one)) == one


def test_changing_an_argument_does_not_change_the_reference():
    reference = parse("f([1], a={'k': [2]})")
    for read in (reference.bind(["p", "a"]), reference.arguments | {"p": reference.positional[0]}):
        read["p"].append(9)
        read["a"]["k"].append(9)
    assert str(reference) == "f([1], a={'k': [2]})"
    assert parse("f([1], a={'k': [2]})").bind(["p", "a"]) == {"p": [1], "a": {"k": [2]}}


@pytest.mark.parametrize(
    "text", [" " * 200_000 + "f(" + " " * 200_000, "f(" + "( " * 50_000, "f" * 200_000 + ")"]
)
def test_long_texts_are_parsed_in_linear_time(text):
    with pytest.raises(InvalidRequest):
        parse(text)


def test_hints_correct_names_of_files_and_of_other_spellings(tmp_path):
    (tmp_path / "my_loss.py").write_text("import torch\nclass Mine(torch.nn.Module):\n    pass\n")
    for kind, name, known, hint in (
        ("objective", "CoMM", ["comm", "cross"], "did you mean 'comm'?"),
        ("objective", "factorcl_ssl", ["factorcl-ssl", "comm"], "did you mean 'factorcl-ssl'?"),
        ("objective", str(tmp_path / "my_loss.py"), ["comm"], "my_loss.py:Mine"),
        ("objective", "missing.py", ["comm"], "write missing.py:MyLoss"),
        ("generator", "missing.npz", ["atoms"], "write arrays('missing.npz')"),
        ("generator", "rows.csv", ["atoms"], "arrays('rows.csv')"),
        ("setting", "lr", ["layers", "rate"], "did you mean 'rate'?"),
        ("setting", "temperature", ["rate", "steps"], "known: rate, steps"),
    ):
        with pytest.raises(InvalidRequest, match=re.escape(hint)):
            look_up(kind, name, dict.fromkeys(known))


def test_plug_ins_that_raise_do_not_affect_others(monkeypatch):
    def failing():
        raise SystemExit(0)

    class Good(Gate):
        name = "good"

    points = [
        SimpleNamespace(name="bad", value="bad:Bad", load=failing),
        SimpleNamespace(name="number", value="bad:number", load=lambda: 3),
        SimpleNamespace(name="good", value="good:Good", load=lambda: Good),
    ]
    monkeypatch.setattr("pidlab.registry.entry_points", lambda group: points)
    catalog = scan(pidlab.generators, Generator)
    assert catalog["good"] is Good
    assert "bad" not in catalog
    assert set(catalog.failures) == {"bad", "number"}
    for name, why in (("bad", "SystemExit"), ("number", "is not a class")):
        with pytest.raises(InvalidRequest, match=f"{name}' cannot be loaded: .*{why}"):
            look_up("generator", name, catalog)
