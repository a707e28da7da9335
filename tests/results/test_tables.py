"""Tables of captured bits in all formats."""

import io

import pandas as pd
import pytest
from swept import DIRECTIONS, table

from pidlab import InvalidRequest
from pidlab.results.tables import (
    captured_table,
    format_table,
    notebook,
    to_csv,
    to_html,
    to_latex,
    to_markdown,
)


def rows():
    found = table(points=(0.0, 1.0))
    found.loc[found["objective"] == "comm", "captured"] *= 1.1
    return found


def test_means_and_half_widths():
    frame = pd.read_csv(io.StringIO(to_csv(captured_table(rows(), DIRECTIONS))))
    assert frame["objective"].tolist() == ["truth", "untrained", "supervised", "cross", "comm"] * 2
    cross = frame[(frame["objective"] == "cross") & (frame["unique1"] == 1.0)].iloc[0]
    assert cross["synergy [bits]"] == pytest.approx(0.6)
    assert cross["synergy ± [bits]"] == pytest.approx(0.2484, abs=1e-4)  # 4.3027 * .1 / sqrt(3)
    assert frame.loc[5, "unique2 [bits]"] == 1.0
    assert frame.loc[0, "unique2 [bits]"] == 0.0


def test_the_best_value_is_bold_but_never_floor_or_ceiling():
    found = rows()
    found.loc[found["objective"] == "supervised", "captured"] = 0.9
    found.loc[found["objective"] == "untrained", "captured"] = 0.3
    for row in captured_table(found, DIRECTIONS).rows:
        assert all(cell.best for cell in row.cells[::3]) == (row.objective == "comm")
    lines = [" ".join(line.split()) for line in to_markdown(captured_table(found, DIRECTIONS)).splitlines()]
    assert (
        lines[0]
        == "| unique1 | objective | "
        + " | ".join(f"{term} [bits]" for term in ("redundant", "unique1", "unique2", "synergy"))
        + " |"
    )
    comm = "| 1 | CoMM | " + " | ".join(["**0.66 ± 0.27**"] * 4) + " |"
    assert lines[-1] == comm


@pytest.mark.parametrize("others", [0, 1])
def test_the_test_against_the_floor_is_corrected_for_the_number_of_objectives(others):
    found = rows()
    found.loc[found["objective"] == "untrained", "captured"] = 0.47
    found = found if others else found[found["objective"] != "cross"]
    # p of CoMM is just below 0.05 alone and twice as large with another objective in the column.
    cells = next(row.cells for row in captured_table(found, DIRECTIONS).rows if row.objective == "comm")
    assert cells[0].best == (others == 0)


@pytest.mark.parametrize(("floor", "best"), [(0.47, True), (0.48, False), (None, True)])
def test_the_best_value_is_above_the_floor_if_there_is_one(floor, best):
    found = rows()
    found = found[found["objective"] != "cross"]
    found.loc[found["objective"] == "untrained", "captured"] = floor
    found = found if floor else found[found["objective"] != "untrained"]
    # 0.55, 0.66, 0.77 of three seeds lie above 0.66 - 2.9200 * 0.11 / sqrt(3) = 0.4746.
    cells = next(row.cells for row in captured_table(found, DIRECTIONS).rows if row.objective == "comm")
    assert cells[0].best == best


def test_the_difference_to_the_floor_is_paired_by_seed():
    found = rows()
    mine = found["objective"] == "untrained"
    found.loc[mine, "captured"] = found.loc[found["objective"] == "comm", "captured"].to_numpy() - 0.01
    cells = next(row.cells for row in captured_table(found, DIRECTIONS).rows if row.objective == "comm")
    assert cells[0].best  # intervals of the means overlap, but every seed is above its own floor


def test_no_value_is_best_where_the_truth_is_zero():
    for row in captured_table(rows(), DIRECTIONS).rows:
        if row.point == {"unique1": 0.0}:
            assert not row.cells[1].best


