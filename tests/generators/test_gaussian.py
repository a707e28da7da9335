import math

import numpy as np
import pytest
import torch
from golden_numbers import golden_cases
from plugin import assert_holds, equal_bins
from pmfs import quantized_source

from pidlab import InvalidRequest
from pidlab.decomposition import TERMS
from pidlab.generators import load_generator
from pidlab.generators.gaussian import Gaussian, explained_variance
from pidlab.info import mutual_information

DESIGN = Gaussian(0.562164, 0.8, 0.3, 1.038653)


def coordinates(generator, sample):
    """Recover the coordinates of both modalities from the observations; depth 0 is linear."""
    return [
        torch.linalg.lstsq(rendering._layers[0][0].double(), x.mT.double()).solution[:3]
        for x, rendering in zip(sample.x, generator._renderings, strict=True)
    ]


def test_solver_recovers_the_design():
    solved = DESIGN.solve()
    assert list(solved.terms.values()) == pytest.approx(list(DESIGN.truth.terms.values()), abs=1e-6)


@pytest.mark.parametrize("case", golden_cases("pid_gaussian", "blocks"))
def test_golden_designs(case):
    generator = Gaussian(*(case["pid"][name] for name in ("R", "U1", "U2", "S")))
    solved = generator.solve()
    assert solved.mi1 == pytest.approx(case["I_X1"], abs=1e-6)
    assert solved.mi2 == pytest.approx(case["I_X2"], abs=1e-6)
    assert solved.total == pytest.approx(case["I_X12"], abs=1e-6)
    for term, name in zip(TERMS, ("R", "U1", "U2", "S"), strict=True):
        assert solved.terms[term] == pytest.approx(case["pid"][name], abs=1e-6)


def test_samples_have_the_stated_covariance():
    n = 50_000
    sample = DESIGN.sample(n, seed=1)
    rows = torch.cat([sample.latents["target"].double(), *coordinates(DESIGN, sample)]).numpy()
    stated = DESIGN.covariance(shared=1.0)
    scale = np.sqrt(np.diag(stated))
    # five standard errors of a correlation
    assert np.abs(np.corrcoef(rows) - stated / np.outer(scale, scale)).max() < 5 / n**0.5


@pytest.mark.parametrize(("n", "bins"), [(20_000, 16), pytest.param(200_000, 32, marks=pytest.mark.slow)])
def test_samples_have_the_specified_information(n, bins):
    sample = DESIGN.sample(n, seed=2)
    first, second = (x.numpy() for x in coordinates(DESIGN, sample))
    total = first[2] + second[2]  # sufficient for Y_s: both noises have one variance
    for term, values, modalities in (
        ("redundant", first[0], (0,)),
        ("redundant", second[0], (1,)),
        ("unique1", first[1], (0,)),
        ("unique2", second[1], (1,)),
        ("synergy", first[2], (0,)),
        ("synergy", second[2], (1,)),
        ("synergy", total, (0, 1)),
    ):
        place = {(0,): 0, (1,): 1, (0, 1): 2}[modalities]
        merged = mutual_information(
            quantized_source(explained_variance(DESIGN._block_bits[term][place]), DESIGN.classes, bins)
        )
        assert merged == pytest.approx(DESIGN.target_specs[term].information[modalities], abs=0.02)
        assert_holds(equal_bins(values, bins), sample.targets[term].numpy(), merged)


def test_synergy_block_has_the_specified_leak():
    information = DESIGN.target_specs["synergy"].information
    assert information[0,] == information[1,] > 0
    assert DESIGN.leak_bits == 0.1
    assert Gaussian(0.03, 0, 0, 1).leak_bits == 0.03
    assert Gaussian(1, 0, 0, 0).leak_bits == 0.0


@pytest.mark.parametrize("design", [(0, 0.8, 0.3, 1), (0, 0, 0.5, 1), (0, 0.05, 0, 2)])
def test_without_redundancy_the_leak_is_unique(design):
    generator = Gaussian(*design)
    assert list(generator.solve().terms.values()) == pytest.approx(design, abs=1e-6)
    one, two, _ = generator._block_bits["synergy"]
    assert min(one, two) == 0 < max(one, two) == generator.leak_bits <= 0.1
    sample = generator.sample(50_000, seed=1)
    rows = torch.cat([sample.latents["target"].double(), *coordinates(generator, sample)]).numpy()
    stated = generator.covariance(shared=1.0)
    scale = np.sqrt(np.diag(stated))
    # five standard errors of a correlation
    assert np.abs(np.corrcoef(rows) - stated / np.outer(scale, scale)).max() < 5 / 50_000**0.5
    held = generator.target_specs["synergy"].information
    assert min(held[0,], held[1,]) == 0 < max(held[0,], held[1,]) < held[0, 1]


def test_binned_truth_converges_to_the_continuous_truth():
    totals = [Gaussian(1, 0.5, 0.5, 1, classes=k).target_truth.total for k in (2, 4, 16, 64)]
    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(3.0, abs=0.05)


def test_task_views_keep_y_and_noise_views_the_coordinates():
    sample = DESIGN.sample(20_000, seed=1)
    task, noise = (DESIGN.view(sample, policy, seed=2) for policy in ("task", "noise"))
    assert torch.equal(noise.latents["channel"], sample.latents["channel"])
    assert torch.equal(task.latents["target"], sample.latents["target"])
    a, b = (coordinates(DESIGN, s)[0][1] for s in (sample, task))
    r = float(np.corrcoef(a, b)[0, 1])
    assert r == pytest.approx(explained_variance(0.8), abs=5 / 20_000**0.5)
    stated = DESIGN.view_information("task")["unique1"].between
    assert stated == pytest.approx(-0.5 * math.log2(1 - explained_variance(0.8) ** 2))


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("gaussian(0, 0, 0, 1)", "synergy = 1 .* never pure.* ask for redundant, unique1 .* or use modular"),
        ("gaussian(leak=0)", "never pure"),
        ("gaussian(leak=1e-15)", "1e-15 bits of leak .* float32 cannot represent"),
        ("gaussian(redundant=1e-15)", "1e-15 bits of leak .* redundant = 1e-15"),
        ("gaussian(12, 12, 12, 12, leak=12)", "12 bits of leak"),
        ("gaussian(unique1=13)", "unique1 = 13: a Gaussian block holds at most 12 bits"),
        ("gaussian(synergy=-1)", "synergy = -1"),
        ("gaussian(classes=1)", "classes = 1"),
        ("gaussian(classes=1e12)", "classes = 1000000000000: expected 16384 or fewer"),
        ("gaussian(width=10)", "modality 1 needs 11 dimensions"),
        ("gaussian(synergi=1)", "did you mean 'synergy'"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why) as error:
        load_generator(reference)
    assert "\n" not in str(error.value)
