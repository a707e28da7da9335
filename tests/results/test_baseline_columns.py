"""Floors and ceilings of rows, and what is compared with them."""

import numpy as np
import pandas as pd
from made_results import results

from pidlab.results.baseline_columns import join_baselines
from pidlab.results.means import above_floor, mean_over_seeds
from pidlab.results.panels import headlines, read_by

COLUMNS = ("readout", "term", "quantity", "probe", "captured")


def with_floors(linear, mlp, ceiling=1.0):
    """Made-up results in which each probe reads the same floor at all points."""
    table = results().table
    floor = np.where(table["probe"] == "linear", linear, mlp)
    return table.assign(floor=floor, ceiling=ceiling)


def test_rows_are_joined_by_readout_term_and_probe():
    rows = [("z12", "synergy", "mi", "mlp", 0.9), ("z12", "synergy", "mi", "linear", 0.2)]
    floor = [("z12", "synergy", "mi", "linear", 0.01), ("z12", "synergy", "mi", "mlp", 0.05)]
    ceiling = [("z1", "synergy", "mi", "mlp", 0.7)]
    joined = join_baselines(rows, [floor, ceiling], COLUMNS)
    assert [row[-2:] for row in joined] == [(0.05, None), (0.01, None)]


def test_only_mutual_information_has_baselines():
    rows = [("z12", "synergy", "broja", "mlp", 0.9)]
    assert join_baselines(rows, [rows, []], COLUMNS)[0][-2:] == (None, None)


def test_a_headline_is_compared_with_what_the_best_probe_reads_from_the_floor():
    heads = headlines(with_floors(linear=0.3, mlp=0.1))
    assert set(heads["probe"]) == {"mlp"}
    assert (heads["floor"] == 0.3).all()
    chosen = headlines(read_by(with_floors(linear=0.3, mlp=0.1), "mlp"))
    assert (chosen["floor"] == 0.1).all()


def test_accuracies_have_no_baselines():
    table = with_floors(0.3, 0.1).assign(accuracy=0.9)
    assert read_by(table, quantity="accuracy")[["floor", "ceiling"]].isna().all(axis=None)


def test_the_floor_of_its_own_architecture_decides_and_not_the_objective_untrained():
    table = headlines(results().table).query("term == 'redundant'")
    comm = (table["objective"] == "comm").to_numpy()
    assert not above_floor(table, ["unique1"]).any()  # all objectives read the same bits
    matched = table.assign(floor=np.where(comm, table["captured"] - 0.1, np.nan))
    is_comm = mean_over_seeds(matched, ["unique1"])["objective"] == "comm"
    assert above_floor(matched, ["unique1"]).tolist() == is_comm.tolist()


def test_means_of_baselines_are_over_seeds():
    table = headlines(with_floors(0.3, 0.1))
    means = mean_over_seeds(table.assign(floor=0.1 * table["seed"]), ["unique1"])
    assert np.allclose(means["floor"], 0.1)
    assert np.allclose(means["ceiling"], 1.0)
    assert not {"floor", "ceiling"} & set(mean_over_seeds(headlines(results().table), ["unique1"]))
    assert isinstance(means, pd.DataFrame)
