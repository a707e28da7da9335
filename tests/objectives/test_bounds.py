"""The bounds and their critics: golden numbers, closed forms, and the exact savings of work."""

import math

import pytest
import torch
import torch.nn.functional as F
from golden_numbers import golden_cases
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pidlab.objectives.bounds import (
    CRITICS,
    Concat,
    Separable,
    club,
    every_class,
    infonce,
    infonce_of_classes,
    one_hot,
    same_class,
)

PRECISION = {torch.float64: {"rtol": 1e-9, "atol": 1e-10}, torch.float32: {"rtol": 1e-4, "atol": 1e-4}}
precisions = pytest.mark.parametrize("dtype", list(PRECISION), ids=["float64", "float32"])
scores = st.integers(2, 7).flatmap(
    lambda n: arrays("float64", (n, n), elements=st.floats(-20, 20, width=32)).map(torch.from_numpy)
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(critic, *widths, **settings):
    """A critic of fixed random weights, without gradients."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return critic(*widths, **settings).double().requires_grad_(False)


def check(value, expected, dtype):
    torch.testing.assert_close(value, torch.tensor(expected, dtype=dtype), **PRECISION[dtype])


@precisions
@pytest.mark.parametrize("case", golden_cases("bounds", "infonce_critic"))
def test_infonce(case, dtype):
    given_scores = torch.tensor(case["inputs"]["F"], dtype=dtype, requires_grad=True)
    value = infonce(given_scores)
    check(value, case["outputs"]["lower_bound"], dtype)
    (grad,) = torch.autograd.grad(-value, given_scores)
    check(grad, case["outputs"]["grad_loss_F"], dtype)


@precisions
@pytest.mark.parametrize("case", golden_cases("bounds", "infonce_rows"))
def test_infonce_along_rows_is_that_of_the_transpose(case, dtype):
    value = infonce(torch.tensor(case["inputs"]["F"], dtype=dtype).mT)
    # the released code takes the logarithm of the batch size in single precision
    assert float(value) == pytest.approx(case["outputs"]["value"], rel=1e-4, abs=1e-6)


@precisions
@pytest.mark.parametrize("case", golden_cases("bounds", "club_critic"))
def test_club(case, dtype):
    given_scores = torch.tensor(case["inputs"]["F"], dtype=dtype, requires_grad=True)
    value = club(given_scores)
    check(value, case["outputs"]["upper_value"], dtype)
    (grad,) = torch.autograd.grad(value, given_scores)
    check(grad, case["outputs"]["grad_loss_F"], dtype)
    check(-infonce(given_scores), case["outputs"]["learning_loss"], dtype)


@given(scores)
def test_infonce_is_capped_and_shift_proof(f):
    assert float(infonce(f)) <= math.log(len(f)) + 1e-9
    assert float(infonce(f + 3.0)) == pytest.approx(float(infonce(f)), abs=1e-9)


@given(scores)
def test_one_class_is_no_condition(f):
    everybody = same_class(torch.zeros(len(f), dtype=torch.int64))
    assert float(infonce(f, everybody)) == pytest.approx(float(infonce(f)), abs=1e-9)
    assert float(club(f, everybody)) == pytest.approx(float(club(f)), abs=1e-9)


def test_conditional_bounds_are_those_of_each_class():
    y = torch.tensor([0, 1, 0, 2, 1, 0])
    f = normal(6, 6)
    for bound in (infonce, club):
        parts = [(y == c).sum() * bound(f[y == c][:, y == c]) for c in range(3)]
        assert float(bound(f, same_class(y))) == pytest.approx(float(sum(parts) / 6), abs=1e-12)


def test_classes_need_n_times_k_scores_only():
    y = torch.tensor([0, 1, 0, 2, 1, 0])
    f = normal(6, 4)
    assert float(infonce_of_classes(f, y)) == pytest.approx(float(infonce(f[:, y])), abs=1e-12)


def test_bounds_are_right_at_the_exact_critic():
    # A = B, one of k equally likely values: I = log k. At f = log p(a,b)/p(a)p(b), far pairs -30.
    k, n = 4, 4000
    a = torch.arange(n) % k
    f = (a[:, None] == a[None, :]).double() * (math.log(k) + 30.0) - 30.0
    assert float(infonce(f)) == pytest.approx(math.log(k), abs=1e-6)
    # Jeffreys: here E_p f - E_q f = log k - (log k / k - 30 (k-1)/k), larger than I
    assert float(club(f)) == pytest.approx((math.log(k) + 30.0) * (k - 1) / k, abs=1e-9)


@pytest.mark.parametrize("name", CRITICS)
def test_a_critic_scores_pair_by_pair(name):
    critic = made(CRITICS[name], 3, 5)
    a, b = normal(6, 3), normal(4, 5, seed=1)
    table = critic(a, b)
    assert table.shape == (6, 4)
    for i in range(6):
        for j in range(4):
            assert float(critic(a[i : i + 1], b[j : j + 1])) == pytest.approx(float(table[i, j]), abs=1e-12)


@pytest.mark.parametrize("name", CRITICS)
def test_club_of_a_critic_is_that_of_its_scores(name):
    critic = made(CRITICS[name], 3, 5)
    a, b = normal(8, 3), normal(8, 5, seed=1)
    assert float(critic.club(a, b)) == pytest.approx(float(club(critic(a, b))), abs=1e-12)


def test_the_split_first_layer_is_the_layer_on_the_pair():
    critic = made(Concat, 3, 5, hidden=6)
    a, b = normal(4, 3), normal(4, 5, seed=1)
    weight = torch.cat([critic.first.weight[:3, :6], critic.second.weight[:5, :6]])
    pairs = torch.cat([a[:, None].expand(4, 4, 3), b[None].expand(4, 4, 5)], dim=-1)
    hidden = torch.relu(pairs @ weight + critic.first.bias[:6])
    torch.testing.assert_close(critic.rest(hidden.reshape(16, 6)).view(4, 4), critic(a, b))


def test_scores_of_a_separable_critic_are_bounded():
    critic = made(Separable, 3, 3, temperature=0.5)
    assert float(critic(1e6 * normal(5, 3), normal(5, 3, seed=1)).abs().max()) <= 2.0 + 1e-9
    with torch.random.fork_rng(), pytest.raises(ValueError, match=r"expected 0\.0125 or more"):
        Separable(3, 3, temperature=0.0)


def test_codes_of_every_class_stand_in_the_order_of_the_joint_label():
    classes = {"a": 2, "b": 3}
    targets = {"a": torch.tensor([1, 0]), "b": torch.tensor([2, 1])}
    y = targets["a"] * 3 + targets["b"]
    like = torch.zeros(1)
    assert torch.equal(every_class(classes, like)[y], one_hot(targets, classes, like))
    assert one_hot(targets, classes, like).tolist() == [[0, 1, 0, 0, 1], [1, 0, 0, 1, 0]]


def pairs_of_bits(kind, n, seed):
    """x1, x2 as two noisy signed bits and a nuisance each, and Y: their common bit, or their XOR."""
    generator = torch.Generator().manual_seed(seed)
    a, other = torch.randint(2, (2, n), generator=generator)
    b = a if kind == "copy" else other
    noise = torch.randn(2, n, 3, generator=generator) * 0.1
    x1, x2 = (noise[i] + F.pad(2.0 * bit[:, None] - 1.0, (0, 2)) for i, bit in enumerate((a, b)))
    return x1, x2, a if kind == "copy" else a ^ b


def conditional_infonce(kind, form):
    """I(X1;X2|Y) in bits as a critic reads it on fresh rows: `class`, `blind` to y, or as `released`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = Separable(5, 3)
    adam = torch.optim.Adam(critic.parameters(), lr=3e-3)

    def reading(seed, n):
        x1, x2, y = pairs_of_bits(kind, n, seed)
        code = one_hot({"y": y}, {"y": 2}, x1)
        scores = critic(torch.cat([x1, code * (form != "blind")], dim=1), x2)
        return infonce(scores, None if form == "released" else same_class(y))

    for step in range(300):
        adam.zero_grad()
        (-reading(step, 128)).backward()
        adam.step()
    with torch.no_grad():
        return float(reading(10_000, 2048)) / math.log(2)


@pytest.mark.parametrize(
    ("kind", "form", "low", "high"),
    [
        # given their common bit nothing is left between them; given the XOR, one bit is
        ("copy", "class", -0.03, 0.03),
        ("xor", "class", 0.9, 1.0),
        # a critic that does not see y cannot tell which pairs go together
        ("copy", "blind", -0.03, 0.03),
        ("xor", "blind", -0.03, 0.03),
        # as released: I((X1,Y);X2), a bit in either case
        ("copy", "released", 0.9, 1.0),
        ("xor", "released", 0.9, 1.0),
    ],
)
def test_what_conditional_infonce_reads(kind, form, low, high):
    assert low <= conditional_infonce(kind, form) <= high


@pytest.mark.parametrize(("dims", "nats"), [(1, 0.5), (4, 1.0), (4, 2.0)])
def test_nce_club_at_its_best_critic_is_the_jeffreys_divergence(dims, nats):
    # d pairs of normals with correlation r, I = -d/2 log(1 - r²): KL(p‖q) + KL(q‖p) = d (e^(2I/d) - 1) > 2I
    n, r = 2000, math.sqrt(1.0 - math.exp(-2.0 * nats / dims))
    a = normal(n, dims, seed=5)
    b = r * a + math.sqrt(1 - r * r) * normal(n, dims, seed=6)
    gap = b[None] - r * a[:, None]
    f = (b.square()[None] - gap.square() / (1 - r * r) - math.log(1 - r * r)).sum(-1) / 2
    jeffreys = dims * (math.exp(2 * nats / dims) - 1)
    # both means are over n independent rows (the second is over pairs of them): 5 standard errors
    error = 5 * (float(f.diagonal().std()) + float(f.mean(0).std()) + float(f.mean(1).std())) / n**0.5
    assert float(club(f)) == pytest.approx(jeffreys, abs=error)
    assert jeffreys > 2 * nats
    assert error < jeffreys / 2