def test_latex_uses_booktabs_units_and_escapes():
    found = rows().assign(objective=lambda t: t["objective"].replace("comm", "my_loss.py:Mine{50%_}"))
    found.loc[found["objective"] == "untrained", "captured"] = 0.3
    text = to_latex(captured_table(found, DIRECTIONS, at={"unique": 1}))
    for part in (r"\toprule", r"\midrule", r"\bottomrule", r"$U_1$ [bits]", r"Mine\{50\%\_\}"):
        assert part in text
    assert r"$\mathbf{0.66 \pm 0.27}$" in text
    assert {line.count("&") for line in text.splitlines() if line.endswith(r"\\")} == {4}


def test_a_single_seed_has_no_interval_and_a_missing_readout_no_number():
    one = table(points=(1.0,), seeds=(0,), readouts=("z1", "z12"))
    one.loc[one["objective"] == "untrained", "captured"] = 0.4
    one = one[(one["objective"] != "cross") | (one["readout"] == "z12")]
    only = one[one["term"] == "redundant"].assign(term="y")
    text = " ".join(to_markdown(captured_table(only)).split())
    assert "I(z1;y) [bits]" in text
    assert "| CLIP (cross) | | 0.50 |" in text
    assert "±" not in text


def test_two_seeds_have_no_interval():
    assert "±" not in to_markdown(captured_table(table(points=(1.0,), seeds=(0, 1))))


def test_names_of_objectives_and_their_order():
    captured = captured_table(rows(), DIRECTIONS, order=["comm"], labels={"comm": "Ours"}, at={"unique": 1})
    assert [row.label for row in captured.rows][:3] == ["truth", "Ours", "untrained (floor)"]
    assert pd.read_csv(io.StringIO(to_csv(captured)))["objective"].tolist()[1] == "comm"


def test_an_unknown_format_is_refused():
    with pytest.raises(InvalidRequest, match="did you mean 'latex'"):
        format_table(captured_table(table(), DIRECTIONS), "latec")


def test_notebooks_show_three_points_and_escape_names():
    found = rows().assign(objective=lambda t: t["objective"].replace("cross", "<b>"))
    assert "&lt;b&gt;" in to_html(captured_table(found, DIRECTIONS))
    shown = notebook(table(points=(0.0, 0.25, 0.5, 0.75, 1.0)), DIRECTIONS, "runs/x", 2)
    assert "3 of 5 points" in shown
    assert "60 runs, 2 failed" in shown
    assert "no rows" in notebook(table().iloc[:0], DIRECTIONS, "runs/x", 0)


def two_probes():
    """Rows of the best probe, and of a linear one that reads half as much, with accuracies."""
    best = rows().assign(accuracy=0.9, balanced_accuracy=0.8)
    linear = best.assign(probe="linear", headline=False, captured=best["captured"] / 2, accuracy=0.6)
    return pd.concat([best, linear], ignore_index=True)


def test_probes_stand_side_by_side():
    made = captured_table(two_probes(), DIRECTIONS, probes=("best", "linear"), terms=("synergy",))
    frame = pd.read_csv(io.StringIO(to_csv(made)))
    measured = frame[frame["objective"] != "truth"]
    best, linear = measured["synergy (best) [bits]"], measured["synergy (linear) [bits]"]
    assert (linear == best / 2).all()
    assert (best > 0).all()
    assert "$S$ (linear) [bits]" in to_latex(made)
    only = captured_table(two_probes(), DIRECTIONS, probes=("linear",), terms=("synergy",))
    assert [row.cells[0].mean for row in only.rows if row.objective == "comm"] == pytest.approx([0.33, 0.33])


@pytest.mark.parametrize(("probe", "expected"), [("best", 0.9), ("linear", 0.6)])
def test_accuracies_have_no_truth(probe, expected):
    made = captured_table(two_probes(), DIRECTIONS, probes=(probe,), quantity="accuracy")
    frame = pd.read_csv(io.StringIO(to_csv(made)))
    assert "truth" not in set(frame["objective"])
    assert (frame["synergy [accuracy]"] == expected).all()


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"probes": ("experts",)}, "--probe experts: no such probe in the results"),
        ({"quantity": "acuracy"}, "--quantity acuracy: did you mean 'accuracy'"),
        ({"quantity": "accuracy"}, "--quantity accuracy: these results have no accuracies"),
    ],
)
def test_unknown_probes_and_quantities_are_refused(choice, message):
    with pytest.raises(InvalidRequest, match=message):
        captured_table(rows(), DIRECTIONS, **choice)
