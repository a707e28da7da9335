"""Contract of every registered generator; a new generator is tested once it is registered."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from feature_bank_files import write_banks

from pidlab import InvalidRequest
from pidlab.decomposition import TERMS, Planted
from pidlab.encoders import rows_at_once
from pidlab.generators import generators, load_generator
from pidlab.generators.arrays import export_arrays
from pidlab.generators.parameters import parameters_of

STRESSED = [
    "atoms(unique1=1.5, label_noise=0.1, subclasses=3)",
    "atoms(redundant=0.5, synergy=0.5, broken_pairs=0.2, label_noise=0.1)",
    "atoms(missing_modality2=0.3, train_missing_modality2=0)",
    "atoms(redundant=0, train_redundant=1, train_label_noise=0.1)",
    "gate('and', rare_class=0.01, broken_pairs=0.1, missing_modality1=0.2)",
    "modular(classes=4, label_noise=0.2, rare_class=0.1)",
    "three(label_noise=0.1)",
    "gaussian(subclasses=2)",
]


@pytest.fixture(scope="module", params=[*generators(), *STRESSED])
def generator(request, tmp_path_factory):
    if request.param in STRESSED:
        return load_generator(request.param)
    cls = generators()[request.param]
    if "file" not in parameters_of(cls):
        return cls()
    path = tmp_path_factory.mktemp("rows") / "rows.npz"
    if request.param == "planted":
        write_banks(path)
    else:
        np.savez(path, **export_arrays(load_generator("gate('and')"), 2000))
    return cls(str(path))


def test_samples_have_the_specified_shapes(generator):
    sample = generator.sample(50, seed=1)
    for x, modality in zip(sample.x, generator.modalities, strict=True):
        assert x.shape == (50, *modality.shape)
        assert x.isfinite().all()
    assert set(sample.targets) == set(generator.target_specs)
    for name, target in generator.target_specs.items():
        y = sample.targets[name]
        assert y.shape == (50,)
        assert y.dtype == torch.int64
        assert 0 <= int(y.min()) <= int(y.max()) < target.classes
    assert sample.y.shape == (50,)


def test_samples_are_determined_by_the_seed(generator):
    a, b, c = (generator.sample(20, seed=s) for s in (5, 5, 6))
    assert all(torch.equal(x, y) for x, y in zip(a.x, b.x, strict=True))
    assert not torch.equal(a.x1, c.x1)


def test_worlds_differ(generator):
    other = generator.in_world(generator.world + 1)
    assert not torch.equal(generator.sample(20, seed=5).x1, other.sample(20, seed=5).x1)


def test_priors_and_entropies_are_exact_and_match_samples(generator):
    n = generator.rows("eval") or rows_at_once(generator.modalities, 20_000)
    sample = generator.sample(n, seed=2)
    for name, target in generator.target_specs.items():
        prior = np.array(target.prior)
        assert prior.sum() == pytest.approx(1.0, abs=1e-12)
        logs = np.log2(prior, out=np.zeros_like(prior), where=prior > 0)
        assert target.entropy == pytest.approx(-(prior * logs).sum(), abs=1e-9)
        counts = np.bincount(sample.targets[name].numpy(), minlength=target.classes) / n
        # five standard errors of a frequency
        assert np.all(np.abs(counts - prior) <= 5 * np.sqrt(prior * (1 - prior) / n) + 1e-12)


def test_information_respects_data_processing(generator):
    if generator.truth.how == "unknown":
        assert all(math.isnan(b) for t in generator.target_specs.values() for b in t.information.values())
        return
    for target in generator.target_specs.values():
        every = max(target.information, key=len)
        for modalities, bits in target.information.items():
            assert 0 <= bits <= target.information[every] + 1e-12, modalities
        assert target.information[every] <= target.entropy + 1e-9


def test_truth_decomposes_the_targets(generator):
    truth, target_truth = generator.truth, generator.target_truth
    if truth.how == "unknown":
        assert all(math.isnan(bits) for bits in truth.terms.values())
        assert truth.gap == math.inf
        return
    assert all(bits >= -truth.gap for bits in truth.terms.values())
    assert target_truth.total <= truth.total + target_truth.gap
    if isinstance(truth, Planted):
        # Planted factors are independent; a factor's bits are what all modalities together have about it.
        bits = {name: max(target.information.values()) for name, target in generator.target_specs.items()}
        assert bits == pytest.approx(truth.terms)
        return
    # Several targets are independent of each other, one is Y itself.
    if len(generator.target_specs) == 1 or set(generator.target_specs) <= set(TERMS):
        information = [t.information for t in generator.target_specs.values()]
        error = 1e-6 + target_truth.gap
        if generator.parameters.get("broken_pairs") and len(information) > 1:
            # Given the observation, targets depend on each other by whether the pair is broken.
            assert target_truth.total > sum(i[0, 1] for i in information)
            return
        assert target_truth.total == pytest.approx(sum(i[0, 1] for i in information), abs=error)
        assert target_truth.mi1 == pytest.approx(sum(i[0,] for i in information), abs=error)
        assert target_truth.mi2 == pytest.approx(sum(i[1,] for i in information), abs=error)


def test_solver_agrees_with_the_truth(generator):
    solved = generator.solve()
    if solved is not None:
        for term, bits in generator.truth.terms.items():
            assert solved.terms[term] == pytest.approx(bits, abs=1e-6 + generator.truth.gap + solved.gap)


def test_views_keep_shapes_and_targets(generator):
    sample = generator.sample(30, seed=3)
    for policy in generator.policies:
        view, again = (generator.view(sample, policy, seed=4) for _ in range(2))
        assert all(a.shape == b.shape for a, b in zip(view.x, sample.x, strict=True))
        assert torch.equal(view.x1, again.x1)
        assert not torch.equal(view.x1, sample.x1)
        assert all(torch.equal(view.targets[n], y) for n, y in sample.targets.items())
        for information in generator.view_information(policy).values():
            for bits in dataclasses.astuple(information):
                assert bits is None or bits >= 0
            assert information.target is None or math.isfinite(information.target)


def test_stack_equals_loop(generator):
    members = [generator.in_world(w) for w in (0, 1, 1)]
    seeds = [7, 7, 8]
    stack = type(generator).stack(members)
    together = stack.sample(40, seeds)
    views = {p: stack.view(together, p, [9, 9, 10]) for p in generator.policies}
    for i, (member, seed) in enumerate(zip(members, seeds, strict=True)):
        alone = member.sample(40, seed)
        assert all(torch.equal(a, b[i]) for a, b in zip(alone.x, together.x, strict=True))
        assert torch.equal(alone.y, together.y[i])
        for policy, view in views.items():
            one = member.view(alone, policy, [9, 9, 10][i])
            assert all(torch.equal(a, b[i]) for a, b in zip(one.x, view.x, strict=True))


def test_take_selects_rows_of_all_tensors(generator):
    sample = generator.sample(12, seed=1)
    index = torch.tensor([3, 3, 11])
    few = sample.take(index)
    assert all(torch.equal(a, b[index]) for a, b in zip(few.x, sample.x, strict=True))
    assert torch.equal(few.y, sample.y[index])
    policy = generator.policies[0]
    assert generator.view(few, policy, seed=0).x1.shape == few.x1.shape


def test_wrong_requests_are_refused_in_one_line(generator):
    sample = generator.sample(4)
    for ask in (
        lambda: generator.sample(0),
        lambda: generator.sample(4, split="tset"),
        lambda: generator.view(sample, "no such policy", seed=0),
        lambda: generator.view_information("no such policy"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            ask()
        assert "\n" not in str(caught.value)
