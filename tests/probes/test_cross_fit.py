"""Estimates from a user's own rows: invariant to units, and zero without information."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pidlab import InvalidRequest
from pidlab.probes import finite_probes
from pidlab.probes.cross_fit import estimate, estimate_representations
from pidlab.probes.representations import Representations, from_arrays, load_representations


def headline(z, y, test=None):
    held_out = None if test is None else Representations({"z1": test[0]}, test[1][:, None])
    result = estimate_representations(Representations({"z1": z}, y[:, None]), held_out)
    (row,) = (row for row in result.rows if row["headline"])
    return row


@pytest.fixture(scope="module")
def bit():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    return 2.0 * y[:, None] - 1.0 + 0.1 * rng.normal(size=(400, 2)), y


@pytest.fixture
def short(monkeypatch):
    """Train MLPs for few steps; tests that use it do not depend on them."""
    monkeypatch.setattr(finite_probes, "MIN_STEPS", 60)


@pytest.mark.parametrize(
    ("offset", "scale", "kind"),
    [
        (1e6, 1.0, "f4"),  # spacing 0.06
        (1e9, 1.0, "f8"),
        (0.0, 1e-42, "f8"),
        (0.0, 1e-60, "f8"),
        (1.0, 1e-9, "f8"),
        (0.0, 2e38, "f4"),
    ],
)
def test_units_and_origin_do_not_change_the_estimate(short, bit, offset, scale, kind):
    z, y = bit
    moved = (offset + scale * z).astype(kind)
    for test in (None, (moved, y)):
        assert headline(moved, y, test)["captured"] == pytest.approx(1.0, abs=0.02)


def test_noise_with_as_many_columns_as_training_rows_reads_zero(bit):
    # A linear probe on 180 rows of 180 columns is confident and wrong without a temperature. A posterior
    # within 1/8 of a fair coin has a standard error below 0.02 bit over 300 rows.
    z = np.random.default_rng(1).normal(size=(300, 180))
    assert abs(headline(z, bit[1][:300])["captured"]) < 0.05


def rare_and_held(y, share):
    """Rows with 10 of class 1, and 100 rows with the given share of class 0."""
    last = round(100 * share)
    rare = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]])
    return rare, np.concatenate([np.flatnonzero(y == 0)[:last], np.flatnonzero(y == 1)[: 100 - last]])


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_scored_rows_may_have_other_class_frequencies(short, bit, share):
    z, y = bit
    rare, held = rare_and_held(y, share)
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert headline(z[rare], y[rare], (z[held], y[held]))["captured"] == pytest.approx(entropy, abs=0.02)


def test_noise_reads_zero_where_scored_rows_have_other_class_frequencies(bit):
    y = bit[1]
    rare, held = rare_and_held(y, 0.5)
    noise = np.random.default_rng(2).normal(size=(2, 400, 2))
    # The probe overfits its 10 rows of the rare class.
    null = headline(noise[0][rare], y[rare], (noise[1][held], y[held]))
    assert null["captured"] == pytest.approx(0, abs=0.1)


def test_the_public_function_takes_arrays_tensors_and_strings(short, bit):
    z, y = bit
    words = np.array(["no", "yes"])[y]
    expected = estimate(z, np.zeros((400, 1)), y)
    assert estimate(torch.tensor(z, requires_grad=True), torch.zeros(400, 1), words).equals(expected)
    best = expected[expected["headline"]].set_index("readout")["captured"]
    assert best["z1"] == pytest.approx(1.0, abs=0.02)
    assert best["z2"] == pytest.approx(0.0, abs=0.02)


@pytest.mark.filterwarnings("ignore:lower bound, not converged")
def test_the_public_function_scores_test_rows_and_warns(short, bit):
    z, y = bit
    nothing = np.zeros((400, 1))
    held_out = {"z1": z[:60], "z2": nothing[:60], "y": y[:60]}
    with pytest.warns(UserWarning, match="rarest class"):
        table = estimate(z[60:260], nothing[60:260], y[60:260], test=held_out)
    assert table.loc[table["headline"], "captured"].tolist() == pytest.approx([1.0, 0.0, 1.0], abs=0.05)
    with pytest.raises(InvalidRequest, match="z12"):
        estimate(z, nothing, y, test={**held_out, "z12": z[:60]})


def headlines(result, target=0):
    return {row["readout"]: row for row in result.rows if row["headline"] and row["target"] == target}


def test_heavy_tails_are_read_by_ranks(short):
    # A bit ±1 in normal noise of deviation 1, then cubed and stretched: 0.486 bits in z1 and in z12.
    rows, _ = load_representations(Path(__file__).parent / "heavy_tail.npz")
    best = headlines(estimate_representations(rows))
    # The standard error of 3,000 rows is 0.012 bit.
    assert best["z1"]["captured"] == pytest.approx(0.486, abs=0.03)
    assert best["z12"]["captured"] == pytest.approx(0.486, abs=0.03)
    assert best["z12"]["probe"].startswith("rank")


def test_a_square_wave_is_read_by_fourier_features(short):
    rng = np.random.default_rng(0)
    phase = rng.random((2000, 1))
    y = (np.floor(8.0 * phase[:, 0]) % 2).astype(int)
    best = headlines(estimate_representations(Representations({"z1": phase}, y[:, None])))["z1"]
    assert best["probe"] == "fourier"
    assert best["captured"] > 0.9
    assert best["accuracy"] > 0.98
    assert best["balanced_accuracy"] == pytest.approx(best["accuracy"], abs=0.01)


@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_a_direction_of_tiny_variance_is_kept(short, kind):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    common = rng.normal(size=600)
    z = np.column_stack([common, common + 1e-6 * y]).astype(kind)
    assert headline(z, y)["captured"] > (0.99 if kind == "f8" else 0.5)


def test_a_low_value_is_flagged_if_the_probes_cannot_read_a_planted_xor(short):
    rng = np.random.default_rng(0)
    rows = Representations({"z1": rng.normal(size=(300, 40))}, rng.integers(0, 2, (300, 1)))
    result = estimate_representations(rows)
    assert not headlines(result)["z1"]["converged"]
    assert any("planted XOR" in line for line in result.warnings)


def test_groups_keep_repeated_rows_apart(short):
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(200), 5)
    arrays = {"z1": rng.normal(size=(200, 4))[group], "z2": rng.normal(size=(200, 4))[group]}
    arrays["y"] = rng.integers(0, 2, 200)[group]
    result = estimate_representations(from_arrays(arrays))
    assert any("exact copy" in line and "groups" in line for line in result.warnings)
    grouped = estimate_representations(from_arrays({**arrays, "groups": group}))
    assert not any("exact copy" in line for line in grouped.warnings)
    for row in grouped.rows:
        # Labels are independent of the rows; the interval is that of 200 groups and not of 1,000 rows.
        assert row["captured"] < 0.05


def test_blocks_keep_a_time_series_apart(short):
    rng = np.random.default_rng(1)
    walk = np.cumsum(rng.normal(size=(1000, 4)), axis=0)
    y = (np.sin(np.arange(1000) / 20.0) > 0).astype(int)
    rows = from_arrays({"z1": walk[:, :2], "z2": walk[:, 2:], "y": y})
    free = estimate_representations(rows)
    assert any("time series" in line for line in free.warnings)
    blocked = estimate_representations(rows, blocks=True)
    assert not any("time series" in line for line in blocked.warnings)
    assert headlines(free)["z12"]["captured"] > 0.3
    assert headlines(blocked)["z12"]["captured"] < 0.1
    with pytest.raises(InvalidRequest, match="--blocks"):
        estimate_representations(from_arrays({"z1": walk, "z2": walk, "y": y, "groups": y}), blocks=True)


def test_rows_sorted_by_class_are_no_time_series(short, bit):
    z, y = bit
    order = np.argsort(y, kind="stable")
    result = estimate_representations(Representations({"z1": z[order]}, y[order][:, None]))
    assert result.warnings == []


def test_shifted_test_rows_are_flagged(short):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (600, 1))
    z = y + 0.3 * rng.normal(size=(600, 3))
    train = Representations({"z1": z[:500]}, y[:500])
    result = estimate_representations(train, Representations({"z1": z[500:] + 5.0}, y[500:]))
    assert headlines(result)["z1"]["captured"] < -1.0
    assert not headlines(result)["z1"]["converged"]
    assert any("z1_test: rows are shifted" in line for line in result.warnings)
    assert any("negative score" in line for line in result.warnings)
    same = estimate_representations(train, Representations({"z1": z[500:]}, y[500:]))
    assert not any("shifted" in line for line in same.warnings)


def test_test_rows_of_one_class_are_refused(bit):
    z, y = bit
    held_out = Representations({"z1": z[y == 0]}, y[y == 0][:, None])
    with pytest.raises(InvalidRequest, match="y_test: target 0 has only class 0"):
        estimate_representations(Representations({"z1": z}, y[:, None]), held_out)


def test_more_rows_than_the_maximum_are_left_out_with_a_warning(short):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (3000, 1))
    rows = Representations({"z1": y + 0.2 * rng.normal(size=(3000, 1))}, y)
    result = estimate_representations(rows, max_rows=1000)
    assert result.warnings == ["y: 1000 of 3000 rows are used; raise --max-rows to use more"]
    with pytest.raises(InvalidRequest, match="--max-rows 5: must be at least 1000"):
        estimate_representations(rows, max_rows=5)


def test_classes_of_one_hot_rows_are_one_target(short, bit):
    z, y = bit
    with pytest.warns(UserWarning, match="one-hot"):
        table = estimate(z, z, np.eye(2)[y])
    assert set(table["target"]) == {0}
