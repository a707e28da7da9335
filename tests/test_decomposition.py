import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab import Decomposition

bits = st.floats(0, 8)
decompositions = st.builds(Decomposition, bits, bits, bits, bits, gap=st.floats(0, 1e-6))


@given(decompositions)
def test_derived_quantities_agree_with_each_other(d):
    assert d.total == pytest.approx(d.mi1 + d.conditional_mi2)
    assert d.total == pytest.approx(d.mi2 + d.conditional_mi1)
    assert d.co_information == pytest.approx(d.mi1 + d.mi2 - d.total, abs=1e-12)


@given(decompositions, decompositions)
def test_independent_parts_add(a, b):
    both = a + b
    for name in ("redundant", "unique1", "unique2", "synergy", "total", "mi1", "co_information", "gap"):
        assert getattr(both, name) == pytest.approx(getattr(a, name) + getattr(b, name), abs=1e-12)
    assert both == b + a


def test_decompositions_of_other_measures_do_not_add():
    with pytest.raises(ValueError, match="additive"):
        Decomposition(1, 0, 0, 0, measure="mmi") + Decomposition(1, 0, 0, 0, measure="mmi")
    with pytest.raises(ValueError, match="'broja' and a 'mmi'"):
        Decomposition(1, 0, 0, 0) + Decomposition(1, 0, 0, 0, measure="mmi")


def test_batches_keep_their_shape():
    d = Decomposition(*(np.full((2, 3), float(i)) for i in range(4)), gap=np.zeros((2, 3)))
    assert d.total.shape == (2, 3)
    assert np.all(d.total == 6.0)
    assert d == Decomposition(*(np.full((2, 3), float(i)) for i in range(4)), gap=np.zeros((2, 3)))


def test_repr_is_readable_and_fields_are_frozen():
    d = Decomposition(1.0, 0.25, 0.0, 0.5)
    text = "Decomposition(redundant=1, unique1=0.25, unique2=0, synergy=0.5 bits; broja by design, gap 0)"
    assert repr(d) == text
    with pytest.raises(AttributeError):
        d.redundant = 2.0


def test_to_dict_is_json_with_the_public_keys():
    document = json.loads(json.dumps(Decomposition(1.0, 0.25, 0.0, 0.5).to_dict()))
    assert document == {
        "redundant": 1.0,
        "unique1": 0.25,
        "unique2": 0.0,
        "synergy": 0.5,
        "total": 1.75,
        "mi1": 1.25,
        "mi2": 1.0,
        "co_information": 0.5,
        "measure": "broja",
        "gap": 0.0,
        "how": "design",
    }


def test_a_notebook_shows_a_table_of_bits():
    shown = Decomposition(0.5, 0.25, 0.0, 1.0, how="solver")._repr_html_()
    for part in ("<th>redundant [bits]</th>", "<td>0.25</td>", "<td>1.75</td>", "broja by solver"):
        assert part in shown
    batch = Decomposition(*np.zeros((4, 12)))._repr_html_()
    assert batch.count("<tr>") == 1 + 10
    assert "10 of 12 shown" in batch
