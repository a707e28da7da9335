"""Stress dials: laws against brute force, samples against laws, closed forms against the solver, refusals."""

import itertools
import math

import numpy as np
import pytest
import torch

from pidlab import Atoms, InvalidRequest, decompose
from pidlab.decomposition import TERMS
from pidlab.generators import Gate, load_generator
from pidlab.generators.dials import Dials, noisy_label_entropy
from pidlab.info import entropy, gate
from pidlab.sweeps.checkpoint_files import _generator
from pidlab.sweeps.plan import Runs
from pidlab.sweeps.request import build_request

N = 40_000


def enumerated(law, dials):
    """Return the stressed pmf of one target by a sum over every outcome of every draw."""
    (n1, n2, ny), prior = law.shape, law.sum((0, 1))
    last = max(np.flatnonzero(prior))
    stressed = np.zeros((n1 + bool(dials.missing_modality1), n2 + bool(dials.missing_modality2), ny))

    def clean(x1, x2, y):
        if dials.rare_class is None:
            return law[x1, x2, y]
        wanted = dials.rare_class if y == last else (1 - dials.rare_class) * prior[y] / (1 - prior[last])
        return law[x1, x2, y] / prior[y] * wanted if prior[y] else 0.0

    rows = [(row, clean(*row)) for row in itertools.product(range(n1), range(n2), range(ny))]
    rows = [(row, p) for row, p in rows if p]
    for (x1, x2, y), p in rows:
        for (_, other, _), q in rows:
            for broken, hidden1, hidden2, wrong in itertools.product((0, 1), repeat=4):
                shares = (dials.broken_pairs, *dials.missing, dials.label_noise)
                weight = p * q
                for event, share in zip((broken, hidden1, hidden2, wrong), shares, strict=True):
                    weight *= share if event else 1 - share
                if not weight:
                    continue
                a, b = n1 if hidden1 else x1, n2 if hidden2 else other if broken else x2
                labels = [k for k in range(ny) if k != y] if wrong else [y]
                for label in labels:
                    stressed[a, b, label] += weight / len(labels)
    return stressed


@pytest.mark.parametrize("name", ["and", "xor", "sum"])
@pytest.mark.parametrize(
    "dials",
    [
        Dials(label_noise=0.1),
        Dials(rare_class=0.01),
        Dials(broken_pairs=0.3),
        Dials(missing_modality1=0.2),
        Dials(missing_modality2=1.0),
        Dials(0.1, 1, 0.01, 0.3, 0.2, 0.4),
    ],
)
def test_laws_equal_a_sum_over_all_outcomes(name, dials):
    law = gate(name)
    assert dials.apply(law, [law.shape[2]]) == pytest.approx(enumerated(law, dials), abs=1e-15)


@pytest.mark.parametrize(
    "reference",
    [
        "atoms(redundant=0.5, unique2=1.5, synergy=0.5, label_noise=0.2)",
        "atoms(unique1=0.5, unique_tuning='channel', synergy=0.5, broken_pairs=0.3, label_noise=0.1)",
        "atoms(missing_modality1=0.2, missing_modality2=0.3)",
        "gate('and', label_noise=0.1, rare_class=0.05, broken_pairs=0.3, missing_modality2=0.2)",
        "gate('and', subclasses=3, broken_pairs=0.5)",
        "symile(bits=2, broken_pairs=0.3)",
    ],
)
def test_samples_follow_the_law(reference):
    generator = load_generator(reference)
    sample = generator.sample(N, seed=3)
    for tensors, laws in (("cells", generator.cell_laws), ("pair", generator.pair_laws)):
        assert laws or tensors == "cells"
        for target, law in laws.items():
            names = (f"{target}:1", f"{target}:2")
            first, second = (
                sample.cells if tensors == "cells" else (sample.auxiliary_targets[name] for name in names)
            )
            assert law.sum() == pytest.approx(1.0)
            cell = (first * law.shape[1] + second) * law.shape[2] + sample.targets[target]
            counts = np.bincount(cell.numpy(), minlength=law.size) / N
            p = law.ravel()
            assert np.all(np.abs(counts - p) <= 5 * np.sqrt(p * (1 - p) / N) + 1e-12)


