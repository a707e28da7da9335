import pytest
import torch
from plugin import assert_holds
from pmfs import quantized_source

from pidlab import InvalidRequest
from pidlab.generators import load_generator
from pidlab.generators.factorcl_data import FactorCL
from pidlab.generators.liang2023 import LABEL_BLOCKS, Liang2023
from pidlab.info import mutual_information


@pytest.mark.parametrize("features", [1, 10])
def test_the_synergy_setting_is_not_pure(features):
    truth = Liang2023("synergy", features).truth
    assert list(truth.terms.values()) == pytest.approx([0.279, 0, 0, 0.721], abs=1e-3)


def test_pure_settings_are_pure():
    for setting, terms in (
        ("redundancy", [1, 0, 0, 0]),
        ("uniqueness1", [0, 1, 0, 0]),
        ("uniqueness2", [0, 0, 1, 0]),
    ):
        assert list(Liang2023(setting).truth.terms.values()) == [float(t) for t in terms]


def test_mixed_is_factorcl():
    assert Liang2023("mixed", 6, chosen=4, classes=3).truth == FactorCL(4, 4, 4, classes=3).truth


def test_both_modalities_show_the_shared_block_equally():
    x1, x2 = Liang2023("mixed").sample(20, seed=1).x
    assert torch.equal(x1[:, :32], x2[:, :32])
    assert not torch.equal(x1[:, 32:], x2[:, 32:])


@pytest.mark.parametrize("setting", LABEL_BLOCKS)
@pytest.mark.parametrize(("n", "bins"), [(20_000, 15), pytest.param(200_000, 30, marks=pytest.mark.slow)])
def test_samples_have_the_specified_information(setting, n, bins):
    generator = Liang2023(setting, 4, chosen=3, lift=8, classes=3)
    sample = generator.sample(n, seed=1)
    used = sum(LABEL_BLOCKS[setting])
    for m, (x, transform) in enumerate(zip(sample.x, generator.transforms, strict=True)):
        # the pseudo-inverse of each lift recovers its block
        shared, own = (
            torch.linalg.lstsq(transform[rows, columns].mT.double(), x[:, columns].mT.double()).solution
            for rows, columns in ((slice(0, 4), slice(0, 8)), (slice(4, 8), slice(8, 16)))
        )
        made = LABEL_BLOCKS[setting]
        if not (made[0] or made[1 + m]):
            assert generator.target_specs["y"].information[m,] == 0
            continue
        total = made[0] * shared[:3].sum(0) + made[1 + m] * own[:3].sum(0)
        law = quantized_source((made[0] + made[1 + m]) / used, 3, bins)
        assert mutual_information(law) == pytest.approx(generator.target_specs["y"].information[m,], abs=0.03)
        # bins of the law, not of the ranks: where the sum is Y's own their edges must be Y's
        scaled = total / (1.5 * (made[0] + made[1 + m])) ** 0.5
        assert_holds(
            (torch.special.ndtr(scaled) * bins).long().numpy(), sample.y.numpy(), mutual_information(law)
        )


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("liang2023('synergi')", "expected one of redundancy"),
        ("liang2023(chosen=6)", "a block has 5 features"),
        ("liang2023(chosen=0)", "depends on no feature"),
        ("liang2023(lift=4)", "5 features but width is 4"),
        ("liang2023(seting='mixed')", "did you mean 'setting'"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)
