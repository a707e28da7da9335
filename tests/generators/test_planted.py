"""Planted information on feature banks: law, rows, views, truth and refusals."""

import math
import sys

import numpy as np
import pytest
import torch
from feature_bank_files import CLASSES, ROWS, WIDTH, gaussian_bank, write_banks

import pidlab
from pidlab import InvalidRequest
from pidlab.decomposition import TERMS
from pidlab.encoders import Image
from pidlab.generators import feature_banks, load_generator
from pidlab.generators.planted import FRACTIONS, PlantedFeatures
from pidlab.results.means import BOUNDS


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_banks(tmp_path_factory.mktemp("banks") / "banks.npz")


def class_of_rows(planted, sample, m):
    return planted.banks[m].labels[sample.latents[f"row{m + 1}"].numpy()]


def test_classes_follow_the_law(file):
    planted = PlantedFeatures(file, redundant=0.5, unique1=0.3, unique2=0, synergy=0.6)
    sample = planted.sample(10_000, seed=1, split="train")
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (class_of_rows(planted, sample, 0), class_of_rows(planted, sample, 1)), 1)
    expected = np.zeros((CLASSES, CLASSES))
    pair = next(iter(planted.cell_laws.values())).sum(2)
    first, second = planted.symbol_classes(0), planted.symbol_classes(1)
    for a, b in np.argwhere(pair > 0):
        ones, twos = first[planted.coding.symbols[0][a]], second[planted.coding.symbols[1][b]]
        expected[np.ix_(ones, twos)] += pair[a, b] / (len(ones) * len(twos))
    assert expected.sum() == pytest.approx(1.0)
    n = counts.sum()
    assert np.abs(counts / n - expected).max() <= 5 * np.sqrt(expected.max() / n)


def test_observations_are_the_rows_of_the_bank(file):
    planted = PlantedFeatures(file)
    sample = planted.sample(30, seed=2)
    arrays = np.load(file)
    x = arrays["x1"] - arrays["x1"].mean(0)
    x /= np.sqrt(np.mean(x**2))
    # The bank is ordered by class, as the file is.
    assert np.allclose(sample.x1.numpy(), x[sample.latents["row1"].numpy()], atol=1e-5)


def test_symbols_of_terms_are_functions_of_the_class(file):
    planted = PlantedFeatures(file)
    sample = planted.sample(5000, seed=3)
    for m, terms in enumerate((("redundant", "unique1"), ("redundant", "unique2"))):
        classes = class_of_rows(planted, sample, m)
        for term in terms:
            for c in np.unique(classes):
                assert len(set(sample.targets[term][classes == c].tolist())) == 1
        # Neither modality alone tells the XOR.
        for c in np.unique(classes):
            assert 0.3 < sample.targets["synergy"][classes == c].float().mean() < 0.7


