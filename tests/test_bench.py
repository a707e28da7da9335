"""The probing benchmark counts operations per representation."""

from dataclasses import replace

from pidlab import bench as benchmark
from pidlab.probes.levels import LEVELS
from pidlab.probes.mlp import MLPProbe


def test_operations_per_representation_do_not_depend_on_their_number(monkeypatch):
    small = replace(LEVELS["quick"], train=512, validation=256, test=256, mlp=MLPProbe(epochs=1))
    monkeypatch.setattr(benchmark, "capture_cohort", _at(small, benchmark.capture_cohort))
    one, two = (benchmark.probing("quick", members) for members in (2, 4))
    assert one["gflop"] == two["gflop"]
    for row in (one, two):
        # at least the first two layers of the MLP, forward and backward, on 16 inputs of z12
        width, epochs = small.mlp.hidden, small.mlp.epochs
        assert row["gflop"] > 6 * epochs * small.train * width * (16 + width) / 1e9
        assert row["gflops"] > 0


def _at(level, capture_cohort):
    return lambda represent, generators, seeds, _, clock: capture_cohort(
        represent, generators, seeds, level, clock=clock
    )
