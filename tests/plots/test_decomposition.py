import pytest

from pidlab import decompose
from pidlab.decomposition import TERMS, Decomposition
from pidlab.info import gate
from pidlab.plots.decomposition import decomposition_figure, decomposition_table
from pidlab.plots.style import save


def drawn(decompositions, title=""):
    return decomposition_figure(decomposition_table(decompositions), title=title)[0]


def ends(figure):
    """Left and right ends of the terms' bars."""
    (panel,) = figure.axes
    boxes = [bar.get_bbox() for group in panel.containers for bar in group]
    return [tuple(sorted((box.x0, box.x1))) for box in boxes if box.width]


def test_terms_are_stacked_to_the_total():
    bars = ends(drawn({"a": Decomposition(0.5, 0.25, 0.0, 1.0)}))
    assert bars == [(0.0, 0.5), (0.5, 0.75), (0.75, 1.75)]


def test_negative_terms_are_drawn_to_the_left():
    found = decompose(gate("xor"), "sx")
    bars = ends(drawn({"sx": found}))
    assert len(bars) == len(TERMS)
    left, right = min(low for low, _ in bars), max(high for _, high in bars)
    assert left == pytest.approx(found.redundant)
    assert right + left == pytest.approx(found.total)


def test_files_have_the_same_bytes_each_time(tmp_path):
    for name in ("a.svg", "b.svg"):
        save(drawn({"sx": decompose(gate("and"), "sx")}, "and"), tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
