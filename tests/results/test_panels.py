import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.decomposition import TERMS
from pidlab.plots.capture import capture_figure
from pidlab.results.panels import panels


def table(readouts, terms):
    return pd.DataFrame(
        [
            {
                "objective": "comm",
                "seed": 0,
                "readout": readout,
                "term": term,
                "quantity": "mi",
                "truth": 0.5,
                "captured": 0.1 * (r + 1),
                "headline": True,
                **dict.fromkeys(TERMS, 0.25),
            }
            for r, readout in enumerate(readouts)
            for term in terms
        ]
    )


def test_a_target_per_term_shows_the_terms_of_one_readout():
    rows, divided = panels(table(("z1", "z2", "z12"), TERMS))
    assert set(rows["readout"]) == {"z12"}
    assert [panel.term for panel in divided] == list(TERMS)


def test_terms_of_three_modalities_have_panels():
    factors = ["redundant", "unique3", "synergy13", "synergy"]
    rows, divided = panels(table(("z1", "z3", "z12"), factors))
    assert set(rows["readout"]) == {"z12"}
    assert [panel.symbol for panel in divided] == ["$R$", "$U_{3}$", "$S_{13}$", "$S$"]
    figure, _ = capture_figure(table(("z12",), [f"unique{i}" for i in range(1, 13)]))
    assert figure.get_figwidth() == pytest.approx(5.5)


def test_a_target_that_is_no_term_has_a_panel_per_readout():
    results = table(("z1", "z2", "z12"), ["y"])
    figure, shown = capture_figure(results)
    assert [panel.get_title() for panel in figure.axes] == ["$I(z_{1};Y)$", "$I(z_{2};Y)$", "$I(z_{12};Y)$"]
    assert shown["mean"].tolist() == pytest.approx([0.1, 0.2, 0.3])
    _, divided = panels(table(("z12",), ["y"]))
    assert [panel.readout for panel in divided] == ["z12"]


def test_an_unknown_readout_is_refused():
    with pytest.raises(InvalidRequest, match="no headline of readout 'z3'"):
        panels(table(("z1",), TERMS), "z3")
