"""Sweeps over the field's own generators."""

import numpy as np
import pandas as pd
import pytest
import torch
from swept import run_and_draw

from pidlab import capture
from pidlab.defaults import Training
from pidlab.generators import load_generator
from pidlab.generators.arrays import export_arrays
from pidlab.generators.factorcl_data import FactorCL
from pidlab.results.panels import panels
from pidlab.sweeps import Axis, Request

pytestmark = pytest.mark.usefixtures("few_rows")

TINY = Training(views="task", steps=3, batch=32, hidden=16)


def request(generator, *axes, **more):
    settings = {"objectives": ("untrained", "cross"), "seeds": 1, "training": TINY, "probes": "quick"}
    return Request(generator=generator, axes=axes, **(settings | more))


def test_a_parameter_with_the_name_of_a_term_has_its_own_column(tmp_path):
    asked = request("factorcl", Axis(("unique1",), (0.0, 4.0, 12.0)))
    assert asked.columns == {"unique1": "factorcl.unique1"}
    assert asked.axis_groups == [("factorcl.unique1",)]
    result = run_and_draw(asked, tmp_path)
    table = pd.read_csv(tmp_path / "results.csv")
    assert not result.failures
    for features, rows in table.groupby("factorcl.unique1"):
        truth = FactorCL(unique1=int(features)).truth
        assert set(rows["unique1"]) == {truth.unique1}
        assert rows.groupby("readout")["truth"].first().to_dict() == pytest.approx(
            {"z1": truth.mi1, "z2": truth.mi2, "z12": truth.total}
        )
    drawn = pd.read_csv(tmp_path / "captured.csv")
    # 0 and 4 features hold the same unique bits, none, and are two points all the same
    assert (drawn.groupby(["objective", "readout"]).size() == 3).all()
    assert (tmp_path / "captured.png").stat().st_size > 500


def test_a_parameter_that_sets_the_bits_of_a_term_uses_its_column():
    for generator in ("atoms", "gaussian"):
        asked = request(generator, Axis(("unique1", "unique2"), (0.2, 0.4)))
        assert asked.axis_groups == [("unique1", "unique2")]
    assert request("modular", Axis(("synergy",), (0.2, 0.4))).axis_groups == [("synergy",)]


@pytest.mark.parametrize(
    ("generator", "terms"),
    [
        ("gaussian", ["redundant", "unique1", "unique2", "synergy"]),
        ("disentangledssl(3, 0.2, 4, 8)", ["redundant", "unique1", "unique2"]),
        ("synib", ["y", "y", "y"]),
    ],
)
def test_figures_show_the_targets_of_the_generator(tmp_path, generator, terms):
    result = run_and_draw(request(generator), tmp_path)
    assert not result.failures
    assert [panel.term for panel in panels(result.table)[1]] == terms
    assert (tmp_path / "captured.png").exists()


def test_data_without_ground_truth_have_none_in_results(tmp_path):
    np.savez(tmp_path / "rows.npz", **export_arrays(load_generator("symile(0.2)"), 2000))
    training = Training(steps=3, batch=32, hidden=16, views="generic")
    result = run_and_draw(request(f"arrays({str(tmp_path / 'rows.npz')!r})", training=training), tmp_path)
    assert not result.failures
    assert result.table[["truth", "redundant", "synergy"]].isna().all(axis=None)
    assert result.table["captured"].notna().all()
    assert (tmp_path / "captured.png").exists()


def test_finite_rows_are_probed_once_each(tmp_path):
    n = 600
    numbers = np.arange(n, dtype=np.float32)[:, None]
    np.savez(tmp_path / "rows.npz", x1=numbers, x2=numbers, y=np.arange(n) % 2)
    made, met = load_generator(f"arrays({str(tmp_path / 'rows.npz')!r})"), []

    def represent(x1, x2):
        met.append(x1[:, 0].int().tolist())
        return {"z1": x1, "z12": torch.cat([x1, x2], 1)}

    table = capture(represent, made, probes="quick")
    assert table["truth"].isna().all()
    assert [len(rows) for rows in met] == [made.rows(part) for part in ("probe", "validation", "test")]
    probed = [row for rows in met for row in rows]
    assert len(set(probed)) == len(probed) == made.rows("eval")
    assert not set(probed) & set(made.sample(made.rows("train"), split="train").x1[:, 0].int().tolist())
