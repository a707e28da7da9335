"""Losses as plain functions, against numbers made once with the authors' released code and against loops."""

import math

import pytest
import torch
import torch.nn.functional as F
from golden_numbers import golden_cases

from pidlab.objectives.contrastive import clip_loss, nt_xent
from pidlab.objectives.losses import (
    barlow_twins_loss,
    coral_orthogonality,
    epps_pulley,
    gram_loss,
    infmasking_term,
    siglip_loss,
    symile_loss,
    triangle_loss,
    vicreg_loss,
)
from pidlab.objectives.objective import Batch

CASES = {param.id: param.values[0] for param in golden_cases("successors")}


def rows(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("name", ["infmasking_t0.1", "infmasking_t0.5"])
def test_infmasking_equals_the_released_code(name):
    inputs, outputs = CASES[name]["inputs"], CASES[name]["outputs"]
    first, second, masked1, masked2 = (
        [torch.tensor(z, dtype=torch.float64) for z in inputs[key]]
        for key in ("aug1", "aug2", "masked1", "masked2")
    )
    t, ratio = inputs["temperature"], inputs["ratio"]
    terms = [
        infmasking_term(first[-1], torch.stack(masked1), t, ratio),
        infmasking_term(second[-1], torch.stack(masked2), t, ratio),
    ]
    assert float(terms[0]) == pytest.approx(outputs["masking_term1"], rel=1e-9)
    for a, b in zip(first, second, strict=True):
        terms.append((nt_xent(a, second[-1], t) + nt_xent(b, first[-1], t)) / 2)
    assert float(torch.stack(terms).mean()) == pytest.approx(outputs["loss"], rel=1e-9)


@pytest.mark.parametrize("name", ["coral_w1", "coral_w10"])
def test_coral_equals_the_released_code(name):
    inputs = CASES[name]["inputs"]
    f1, f2 = (torch.tensor(inputs[key], dtype=torch.float64) for key in ("fused1", "fused2"))
    u1, u2 = ([torch.tensor(u, dtype=torch.float64) for u in inputs[key]] for key in ("unique1", "unique2"))
    t = inputs["temperature"]
    loss = nt_xent(f1, f2, t) + sum(nt_xent(a, b, t) for a, b in zip(u1, u2, strict=True))
    loss = loss + inputs["weight"] * (coral_orthogonality([f1, *u1]) + coral_orthogonality([f2, *u2]))
    assert float(loss) == pytest.approx(CASES[name]["outputs"]["loss"], rel=1e-9)


@pytest.mark.parametrize("name", ["symile_n", "symile_n_squared"])
def test_symile_equals_the_released_code(name):
    inputs = CASES[name]["inputs"]
    orders = None if inputs["orders"] is None else torch.tensor(inputs["orders"])
    z = [torch.tensor(zi, dtype=torch.float64) for zi in inputs["z"]]
    assert float(symile_loss(z, inputs["scale"], orders)) == pytest.approx(
        CASES[name]["outputs"]["loss"], rel=1e-9
    )


@pytest.mark.parametrize("name", ["gram_s0.0", "gram_s0.1", "triangle_s0.0", "triangle_s0.1"])
def test_gram_and_triangle_equal_the_released_code(name):
    inputs = CASES[name]["inputs"]
    z = [torch.tensor(zi, dtype=torch.float64) for zi in inputs["z"]]
    settings = inputs["temperature"], inputs["smoothing"]
    loss = gram_loss(z, *settings) if name.startswith("gram") else triangle_loss(*z, *settings)
    assert float(loss) == pytest.approx(CASES[name]["outputs"]["loss"], rel=1e-8)


def test_sigreg_equals_lightly():
    inputs = CASES["sigreg"]["inputs"]
    z, directions = (torch.tensor(inputs[key], dtype=torch.float64) for key in ("z", "directions"))
    assert float(epps_pulley(z, directions)) == pytest.approx(CASES["sigreg"]["outputs"]["loss"], rel=1e-6)


def test_disentangledssl_parts_equal_the_released_code():
    inputs = CASES["disentangled_overlap"]["inputs"]
    z, s = (F.normalize(torch.tensor(inputs[key], dtype=torch.float64), dim=-1) for key in ("z", "s"))
    overlap = CASES["disentangled_overlap"]["outputs"]["loss"]
    assert float(torch.linalg.matrix_norm(z.mT @ s)) == pytest.approx(overlap, rel=1e-9)
    inputs = CASES["disentangled_cross"]["inputs"]
    a, b = (torch.tensor(inputs[key], dtype=torch.float64) for key in ("a", "b"))
    expected = CASES["disentangled_cross"]["outputs"]["loss"]
    assert float(clip_loss(a, b, torch.tensor(inputs["scale"], dtype=torch.float64))) == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize(
    "case", [*golden_cases("lightly_losses", "vicreg"), *golden_cases("lightly_losses", "barlow")]
)
def test_vicreg_and_barlow_twins_equal_lightly(case):
    inputs = case["inputs"]
    a, b = (torch.tensor(inputs[key], dtype=torch.float64) for key in ("z0", "z1"))
    if case["name"].startswith("vicreg"):
        weights = {"invariance": inputs["lambda_"], "variance": inputs["mu"], "covariance": inputs["nu"]}
        loss = vicreg_loss(a, b, **weights)
    else:
        loss = barlow_twins_loss(a, b, redundancy=inputs["lambda_"])
    assert float(loss) == pytest.approx(case["outputs"]["loss"], rel=1e-8)


def test_siglip_equals_a_plain_loop():
    a, b = F.normalize(rows(5, 3, 0), dim=-1), F.normalize(rows(5, 3, 1), dim=-1)
    total = 0.0
    for i in range(5):
        for j in range(5):
            logit = 7.0 * float(a[i] @ b[j]) - 3.0
            total += math.log1p(math.exp(-logit if i == j else logit))
    assert float(siglip_loss(a, b, 7.0, -3.0)) == pytest.approx(total / 5, rel=1e-9)


def test_two_modalities_make_symile_clip_and_gram_a_sine():
    a, b = rows(5, 3, 0), rows(5, 3, 1)
    scale = torch.tensor(4.0, dtype=torch.float64)
    assert float(symile_loss([a, b], scale)) == pytest.approx(float(clip_loss(a, b, scale)), rel=1e-9)
    cosines = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT
    logits = -(1 - cosines.square()).sqrt() / 0.5
    labels = torch.arange(5)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.mT, labels)) / 2
    assert float(gram_loss([a, b], 0.5)) == pytest.approx(float(expected), rel=1e-6)


