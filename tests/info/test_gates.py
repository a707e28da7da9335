import json
from pathlib import Path

import numpy as np
import pytest

from pidlab import InvalidRequest
from pidlab.info import gate, gates

CASES = json.loads((Path(__file__).parents[1] / "golden" / "pid_gates.json").read_text())["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_gates_equal_the_published_pmfs(case):
    expected = np.zeros(case["shape"])
    for x1, x2, y, p in case["pmf"]:
        expected[x1, x2, y] = p
    found = gate(case["name"])
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-15


def test_every_gate_has_a_one_line_description():
    assert set(gates()) == {case["name"] for case in CASES}
    assert all(about and "\n" not in about for about in gates().values())


def test_aliases_of_gates():
    assert np.array_equal(gate("copy"), gate("cat"))
    assert np.array_equal(gate("syn"), gate("xor"))


def test_an_unknown_gate_suggests_the_nearest_names():
    with pytest.raises(InvalidRequest, match=r"unknown gate 'adn': did you mean .*'and'"):
        gate("adn")
