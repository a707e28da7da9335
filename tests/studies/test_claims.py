"""The grammar of claims: what is read is what was written, and what cannot be read says where."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab import InvalidRequest
from pidlab.studies.claims import (
    FUNCTIONS,
    Call,
    Claim,
    Negative,
    Number,
    Operation,
    parse_claim,
)

NAMES = st.from_regex(r"[a-z][a-z_.0-9]{0,8}", fullmatch=True)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-1000, 1000).map(float)
TEXTS = st.text(string.ascii_letters + string.digits + " +-_().,=:'", max_size=12) | st.text(
    string.ascii_letters + '"', max_size=5
)
PAIRS = st.dictionaries(NAMES, NUMBERS | TEXTS, max_size=3).map(lambda pairs: tuple(pairs.items()))
LEAVES = NUMBERS.map(abs).map(Number) | st.builds(Call, st.sampled_from(FUNCTIONS), PAIRS)
SUMS = st.recursive(
    LEAVES,
    lambda inner: st.builds(Negative, inner) | st.builds(Operation, st.sampled_from("+-*/"), inner, inner),
    max_leaves=8,
)


@st.composite
def claims(draw):
    comparison = draw(st.sampled_from(["<=", ">=", "<", ">", "=="]))
    within = abs(draw(NUMBERS)) if comparison == "==" else None
    everywhere = draw(st.booleans())
    return Claim(draw(SUMS), comparison, draw(SUMS), within, () if everywhere else draw(PAIRS), everywhere)


@given(claims())
def test_a_claim_is_read_as_it_is_written(claim):
    assert parse_claim(str(claim)) == claim


@given(st.text(max_size=60) | st.text("captured(term=').<=1 at\"everywhere-+*/", max_size=60))
def test_any_text_is_read_or_refused_in_a_line(text):
    try:
        said = str(parse_claim(str(parse_claim(text)))) and "column"
    except InvalidRequest as error:
        said = str(error)
    assert "column" in said


def test_sums_and_products_bind_as_usual():
    claim = parse_claim("1 - 2 - 3 * 4 / 5 < -(6 + 7) at a=1, b=word")
    one, two, three, four, five, six, seven = (Number(float(n)) for n in range(1, 8))
    product = Operation("/", Operation("*", three, four), five)
    assert claim.left == Operation("-", Operation("-", one, two), product)
    assert claim.right == Negative(Operation("+", six, seven))
    assert claim.at == (("a", 1.0), ("b", "word"))


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "expected a number or one of captured"),
        ("captured", 9, "expected '('"),
        ("capturd(term='a') <= 1", 1, "did you mean 'captured'"),
        ("__import__('os') <= 1", 1, "unknown function '__import__'"),
        ("captured(term='a').x <= 1", 19, "cannot read '.x <= 1'"),
        ("captured(term='a' <= 1", 19, "expected ',' or ')', found <="),
        ("captured(term=) <= 1", 15, "expected a number, a word or a text"),
        ("captured('a') <= 1", 10, "expected a column's name, found"),
        ("captured(term='a', term='b') <= 1", 20, "term is given twice"),
        ("captured(term='a)<= 1", 15, "cannot read"),
        ("1 <= 2 <= 3", 8, "expected 'at', 'everywhere' or the end, found <="),
        ("1 == 2", 7, "expected 'within'"),
        ("1 <= 2 within 3", 8, "expected 'at'"),
        ("1 = 2", 3, "expected a comparison"),
        ("1 <= 2 at", 10, "expected a column's name, found the end"),
        ("1 <= 2 everywhere at a=1", 19, "expected 'at', 'everywhere' or the end"),
        ("1 <= 1e999", 6, "no finite number"),
        ("1 <= " + "(" * 60 + "1", 56, "more than 50 deep"),
        ("1" + "+1" * 5000 + "<= 1", 501, "more than 500 words"),
    ],
)
def test_what_cannot_be_read_says_where(text, column, says):
    with pytest.raises(InvalidRequest) as refused:
        parse_claim(text)
    assert f"column {column}:" in str(refused.value)
    assert says in str(refused.value)
