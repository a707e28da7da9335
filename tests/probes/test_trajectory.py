"""The steps that are looked at along training."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pidlab import InvalidRequest
from pidlab.probes.trajectory import checkpoints


@given(st.data(), st.integers(1, 3000))
def test_checkpoints_are_as_many_as_asked_for_from_start_to_end(data, steps):
    count = data.draw(st.integers(2, min(steps + 1, 200)))
    found = checkpoints(steps, count)
    assert len(found) == len(set(found)) == count
    assert (found[0], found[-1]) == (0, steps)
    assert list(found) == sorted(found)


def test_checkpoints_by_hand():
    # 10 (61^(i/4) - 1) for i = 0..4
    assert checkpoints(600, 5) == (0, 18, 68, 208, 600)
    assert checkpoints(3, 4) == (0, 1, 2, 3)
    assert checkpoints(600, 0) == ()
    gaps = np.diff(np.log1p(np.array(checkpoints(100_000, 20)) / 10))
    assert np.ptp(gaps) < 0.1  # a step of rounding is 1/10 where steps are fewest


@pytest.mark.parametrize("count", [-1, 1, 12])
def test_counts_that_make_no_sense_are_refused(count):
    with pytest.raises(InvalidRequest, match=f"track = {count}: expected 0 or 2 to 11"):
        checkpoints(10, count)
