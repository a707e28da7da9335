import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab import InvalidRequest
from pidlab.sweeps.axes import parse_axis, parse_values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0.5", (0.5,)),
        ("0..1", tuple(i / 10 for i in range(11))),
        ("1..0", tuple(i / 10 for i in range(10, -1, -1))),
        ("0..1:5", (0.0, 0.25, 0.5, 0.75, 1.0)),
        ("0..20:6", (0.0, 4.0, 8.0, 12.0, 16.0, 20.0)),
        ("0,0.25,1", (0.0, 0.25, 1.0)),
        (" 1e-3 .. 2 :2", (0.001, 2.0)),
        ("1..1:1", (1.0,)),
        ("-1", (-1.0,)),
    ],
)
def test_axis_grammar(text, values):
    assert parse_axis("unique", text, 11) == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0:1:11", "0..1:11"),
        ("0..1:0", "0 points"),
        ("0..1:1", "1 points"),
        ("0..1:-3", "-3 points"),
        ("0..1:x", "'x'"),
        ("0..1:2.5", "'2.5'"),
        ("0..", "a range has two ends"),
        ("..1", "a range has two ends"),
        ("", "''"),
        ("a", "'a'"),
        ("0,,1", "''"),
        ("0,1,0", "twice"),
        ("1..1:3", "twice"),
        ("nan", "finite"),
        ("0..inf", "finite"),
        ("0;1", "'0;1'"),
        ("0..1..2", "'1..2'"),
    ],
)
def test_malformed_axes_are_refused_by_name_in_one_line(text, says):
    with pytest.raises(InvalidRequest) as caught:
        parse_axis("unique", text, 11)
    message = str(caught.value)
    assert says in message
    assert message.startswith("unique ")
    assert "\n" not in message


@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(2, 50))
def test_ranges_include_their_ends_and_are_even(a, b, n):
    text = f"{a:.6f}..{b:.6f}:{n}"
    first, last = float(f"{a:.6f}"), float(f"{b:.6f}")
    if first == last:
        return
    values = parse_axis("x", text, 11)
    assert len(values) == n
    assert values[0] == pytest.approx(first, abs=1e-11)
    assert values[-1] == pytest.approx(last, abs=1e-11)


def test_words_are_allowed_only_for_parameters_that_are_not_terms():
    assert parse_values("views", "task,noise", 11) == ("task", "noise")
    assert parse_values("noise", "0..1:2", 11) == (0.0, 1.0)
    with pytest.raises(InvalidRequest):
        parse_axis("views", "task,noise", 11)
    with pytest.raises(InvalidRequest, match="twice"):
        parse_values("views", "task,task", 11)
