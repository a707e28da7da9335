"""Estimates from a user's own rows: invariant to units, and zero without information."""

import numpy as np
import pytest
import torch

from pidlab import InvalidRequest
from pidlab.probes.cross_fit import estimate, estimate_representations
from pidlab.probes.representations import Representations


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
def test_units_and_origin_do_not_change_the_estimate(bit, offset, scale, kind):
    z, y = bit
    moved = (offset + scale * z).astype(kind)
    for test in (None, (moved, y)):
        assert headline(moved, y, test)["captured"] == pytest.approx(1.0, abs=0.02)


def test_noise_with_as_many_columns_as_training_rows_reads_zero(bit):
    # A linear probe on 180 rows of 180 columns is confident and wrong without a temperature. A posterior
    # within 1/8 of a fair coin has a standard error below 0.02 bit over 300 rows.
    z = np.random.default_rng(1).normal(size=(300, 180))
    assert abs(headline(z, bit[1][:300])["captured"]) < 0.05


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_scored_rows_may_have_other_class_frequencies(bit, share):
    z, y = bit
    rare = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]])
    last = round(100 * share)
    held = np.concatenate([np.flatnonzero(y == 0)[:last], np.flatnonzero(y == 1)[: 100 - last]])
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert headline(z[rare], y[rare], (z[held], y[held]))["captured"] == pytest.approx(entropy, abs=0.02)
    noise = np.random.default_rng(2).normal(size=(2, 400, 2))
    # The probe overfits its 10 rows of the rare class.
    null = headline(noise[0][rare], y[rare], (noise[1][held], y[held]))
    assert null["captured"] == pytest.approx(0, abs=0.1)


def test_the_public_function_takes_arrays_tensors_and_strings(bit):
    z, y = bit
    words = np.array(["no", "yes"])[y]
    expected = estimate(z, np.zeros((400, 1)), y)
    assert estimate(torch.tensor(z, requires_grad=True), torch.zeros(400, 1), words).equals(expected)
    best = expected[expected["headline"]].set_index("readout")["captured"]
    assert best["z1"] == pytest.approx(1.0, abs=0.02)
    assert best["z2"] == pytest.approx(0.0, abs=0.02)


def test_the_public_function_scores_test_rows_and_warns(bit):
    z, y = bit
    nothing = np.zeros((400, 1))
    held_out = {"z1": z[:60], "z2": nothing[:60], "y": y[:60]}
    with pytest.warns(UserWarning, match="rarest class"):
        table = estimate(z[60:260], nothing[60:260], y[60:260], test=held_out)
    assert table.loc[table["headline"], "captured"].tolist() == pytest.approx([1.0, 0.0, 1.0], abs=0.05)
    with pytest.raises(InvalidRequest, match="z12"):
        estimate(z, nothing, y, test={**held_out, "z12": z[:60]})
