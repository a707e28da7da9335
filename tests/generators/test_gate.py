import dataclasses

import numpy as np
import pytest
import torch

from pidlab import InvalidRequest
from pidlab.generators import Gate, load_generator
from pidlab.info import gate, gates


def law_of(sample, shape):
    """Relative frequencies of (x1, x2, y)."""
    cells = (sample.latents["x1"], sample.latents["x2"], sample.targets["y"])
    counts = np.zeros(shape)
    np.add.at(counts, tuple(part.numpy() for part in cells), 1)
    return counts / counts.sum()


@pytest.mark.parametrize("name", ["and", "boom", "pwu", "imperfect_rdn", "rdn_unq_xor"])
def test_samples_and_views_follow_the_law(name):
    n = 40_000
    made, expected = Gate(name), gate(name)
    sample = made.sample(n, seed=1)
    for drawn in (sample, made.view(sample, "task", seed=2), made.view(sample, "noise", seed=2)):
        # five standard errors of a frequency
        assert law_of(drawn, expected.shape) == pytest.approx(expected, abs=5 * 0.5 / n**0.5)
        assert not law_of(drawn, expected.shape)[expected == 0].any()


def test_a_symbol_is_a_function_of_the_observation():
    made = Gate("boom", noise=5.0, depth=0, nuisance=0, width=3)
    sample = made.sample(2000, seed=1)
    # depth 0 is one orthogonal map, scaled; undone, coordinates keep the signs of the symbols' code
    (layer,) = made._renderings[0]._layers
    latents = sample.x1 @ torch.linalg.inv(layer[0]).mT
    assert torch.equal(latents.argmax(1), sample.latents["x1"])
    assert torch.equal(latents.sign().mT, sample.symbols["y"][0])


def test_task_views_keep_y_and_noise_views_every_symbol():
    made = Gate("xor")
    sample = made.sample(4000, seed=1)
    noise, task = (made.view(sample, policy, seed=2) for policy in ("noise", "task"))
    assert torch.equal(noise.latents["x1"], sample.latents["x1"])
    assert torch.equal(task.latents["x1"] ^ task.latents["x2"], sample.y)
    assert 0.4 < float((task.latents["x1"] == sample.latents["x1"]).float().mean()) < 0.6
    assert made.view_information("task")["y"] == made.view_information("noise")["y"].__class__(1.0, 1.0)
    assert made.view_information("noise")["y"].between == pytest.approx(2.0)


def test_target_information_equals_that_of_the_pmf():
    target = Gate("and").target_specs["y"]
    assert target.prior == (0.75, 0.25)
    assert target.information == pytest.approx({(0,): 0.311278, (1,): 0.311278, (0, 1): 0.811278}, abs=1e-6)


def test_truth_is_the_solver_decomposition():
    pytest.importorskip("pidlab.info.broja")
    truth = load_generator("gate('and')").truth
    assert truth.measure == "broja"
    assert list(truth.terms.values()) == pytest.approx([0.311278, 0, 0, 0.5], abs=1e-6)


@pytest.mark.parametrize("name", sorted(gates()))
def test_every_gate_can_be_sampled(name):
    sample = Gate(name).sample(8)
    assert sample.x1.shape == (8, 32)


def test_user_defined_pmf(tmp_path):
    path = tmp_path / "and.csv"
    path.write_text("x1,x2,y,p\n0,0,0,.25\n0,1,0,.25\n1,0,0,.25\n1,1,1,.25\n")
    made = load_generator(f"gate({str(path)!r})")
    assert made.contents == Gate("and").contents
    path.write_text("x1,x2,y,p\n0,0,0,.5\n1,1,1,.5\n")
    assert load_generator(f"gate({str(path)!r})").contents == Gate("rdn").contents


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("gate('xr')", "did you mean 'xor'"),
        ("gate('none.csv')", "No such file"),
        ("gate(3)", "name of a gate"),
        ("gate(noise=-1)", "noise = -1"),
        ("gate(width=8)", "modality 1 needs 9 dimensions .* but width is 8"),
        ("gate(slope=2)", "slope = 2"),
        ("gate(depth=1.5)", "whole number"),
        ("gate(contents='x')", "no argument 'contents'"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)


def test_worlds_have_different_renderings():
    made = Gate("and")
    other = dataclasses.replace(made, world=3)
    assert torch.equal(made.sample(5).y, other.sample(5).y)
    assert not torch.equal(made.sample(5).x1, other.sample(5).x1)