TUNINGS = ("entropy", "erasure", "channel")


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("label_noise", [0.1, 0.5, 1.0])
def test_noisy_atoms_in_closed_form_equal_the_solver(tuning, label_noise):
    tunings = dict.fromkeys(("redundant_tuning", "unique_tuning", "synergy_tuning"), tuning)
    atoms = load_generator(
        "atoms", redundant=0.6, unique1=1.4, unique2=0, synergy=0.3, label_noise=label_noise, **tunings
    )
    assert atoms.truth.how == "closed form"
    solved = atoms.solve()
    for term in TERMS:
        assert atoms.truth.terms[term] == pytest.approx(solved.terms[term], abs=1e-6)
    for target, law in atoms.cell_laws.items():
        joint = law.reshape(-1, law.shape[2])
        bits = entropy(joint.sum(0)) + entropy(joint.sum(1)) - entropy(joint.ravel())
        assert atoms.target_specs[target].information[0, 1] == pytest.approx(bits, abs=1e-9)


def test_a_noisy_label_in_closed_form():
    assert load_generator("atoms", label_noise=0.11).truth.redundant == pytest.approx(1 - 0.49992, abs=1e-5)
    three = np.array([0.7 * 0.9 + 0.3 * 0.05, 0.3 * 0.9 + 0.7 * 0.05, 0.05])
    assert noisy_label_entropy(0.7, 0.1, 3) == pytest.approx(entropy(three))


def test_missing_modalities_scale_the_terms_of_atoms():
    truth = load_generator("atoms(redundant=0.5, synergy=0.5, missing_modality2=0.25)").truth
    expected = (0.375, 1.125, 0.75, 0.375)
    assert tuple(truth.terms.values()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classes", [100, 1000])
def test_many_classes_do_not_change_the_information(classes):
    plain, many = Atoms(), load_generator("atoms", subclasses=classes / 2)
    assert many.truth == plain.truth
    sample = many.sample(5000, seed=1)
    for name, target in many.target_specs.items():
        assert target.classes == classes
        assert target.information == plain.target_specs[name].information
        assert target.entropy == pytest.approx(np.log2(classes))
        assert sample.targets[name].max() > classes - 10


def test_a_rare_class_of_a_continuous_generator():
    generator = load_generator("modular(classes=4, synergy=2, rare_class=0.01)")
    prior = np.array([0.33, 0.33, 0.33, 0.01])
    assert generator.truth.synergy == pytest.approx(entropy(prior))
    counts = np.bincount(generator.sample(N).y.numpy(), minlength=4) / N
    assert counts == pytest.approx(prior, abs=5 * 0.0024)


def test_dials_that_are_off_give_the_plain_generator():
    off = {"label_noise": 0, "subclasses": 1, "rare_class": None, "broken_pairs": 0, "train_label_noise": 0}
    assert load_generator("atoms", **off) == Atoms()
    assert load_generator("gate('and')", train_pmf="and") == Gate("and")


def test_dials_do_not_change_other_draws():
    plain = Atoms().sample(200, seed=4)
    for reference in ("atoms(label_noise=0.3)", "atoms(broken_pairs=0.3)", "atoms(missing_modality2=0.3)"):
        stressed = load_generator(reference).sample(200, seed=4)
        assert torch.equal(stressed.x1, plain.x1)
        share = (stressed.x2 == plain.x2).all(1).float().mean()
        assert 0.6 < share < 0.8 if "label" not in reference else share == 1
    # The same rows are broken, and more of them.
    few, many = (load_generator("atoms", broken_pairs=q).sample(200, seed=4) for q in (0.2, 0.4))
    assert (few.latents["broken"] <= many.latents["broken"]).all()


def test_views_keep_the_rows_of_both_modalities():
    generator = load_generator("atoms(broken_pairs=0.5, missing_modality1=0.3, label_noise=0.2)")
    sample = generator.sample(300, seed=5)
    view = generator.view(sample, "noise", seed=6)
    assert all(torch.equal(a, b) for a, b in zip(view.cells, sample.cells, strict=True))
    hidden = sample.latents["missing 1"]
    assert (sample.x1[hidden] == 0).all()
    assert (view.x1[hidden] == 0).all()
    assert (view.x1[~hidden] != 0).any(1).all()
    task = generator.view(sample, "task", seed=6)
    # The first redundant bit is the label before noise, and the second one that of the other row.
    for m, clean in enumerate(("clean redundant", "other clean redundant")):
        rows = ~hidden if m == 0 else sample.latents["broken"]
        shown = (task.symbols["redundant"][m][0] > 0)[rows].long()
        assert torch.equal(shown, sample.latents[clean][rows])
    assert torch.equal(task.targets["redundant"], sample.targets["redundant"])


def test_training_shifts_from_redundant_to_unique():
    generator = load_generator(
        "atoms(redundant=0, unique1=1, synergy=0, train_redundant=1, train_unique1=0, train_label_noise=0.5)"
    )
    assert generator.truth == Atoms(0, 1, 1, 0).truth
    rows = {split: generator.sample(2000, seed=1, split=split) for split in ("train", "eval")}
    assert set(rows["train"].targets["unique1"].tolist()) == {0, 1}  # only noise
    assert set(rows["train"].latents["clean unique1"].tolist()) == {0}
    assert torch.equal(rows["eval"].x1, Atoms(0, 1, 1, 0).sample(2000, seed=1).x1)
    view = generator.view(rows["train"], "task", seed=2)
    assert torch.equal(view.symbols["redundant"][0], rows["train"].symbols["redundant"][0])


@pytest.mark.parametrize(
    ("reference", "stress"),
    [("factorcl", {"train_label_noise": 0.2}), ("atoms(shared_nuisance=1)", {"train_broken_pairs": 0.3})],
)
def test_stress_in_training_alone_needs_no_truth_of_training(reference, stress):
    generator = load_generator(reference, **stress)
    assert generator.truth == load_generator(reference).truth
    rows = generator.sample(2000, split="train")
    name = next(iter(rows.targets))
    wrong = (rows.targets[name] != rows.latents[f"clean {name}"]).float().mean()
    assert wrong == pytest.approx(stress.get("train_label_noise", 0.0), abs=0.05)
    assert all(math.isnan(bits) for bits in generator.training.truth.terms.values())
    assert generator.view(rows, "generic", seed=0).x1.shape == rows.x1.shape


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        (
            "factorcl(label_noise=0.1)",
            "label_noise = 0.1: not possible for factorcl; a modality has some but",
        ),
        ("factorcl(broken_pairs=0.1)", "no pmf of finitely many symbols"),
        ("gaussian(label_noise=0.1)", "not possible for gaussian"),
        ("atoms(rare_class=0.01)", "needs one target"),
        ("atoms(broken_pairs=0.1, shared_nuisance=1)", "shared nuisance would reveal broken pairs"),
        ("atoms(redundant=6, unique1=4, broken_pairs=0.1)", "too many to assemble"),
        ("symile(bits=5, broken_pairs=0.1)", "too many to decompose"),
        ("three(broken_pairs=0.1)", "need two modalities"),
        ("gate('and', rare_class=1)", "expected a number between 0 and 1"),
        ("atoms(label_noise=1.5)", "expected a number from 0 to 1"),
        ("atoms(subclasses=0)", "expected a whole number, 1 or more"),
        ("atoms(label_noize=0.1)", "did you mean 'label_noise'"),
        ("atoms(train_redundant=2)", "train_redundant = 2.0: training data of atoms would have other"),
        ("atoms(train_world=2)", "no argument 'train_world'"),
        ("atoms(train_noise=-1)", "noise = -1: expected a finite number"),
    ],
)
def test_what_is_not_known_is_refused_in_one_line(reference, why):
    with pytest.raises(InvalidRequest, match=why) as refused:
        load_generator(reference)
    assert "\n" not in str(refused.value)


