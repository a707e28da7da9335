import pytest
import torch
import torch.nn.functional as F
from torch.func import vmap

from pidlab.objectives import fused
from pidlab.objectives.bounds import infonce
from pidlab.objectives.contrastive import (
    LEAST_TEMPERATURE,
    clip_loss,
    infonce_of_cosines,
    nt_xent,
    nt_xent_sum,
)


def pairs(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator, dtype=dtype) for _ in range(2)]


def leaves(*shape):
    return [x.requires_grad_() for x in pairs(*shape)]


def nt_xent_by_the_formula(a, b, temperature):
    z = F.normalize(torch.cat([a, b]), dim=-1)
    losses = []
    for i in range(len(z)):
        partner = (i + len(a)) % len(z)
        candidates = [float(z[i] @ z[j]) / temperature for j in range(len(z)) if j != i]
        losses.append(torch.logsumexp(torch.tensor(candidates), 0) - float(z[i] @ z[partner]) / temperature)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("temperature", [LEAST_TEMPERATURE, 0.1, 1.0, 10.0])
def test_nt_xent_is_its_formula(temperature):
    a, b = pairs(7, 5)
    loss = nt_xent(a, b, temperature)
    assert float(loss) == pytest.approx(float(nt_xent_by_the_formula(a, b, temperature)), rel=1e-6)


def test_nt_xent_sends_the_gradient_of_its_value():
    a, b = leaves(6, 4)
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.3), (a, b))


@pytest.mark.parametrize("temperature", [LEAST_TEMPERATURE, 0.2])
def test_float32_carries_the_least_temperature(temperature):
    a, b = pairs(64, 8)
    exact = nt_xent(a, b, temperature)
    single = nt_xent(a.float(), b.float(), temperature)
    assert float(single) == pytest.approx(float(exact), rel=1e-4)
    worst = nt_xent(a.float(), -a.float(), temperature)  # every positive is as far away as can be
    assert worst.isfinite()


@pytest.mark.parametrize("temperature", [0.0, -1.0, 0.01, float("nan"), float("inf")])
def test_nt_xent_refuses_temperatures_it_cannot_carry(temperature):
    with pytest.raises(ValueError, match=r"expected 0\.0125"):
        nt_xent(*pairs(3, 2), temperature)


@pytest.mark.parametrize(
    "loss", [lambda a, b: nt_xent(a, b, 0.2), lambda a, b: clip_loss(a, b, torch.tensor(5.0))]
)
def test_a_batch_gives_what_a_loop_gives(loss):
    a, b = leaves(3, 6, 4)
    together = vmap(loss)(a, b)
    alone = torch.stack([loss(x, y) for x, y in zip(a, b, strict=True)])
    torch.testing.assert_close(together, alone)
    ours = torch.autograd.grad(together.sum(), (a, b))
    theirs = torch.autograd.grad(alone.sum(), (a, b))
    torch.testing.assert_close(ours, theirs)


def test_clip_of_identical_well_separated_pairs_is_near_zero():
    z = torch.eye(8)
    assert float(clip_loss(z, z, torch.tensor(50.0))) < 1e-6


def test_a_sum_of_pairs_that_share_sets_is_the_sum_of_their_losses():
    sets = [*pairs(6, 4), *pairs(6, 4, seed=1)]
    weights = {(0, 1): 0.5, (2, 1): 0.25, (3, 0): 1.5}
    total = nt_xent_sum(sets, weights, 0.3)
    by_hand = sum(w * nt_xent_by_the_formula(sets[i], sets[j], 0.3) for (i, j), w in weights.items())
    assert float(total) == pytest.approx(float(by_hand), rel=1e-6)
    sets = [x.requires_grad_() for x in sets]
    assert torch.autograd.gradcheck(lambda *sets: nt_xent_sum(sets, weights, 0.3), sets)


@pytest.mark.parametrize("cached", [1, 100, 2**18])
def test_a_loss_does_not_depend_on_the_members_that_are_computed_together(cached, monkeypatch):
    a, b = (x.float().requires_grad_() for x in pairs(7, 16, 8))
    scale = torch.linspace(1.0, 100.0, 7, requires_grad=True)

    def losses(a, b, scale):
        values = [
            nt_xent_sum([a, b], {(0, 1): 1.0}, 0.2),
            clip_loss(a, b, scale),
            infonce_of_cosines(a, b, 0.2),
        ]
        return torch.stack(values)

    monkeypatch.setattr(fused, "CACHED", cached)
    together = losses(a, b, scale)
    alone = torch.stack([losses(*one) for one in zip(a, b, scale, strict=True)], dim=1)
    torch.testing.assert_close(together, alone)
    got = torch.autograd.grad(together.sum(), (a, b, scale))
    expected = torch.autograd.grad(alone.sum(), (a, b, scale))
    torch.testing.assert_close(got, expected)


def test_infonce_of_cosines_is_that_of_the_scores():
    a, b = leaves(6, 4)
    scores = F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT / 0.3
    got, expected = infonce_of_cosines(a, b, 0.3), infonce(scores)
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(torch.autograd.grad(got, (a, b)), torch.autograd.grad(expected, (a, b)))


def test_clip_of_opposite_pairs_is_exact_at_the_largest_scale():
    a = torch.ones(4, 3) + 0.01 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor(100.0)
    for b in (-a, a):
        exact = clip_loss(a.double(), b.double(), scale.double())
        assert float(clip_loss(a, b, scale)) == pytest.approx(float(exact), abs=1e-4)


def test_a_vector_of_zeros_has_a_finite_loss_and_gradient():
    a, b = (torch.zeros(3, 2, requires_grad=True), torch.eye(3, 2, requires_grad=True))
    for loss in (nt_xent(a, b, 0.2), clip_loss(a, b, torch.tensor(5.0)), infonce_of_cosines(a, b, 0.2)):
        assert loss.isfinite()
        assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (a, b)))
