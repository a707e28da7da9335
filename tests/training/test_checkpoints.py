"""Training steps at which a run is probed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab import InvalidRequest
from pidlab.training.checkpoints import checkpoint_steps


@given(st.data(), st.integers(1, 3000))
def test_checkpoints_have_the_requested_number_from_start_to_end(data, steps):
    count = data.draw(st.integers(2, min(steps + 1, 200)))
    chosen = checkpoint_steps(steps, count)
    assert len(chosen) == len(set(chosen)) == count
    assert (chosen[0], chosen[-1]) == (0, steps)
    assert list(chosen) == sorted(chosen)


def test_checkpoints_computed_by_hand():
    # 10 (61^(i/4) - 1) for i = 0..4
    assert checkpoint_steps(600, 5) == (0, 18, 68, 208, 600)
    assert checkpoint_steps(3, 4) == (0, 1, 2, 3)
    assert checkpoint_steps(600, 0) == ()
    gaps = np.diff(np.log1p(np.array(checkpoint_steps(100_000, 20)) / 10))
    assert np.ptp(gaps) < 0.1  # rounding moves the earliest steps by up to 1/10


@pytest.mark.parametrize("count", [-1, 1, 12])
def test_invalid_counts_are_refused(count):
    with pytest.raises(InvalidRequest, match=f"--track {count}: must be 0 or 2 to 11"):
        checkpoint_steps(10, count)
