import pytest
import torch
import torch.nn.functional as F
from torch.func import vmap

from pidlab.objectives.contrastive import LEAST_TEMPERATURE, clip_loss, nt_xent


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
