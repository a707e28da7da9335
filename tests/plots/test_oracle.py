import pandas as pd
import pytest

from pidlab import InvalidRequest
from pidlab.plots.oracle import oracle_figure
from pidlab.plots.style import TRUTH


def table(**losses):
    names = {"r": "R", "ru": "R+U", "scratch": "scratch", "own": "R+U+S, own fusion"}
    return pd.DataFrame(
        [
            {
                "objective": "comm",
                "seed": seed,
                "representation": names[name],
                "views": "task",
                "loss": loss + seed,
            }
            | {"captured_synergy": 0.25 * seed}
            for name, loss in losses.items()
            for seed in (0, 1, 2)
        ]
    )


def test_numbers_are_means_and_intervals_over_seeds():
    _, shown = oracle_figure(table(r=4.0, ru=3.0, scratch=3.5))
    first = shown.iloc[0]
    assert (first["representation"], first["mean"], first["seeds"]) == ("R", 5.0, 3)
    # of 0, 1, 2 the standard deviation is 1 and the 97.5 % quantile of t with 2 degrees of freedom 4.3027
    assert first["high"] - first["mean"] == pytest.approx(4.302653 / 3**0.5, abs=1e-5)
    assert first["captured_synergy"] == 0.25


def test_rows_are_oracles_first_and_the_line_is_the_lowest_of_them():
    figure, _ = oracle_figure(table(r=4.0, scratch=1.0, own=3.0))
    (panel,) = figure.axes
    assert [label.get_text() for label in panel.get_yticklabels()] == [
        "oracle: R",
        "oracle: R+U+S, own fusion",
        "trained from scratch",
    ]
    (line,) = [line for line in panel.lines if line.get_linewidth() == TRUTH["linewidth"]]
    assert line.get_xdata()[0] == 4.0  # 3 and the mean of the seeds, 1
    assert panel.get_title() == "CoMM\ntask views"
    assert [text.get_text() for text in panel.texts] == ["$S$ read", "0.25"]


def test_there_is_a_panel_per_objective_and_view_policy():
    one = table(r=1.0, ru=2.0)
    tables = [
        one.assign(objective=name, views=views)
        for name in ("cross", "comm", "x")
        for views in ("task", "noise")
    ]
    figure, shown = oracle_figure(pd.concat(tables))
    assert len(figure.axes) == 6
    assert len(shown) == 12


def test_one_seed_has_no_interval():
    _, shown = oracle_figure(table(r=1.0).query("seed == 0"))
    assert shown["low"].isna().all()


def test_an_empty_table_is_refused():
    with pytest.raises(InvalidRequest, match="no rows"):
        oracle_figure(table().reindex(columns=["objective", "views", "representation", "loss"]))


def test_the_prediction_of_the_paper_is_shaded():
    figure, _ = oracle_figure(table(r=4.0, ru=3.0, scratch=3.5).assign(objective="factorcl-ssl"))
    (panel,) = figure.axes
    (band,) = panel.patches
    rows = [label.get_text() for label in panel.get_yticklabels()]
    assert band.get_y() + band.get_height() / 2 == rows.index("oracle: R+U")
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["oracle", "trained", "lowest oracle", "predicted by the paper"]


def test_an_objective_without_a_prediction_has_no_shaded_row():
    figure, _ = oracle_figure(table(r=4.0, ru=3.0).assign(objective="supervised"))
    assert not figure.axes[0].patches
    assert "predicted by the paper" not in [text.get_text() for text in figure.legends[0].get_texts()]
