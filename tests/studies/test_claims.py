"""Tests of the claim grammar: a written claim is parsed back, and errors name the column."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab import InvalidRequest
from pidlab.studies.claims import FUNCTIONS, Call, Claim, Operation, parse_claim

NAMES = st.from_regex(r"[a-z][a-z_.0-9]{0,8}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-1000, 1000).map(float)
TEXTS = st.text(string.ascii_letters + string.digits + " +-_().,=:'", max_size=12) | st.text(
    string.ascii_letters + '"', max_size=5
)
PAIRS = st.dictionaries(NAMES, NUMBERS | TEXTS, max_size=3).map(lambda pairs: tuple(pairs.items()))
LEAVES = NUMBERS.map(abs) | st.builds(Call, st.sampled_from(FUNCTIONS), PAIRS)
SUMS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(Operation, st.just("-"), st.tuples(inner))
        | st.builds(Operation, st.sampled_from("+-*/"), st.tuples(inner, inner))
    ),
    max_leaves=8,
)


@st.composite
def claims(draw):
    comparison = draw(st.sampled_from(["<=", ">=", "<", ">", "=="]))
    within = abs(draw(NUMBERS)) if comparison == "==" else None
    everywhere = draw(st.booleans())
    return Claim(draw(SUMS), comparison, draw(SUMS), within, () if everywhere else draw(PAIRS), everywhere)


def write(claim):
    within = "" if claim.within is None else f" within {claim.within!r}"
    where = " everywhere" if claim.everywhere else f" at {write_pairs(claim.at)}" if claim.at else ""
    sides = write_expression(claim.left), write_expression(claim.right)
    return f"{sides[0]} {claim.comparison} {sides[1]}{within}{where}"


def write_expression(expression):
    if isinstance(expression, Call):
        return f"{expression.function}({write_pairs(expression.arguments)})"
    if isinstance(expression, Operation):
        *left, right = (f"({write_expression(operand)})" for operand in expression.operands)
        return f" {expression.operator} ".join([*left, ""]) + right if left else f"-{right}"
    return repr(expression)


def write_pairs(pairs):
    def write_value(value):
        quote = "'" if '"' in str(value) else '"'
        return f"{quote}{value}{quote}" if isinstance(value, str) else repr(value)

    return ", ".join(f"{name}={write_value(value)}" for name, value in pairs)


def without_places(found):
    """Return a claim or expression with every place set to 0."""
    if isinstance(found, Claim):
        sides = without_places(found.left), without_places(found.right)
        return Claim(sides[0], found.comparison, sides[1], found.within, found.at, found.everywhere)
    if isinstance(found, Operation):
        return Operation(found.operator, tuple(map(without_places, found.operands)))
    return Call(found.function, found.arguments) if isinstance(found, Call) else found


@given(claims())
def test_parsing_a_written_claim_returns_the_same_claim(claim):
    assert without_places(parse_claim(write(claim))) == claim


@given(st.text(max_size=60) | st.text("captured(term=').<=1 at\"everywhere-+*/", max_size=60))
def test_any_text_is_parsed_or_refused_with_a_column(text):
    try:
        claim = parse_claim(text)
    except InvalidRequest as error:
        message = str(error)
    else:
        message = "column"
        assert without_places(parse_claim(write(claim))) == without_places(claim)
    assert "column" in message


def test_operators_have_the_usual_precedence():
    claim = without_places(parse_claim("1 - 2 - 3 * 4 / 5 < -(6 + 7) at a=1, b=word"))
    product = Operation("/", (Operation("*", (3.0, 4.0)), 5.0))
    assert claim.left == Operation("-", (Operation("-", (1.0, 2.0)), product))
    assert claim.right == Operation("-", (Operation("+", (6.0, 7.0)),))
    assert claim.at == (("a", 1.0), ("b", "word"))


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "expected a comparison such as captured"),
        ("captured", 9, "expected a comparison <= >= < > =="),
        ("captured <= 1", 1, "expected a number or one of captured"),
        ("capturd(term='a') <= 1", 1, "did you mean 'captured'"),
        ("__import__('os') <= 1", 1, "unknown function '__import__'"),
        ("'captured'() <= 1", 1, "expected a word"),
        ("captured(term='a').x <= 1", 19, "cannot read '.x <= 1'"),
        ("captured(term='a' <= 1", 9, "cannot parse \"(term='a' <=\""),
        ("captured(term=) <= 1", 15, "cannot parse ') <= 1'"),
        ("captured('a') <= 1", 10, "expected COLUMN=VALUE"),
        ("captured(*a) <= 1", 10, "expected COLUMN=VALUE"),
        ("captured(**a) <= 1", 10, "expected a word"),
        ("captured(term=1+1) <= 1", 15, "expected a number, a word or a text in quotes"),
        ("captured(term='a', term='b') <= 1", 20, "term is given twice"),
        ("captured(term='a)<= 1", 15, "cannot read"),
        ("captured(term='a''b') <= 1", 15, "expected a word or a text in quotes"),
        ("1 ** 2 <= 3", 1, "expected a number or one of"),
        ("1 <= 2 # 3", 8, "cannot read '# 3'"),
        ("1 <= 2 <= 3", 11, "expected one comparison"),
        ("1 == 2", 7, "expected 'within NUMBER'"),
        ("1 <= 2 within 3", 8, "unexpected 'within'"),
        ("1 == 2 within a", 15, "expected a number"),
        ("1 = 2", 3, "cannot parse '= 2'"),
        ("1 <= 2 at", 10, "expected COLUMN=VALUE after 'at'"),
        ("1 <= 2 at 3", 11, "expected COLUMN=VALUE"),
        ("1 <= 2 everywhere at a=1", 19, "unexpected 'at'"),
        ("1 <= 2 everywhere 3", 8, "unexpected 'everywhere'"),
        ("1 <= 1e999", 6, "not a finite number"),
        ("1 <= 1" + "0" * 400, 6, "not a finite number"),
        ("1 <= " + "(" * 250 + "1", 206, "cannot parse"),
        ("1" + "+1" * 5000 + "<= 1", 501, "more than 500 words"),
    ],
)
def test_an_invalid_claim_is_refused_with_its_column(text, column, says):
    with pytest.raises(InvalidRequest) as refused:
        parse_claim(text)
    assert f"column {column}:" in str(refused.value)
    assert says in str(refused.value)


def test_unique_stands_for_both_unique_terms():
    claim = parse_claim("captured(unique=0.5) <= 1 at unique=1")
    assert claim.at == (("unique1", 1.0), ("unique2", 1.0))
    assert claim.calls[0].rows == (("unique1", 0.5), ("unique2", 0.5))
    with pytest.raises(InvalidRequest, match="column 23: unique1 is given twice"):
        parse_claim("1 <= 2 at unique1=1,  unique=1")