def test_labels_of_rows_of_a_file(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    np.savez(tmp_path / "a.npz", x1=rng.normal(size=(400, 2)), x2=rng.normal(size=(400, 2)), y=y)
    generator = load_generator(f"arrays({str(tmp_path / 'a.npz')!r}, label_noise=0.25, broken_pairs=0.5)")
    assert generator.truth.how == "unknown"
    assert generator.target_specs["y"].prior == pytest.approx((0.5, 0.5))
    sample = generator.sample(200, split="train")
    wrong = (sample.y != sample.latents["clean y"]).float().mean()
    assert 0.1 < wrong < 0.4


def test_dials_are_axes_of_a_sweep_and_survive_storage():
    request = build_request(
        [(("label_noise",), "0..0.4:3"), (("train_broken_pairs",), "0,0.5")],
        generator="gate('and')",
        objectives=["cross"],
        seeds=1,
    )
    runs = Runs(request)
    truths = [run.truth["synergy"] for run in runs]
    assert truths[0] == truths[1] == pytest.approx(0.5, abs=1e-6)
    assert truths == sorted(truths, reverse=True)
    assert len({run.key for run in runs}) == 6
    for run in runs:
        rebuilt = _generator(run.specification["generator"])
        assert rebuilt == run.generator
        assert decompose(rebuilt.cell_laws["y"]).synergy == pytest.approx(run.truth["synergy"], abs=1e-6)
