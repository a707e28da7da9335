"""What is read from a user's own rows: the same in every unit, about nothing where nothing is there."""

import numpy as np
import pytest

from pidlab.probes.cross_fit import estimate


def headline(z, y, test=None):
    held_out = None if test is None else ({"z1": test[0]}, test[1][:, None])
    (row,) = (row for row in estimate({"z1": z}, y[:, None], held_out).rows if row["headline"])
    return row


@pytest.fixture(scope="module")
def bit():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    return 2.0 * y[:, None] - 1.0 + 0.1 * rng.normal(size=(400, 2)), y


@pytest.mark.parametrize(
    ("offset", "scale", "kind"),
    [
        (1e6, 1.0, "f4"),  # ulp .06
        (1e9, 1.0, "f8"),
        (0.0, 1e-42, "f8"),
        (0.0, 1e-60, "f8"),
        (1.0, 1e-9, "f8"),
        (0.0, 2e38, "f4"),
    ],
)
def test_units_and_origin_change_nothing(bit, offset, scale, kind):
    z, y = bit
    moved = (offset + scale * z).astype(kind)
    for test in (None, (moved, y)):
        assert headline(moved, y, test)["captured"] == pytest.approx(1.0, abs=0.02)


def test_as_many_columns_as_rows_that_fit_read_nothing_where_nothing_is(bit):
    # A linear probe through 180 rows of 180 columns is sure of itself and wrong; a coin's score of
    # known odds has a standard error of less than .02 bit over 300 rows where it is within 1/8 of them.
    z = np.random.default_rng(1).normal(size=(300, 180))
    assert abs(headline(z, bit[1][:300])["captured"]) < 0.05


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_scored_rows_have_frequencies_of_their_own(bit, share):
    z, y = bit
    rare = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:10]])
    last = round(100 * share)
    held = np.concatenate([np.flatnonzero(y == 0)[:last], np.flatnonzero(y == 1)[: 100 - last]])
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert headline(z[rare], y[rare], (z[held], y[held]))["captured"] == pytest.approx(entropy, abs=0.02)
    noise = np.random.default_rng(2).normal(size=(2, 400, 2))
    # The probe has 10 rows of the rare class, and what it believes of them to live down.
    null = headline(noise[0][rare], y[rare], (noise[1][held], y[held]))
    assert null["captured"] == pytest.approx(0, abs=0.1)