@pytest.mark.parametrize("m", [0, 1])
def test_parts_share_no_rows_and_worlds_divide_differently(file, m):
    planted = PlantedFeatures(file, law="gate('and')")
    parts = {split: set(planted.symbol_rows(m, split).ravel().tolist()) for split in FRACTIONS}
    used = ROWS * (CLASSES // 2 * 2)  # two symbols; the ninth class is not used
    assert sum(map(len, parts.values())) == len(set.union(*parts.values())) == used
    rest = set(planted.symbol_rows(m, "eval").ravel().tolist())
    assert rest == parts["probe"] | parts["validation"] | parts["test"]
    other = {*planted.in_world(1).symbol_rows(m, "test").ravel().tolist()}
    assert other != parts["test"]
    for split in FRACTIONS:
        drawn = planted.sample(500, seed=4, split=split)
        assert set(drawn.latents[f"row{m + 1}"].tolist()) <= parts[split]


@pytest.mark.parametrize(
    "bits", [{}, {"unique1": 0.1, "unique2": 0.7}, {"synergy": 0}, {"law": "gate('and')"}]
)
def test_test_pairs_use_every_row_about_once(file, bits):
    planted = PlantedFeatures(file, **bits)
    n = planted.rows("test")
    for seed in range(5):
        sample = planted.sample(n, seed, "test")
        for m in (1, 2):
            times = torch.bincount(sample.latents[f"row{m}"])
            assert int(times.max()) <= 2
            assert int((times == 2).sum()) <= 0.02 * n


def test_test_pairs_have_the_law_of_all_pairs(file):
    planted = PlantedFeatures(file, unique1=0.5)
    n, seeds = planted.rows("test"), range(30)
    mean = np.mean([planted.sample(n, seed, "test").targets["unique1"].float().mean() for seed in seeds])
    p = planted.target_specs["unique1"].prior[1]
    # Even draws vary less than independent ones.
    assert abs(mean - p) <= 5 * math.sqrt(p * (1 - p) / (n * len(seeds)))


def test_a_noise_view_shows_the_same_symbols_by_other_rows_of_the_part(file):
    planted = PlantedFeatures(file)
    sample = planted.sample(400, seed=5, split="train")
    view = planted.view(sample, "noise", seed=6)
    train = [set(planted.symbol_rows(m, "train").ravel().tolist()) for m in (0, 1)]
    for m in (0, 1):
        assert (class_of_rows(planted, sample, m) == class_of_rows(planted, view, m)).all()
        assert not (sample.latents[f"row{m + 1}"] == view.latents[f"row{m + 1}"]).any()
        assert set(view.latents[f"row{m + 1}"].tolist()) <= train[m]


def test_a_task_view_keeps_labels_and_redraws_the_ingredients_of_the_xor(file):
    planted = PlantedFeatures(file)
    sample = planted.sample(2000, seed=7)
    view = planted.view(sample, "task", seed=8)
    kept = [
        sample.auxiliary_targets[f"synergy:{m}"] == view.auxiliary_targets[f"synergy:{m}"] for m in (1, 2)
    ]
    assert torch.equal(kept[0], kept[1])
    assert 0.4 < kept[0].float().mean() < 0.6


def test_the_size_of_a_term_is_a_dial(file):
    truths = [PlantedFeatures(file, unique1=u, unique2=u) for u in (0, 0.1, 0.5, 1)]
    assert [g.truth.unique1 for g in truths] == [0, 0.1, 0.5, 1]
    # A term of 0 bits needs no classes, and every other size needs as many as 1 bit.
    assert [len(g.coding.priors[0]) for g in truths] == [4, 8, 8, 8]


def test_members_of_equal_shape_key_can_be_stacked_and_others_are_refused(file):
    members = [PlantedFeatures(file, unique1=u, unique2=u) for u in (0, 0.3, 0.4, 1)]
    assert members[1].shape_key == members[2].shape_key
    for a in members:
        for b in members:
            if a.shape_key == b.shape_key:
                for split in ("train", "test"):
                    together = PlantedFeatures.stack([a, b]).sample(20, [1, 2], split)
                    assert torch.equal(together.x1[1], b.sample(20, 2, split).x1)
            else:
                with pytest.raises(ValueError, match="equal shape keys"):
                    PlantedFeatures.stack([a, b])


def test_more_symbols_than_classes_are_refused_with_the_number_of_classes(file):
    with pytest.raises(InvalidRequest, match=r"modality 1 has 16 symbols .* has 9 classes: .* 16 classes"):
        PlantedFeatures(file, redundant=2)
    assert PlantedFeatures(file, redundant=3, unique1=0, unique2=0, synergy=0).truth.total == 3


def test_a_gate_keeps_its_decomposition(file):
    planted, gate = load_generator(f"planted({file!r}, law=\"gate('and')\")"), load_generator("gate('and')")
    assert planted.truth.terms == gate.truth.terms
    assert planted.target_specs["y"].information == gate.target_specs["y"].information


def test_separable_classes_have_an_exact_truth_by_assumption(file):
    planted = PlantedFeatures(file, separable=True)
    assert (planted.truth.how, planted.truth.gap, planted.bounds) == ("design", 0.0, None)
    assert all(spec.low is None for spec in planted.target_specs.values())
    assert planted.view_information("noise")["redundant"].target == 1.0


def test_without_the_assumption_the_truth_has_bounds(file):
    planted = PlantedFeatures(file)
    assert planted.truth.how == "held-out classifier"
    assert planted.truth.gap == max(abs(end - 1.0) for both in planted.bounds.values() for end in both)
    assert 0.0 < planted.truth.gap < 1.0
    assert planted.view_information("noise")["redundant"].target is None
    for term in TERMS:
        spec = planted.target_specs[term]
        assert 0.0 <= spec.low[0, 1] < spec.information[0, 1] == 1.0


def test_overlap_widens_the_bounds(file, tmp_path):
    near = write_banks(tmp_path / "near.npz", distance=1.5)
    assert PlantedFeatures(near).truth.gap > 1.5 * PlantedFeatures(file).truth.gap


@pytest.mark.slow
def test_images_have_convolutional_encoders(tmp_path):
    rng = np.random.default_rng(0)
    x, c = gaussian_bank(rng, width=64)
    path = tmp_path / "images.npz"
    np.savez(path, x1=x.reshape(-1, 1, 8, 8), c1=c, x2=x[:, :5] + 1, c2=c)
    planted = PlantedFeatures(str(path))
    assert planted.modalities[0] == Image(1, 8, 8)
    assert planted.sample(7).x1.shape == (7, 1, 8, 8)
    fitted = pidlab.fit("cross", planted, steps=1, batch=8, dim=4, views="noise")
    assert math.isfinite(float(fitted.losses[-1]))


def test_captured_bits_have_rows_of_the_bounds(file):
    def identity(x1, x2):
        return {"z1": x1, "z2": x2, "z12": torch.cat([x1, x2], dim=1)}

    planted = PlantedFeatures(file)
    table = pidlab.capture(identity, planted, probes="quick")
    bounds = table[(table["quantity"] == BOUNDS) & (table["readout"] == "z12")].set_index("term")
    assert list(bounds.index) == list(TERMS)
    assert (bounds["truth"] == 1.0).all()
    assert bounds["captured"].to_dict() == {term: planted.target_specs[term].low[0, 1] for term in TERMS}
    read = table[table["headline"] & (table["quantity"] == "mi") & (table["readout"] == "z12")]
    assert (read["captured"] <= 1.0).all()
    assert float(read.set_index("term")["captured"]["redundant"]) > 0.9


def _rows(m, change):
    rng = np.random.default_rng(m)
    x, c = gaussian_bank(rng)
    return change(x, c)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, c: (np.where(np.arange(len(x))[:, None] == 3, np.nan, x), c),
            "x1 has values that are not",
        ),
        (lambda x, c: (x, np.zeros_like(c)), "c1 has a target with a single class"),
        (lambda x, c: (x[:-20], c[:-20]), "class 8 of c1 has 70 rows; expected 80 or more per class"),
        (lambda x, c: (x[:-1], c), "x1 has 809 rows but c1 has 810; they must be equal"),
        (lambda x, c: (x, np.stack([c, c], axis=1)), "c1 has 2 columns; expected one class index per row"),
        (lambda x, c: (np.r_[x, x[:2]], np.r_[c, c[:2]]), "x1 has 2 exact copies of other rows"),
        (lambda x, c: (x * 1e-300, c), "x1 has equal rows in float32"),
        (lambda x, c: (x, c + 0.5), "c1 has values that are not whole numbers"),
        (lambda x, c: (x.astype(str), c), "x1 is"),
        (lambda x, c: (x, None), "has no array 'c1'"),
    ],
)
def test_banks_that_do_not_fit_are_refused_in_one_line(tmp_path, change, message):
    x, c = _rows(1, change)
    path = write_banks(tmp_path / "wrong.npz", x1=x, c1=c)
    with pytest.raises(InvalidRequest) as caught:
        PlantedFeatures(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"law": "arrays('x.npz')"}, "cannot read x.npz"),
        ({"law": "modular"}, "expected a generator of two modalities with few symbols"),
        ({"redundant": 5}, "redundant = 5: expected a generator of two modalities with few symbols"),
        ({"law": "atoms(train_label_noise=0.3)"}, "leave train_* parameters out"),
        ({"law": "three"}, "expected a generator of two modalities with few symbols"),
        ({"law": "atoms(shared_nuisance=1)"}, "shared_nuisance cannot be planted"),
        ({"law": "gate('and')", "unique1": 1}, "gate has no parameter 'unique1'"),
        ({"unique1": -1}, "unique1 = -1: expected a finite number, 0 or more"),
        ({"separable": 1}, "separable = 1: expected True or False"),
        ({"law": 3}, "law = 3: expected a string"),
        ({"world": -1}, "world = -1"),
    ],
)
def test_parameters_that_are_not_possible_are_refused_in_one_line(file, arguments, message):
    with pytest.raises(InvalidRequest) as caught:
        PlantedFeatures(file, **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_digits_without_scikit_learn_are_refused_in_one_line(monkeypatch):
    feature_banks._digit_banks.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(InvalidRequest, match=r"needs scikit-learn: install it \(pip install"):
        PlantedFeatures("digits")


def test_digits_are_two_banks_of_different_images():
    pytest.importorskip("sklearn")
    feature_banks._digit_banks.cache_clear()
    first, second = PlantedFeatures("digits").banks
    assert first.x.shape[1] == second.x.shape[1] == 64
    assert len(first.x) + len(second.x) == 1797
    assert min(first.counts.min(), second.counts.min()) == 87


def test_a_changed_file_has_other_contents(tmp_path):
    path = tmp_path / "banks.npz"
    one = PlantedFeatures(write_banks(path))
    other = PlantedFeatures(write_banks(path, seed=1))
    assert one.contents != other.contents
    assert one.modalities[0].dim == WIDTH