def test_gram_of_four_modalities_equals_determinants():
    z = [F.normalize(rows(4, 6, i), dim=-1) for i in range(4)]
    logits = torch.empty(4, 4, dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            v = torch.stack([z[0][i], z[1][j], z[2][j], z[3][j]])
            logits[i, j] = -torch.linalg.det(v @ v.mT).abs().sqrt()
    labels = torch.arange(4)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.mT, labels)) / 2
    assert float(gram_loss(z, 1.0)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b, c: siglip_loss(a, b, 3.0, -1.0),
        lambda a, b, c: vicreg_loss(a, b),
        lambda a, b, c: barlow_twins_loss(a, b),
        lambda a, b, c: symile_loss([a, b, c], 3.0),
        lambda a, b, c: gram_loss([a, b, c], 0.5),
        lambda a, b, c: triangle_loss(a, b, c, 0.5),
        lambda a, b, c: infmasking_term(a, torch.stack([b, c]), 0.5, 0.5),
        lambda a, b, c: coral_orthogonality([a, b, c]),
        lambda a, b, c: epps_pulley(a, b.mT),
    ],
)
def test_gradients_agree_with_finite_differences(loss):
    z = [rows(4, 3, i).requires_grad_() for i in range(3)]
    assert torch.autograd.gradcheck(loss, z)


def test_random_numbers_of_a_batch_are_uniform_and_depend_on_keys_alone():
    keys = torch.arange(20_000) * 7919 - 10**9
    batch = Batch((torch.zeros(20_000, 1),), keys=keys)
    u, v = batch.uniform(3), batch.uniform(3)
    assert u.min() >= 0
    assert u.max() < 1
    # Standard errors: 0.289 / sqrt(60,000) for a mean, 1 / sqrt(n) for a correlation of independent draws.
    assert abs(float(u.mean()) - 0.5) < 5 * 0.289 / math.sqrt(60_000)
    assert abs(float(u.var()) - 1 / 12) < 0.002
    for a, b in ((u.flatten(), v.flatten()), (u[:, 0], u[:, 1]), (u[:-1, 0], u[1:, 0])):
        assert abs(float(torch.corrcoef(torch.stack([a, b]))[0, 1])) < 5 / math.sqrt(len(a))
    counts = torch.histc(u, 16, 0, 1)
    assert float(((counts - 3750).square() / 3750).sum()) < 50  # chi square with 15 degrees of freedom
    part = Batch((torch.zeros(5, 1),), keys=keys[:5])
    assert torch.equal(part.uniform(3), u[:5])
    batched = torch.vmap(lambda k: Batch((torch.zeros(5, 1),), keys=k).uniform(3))(keys[:10].reshape(2, 5))
    assert torch.equal(batched.reshape(10, 3), u[:10])
