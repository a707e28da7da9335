import itertools
import math

import numpy as np
import pytest
import torch
from plugin import assert_holds

from pidlab import InvalidRequest, capture, decompose, fit
from pidlab.generators import load_generator
from pidlab.generators.pid_ssl import ATOMS, PAIR_REDUNDANT, PIDSSL
from pidlab.info import binary_entropy, mutual_information

EVERYTHING = PIDSSL(" ".join(ATOMS), values=3, width=32)
COMBINED = [name for name in ATOMS if name.startswith("synergy") or name in PAIR_REDUNDANT]


def laws(generator, rows=4000):
    """Tabulate p(symbols of the modalities, target) of every atom from the distinct rows that are drawn.

    Distinct rows of an atom are equally probable, so their list is the exact law once all have occurred.
    """
    sample = generator.sample(rows, seed=1)
    q = generator.values
    for name in generator.names:
        members = ATOMS[name]
        shown = [((part[0] + 1) * (q - 1) / 2).round().long() for part in sample.symbols[name]]
        found = torch.stack([*shown, sample.targets[name]], 1).unique(dim=0)
        table = np.zeros((q, q, q, q))
        for *symbols, target in found.tolist():
            values = dict(zip(members, symbols, strict=True))
            table[(*(values.get(m, 0) for m in range(3)), target)] = 1 / len(found)
        yield name, len(found), table


@pytest.mark.parametrize("values", [3, 4, 7])
def test_every_set_of_modalities_has_the_enumerated_information(values):
    generator = PIDSSL(" ".join(ATOMS), values=values, width=32)
    for name, rows, table in laws(generator):
        degrees = len(ATOMS[name]) if name.startswith("synergy") else 2 if name in PAIR_REDUNDANT else 1
        assert rows == values**degrees
        for held, stated in generator.target_specs[name].information.items():
            others = tuple(m for m in range(3) if m not in held)
            seen = table.sum(others).reshape(-1, values)
            assert float(mutual_information(seen)) == pytest.approx(stated, abs=1e-9), (name, held)


def test_information_by_hand():
    bits = math.log2(7)
    specs = PIDSSL("synergy synergy13 redundant13_2 redundant23 unique1").target_specs
    expected = {
        "synergy": [0, 0, 0, 0, 0, 0, 1],
        "synergy13": [0, 0, 0, 0, 1, 0, 1],
        "redundant13_2": [0, 1, 0, 1, 1, 1, 1],
        "redundant23": [0, 1, 1, 1, 1, 1, 1],
        "unique1": [1, 0, 0, 1, 1, 0, 1],
    }  # sets 1, 2, 3, 12, 13, 23, 123
    for name, known in expected.items():
        assert list(specs[name].information.values()) == pytest.approx([bits * k for k in known])
        assert specs[name].entropy == pytest.approx(bits)


def test_a_pair_redundant_target_is_redundant_between_the_pair_and_the_third_modality():
    for name, _, table in laws(PIDSSL("redundant12_3", values=3)):
        assert name == "redundant12_3"
        law = table.reshape(9, 3, 3)  # sources (X1, X2) and X3
        assert decompose(law).redundant == pytest.approx(math.log2(3), abs=1e-6)


def test_targets_are_latin_squares_that_differ_between_worlds_and_atoms():
    tables = []
    for world in (0, 1):
        for name, _, table in laws(PIDSSL("synergy12 synergy23", world=world)):
            first, second = ATOMS[name]
            square = table.sum(({0, 1, 2} - {first, second}).pop()).argmax(-1)
            for line in [*square, *square.T]:
                assert sorted(line) == list(range(7))
            tables.append(square)
    assert all(not np.array_equal(a, b) for a, b in itertools.combinations(tables, 2))


def codes(parts):
    return np.unique(torch.cat(list(parts)).T.numpy(), axis=0, return_inverse=True)[1]


def test_samples_and_views_have_the_specified_information():
    sample = EVERYTHING.sample(20_000, seed=3)
    task, noise = (EVERYTHING.view(sample, policy, seed=4) for policy in ("task", "noise"))
    for rows in (sample, task):
        for name in EVERYTHING.names:
            shown = dict(zip(ATOMS[name], rows.symbols[name], strict=True))
            for held, stated in EVERYTHING.target_specs[name].information.items():
                seen = [shown[m] for m in held if m in shown]
                if seen:
                    assert_holds(codes(seen), sample.targets[name].numpy(), stated)
    for name in COMBINED:
        first = [rows.symbols[name][:1] for rows in (sample, task)]
        assert_holds(codes(first[0]), codes(first[1]), 0.0)
        assert codes(sample.symbols[name]).tolist() == codes(noise.symbols[name]).tolist()


def test_an_atom_does_not_change_the_draws_of_another():
    alone, together = PIDSSL("synergy12").sample(50, seed=2), PIDSSL("unique3 synergy12").sample(50, seed=2)
    assert torch.equal(alone.targets["synergy12"], together.targets["synergy12"])
    assert torch.equal(alone.symbols["synergy12"][0], together.symbols["synergy12"][0])


def test_symbols_are_functions_of_the_observations():
    generator = PIDSSL("redundant12_3 unique3 redundant23", noise=5.0, depth=0)
    sample = generator.sample(500, seed=1)
    for m, (x, rendering) in enumerate(zip(sample.x, generator._renderings, strict=True)):
        latents = torch.linalg.lstsq(rendering._layers[0][0].double(), x.mT.double()).solution
        shown = [sample.symbols[name][ATOMS[name].index(m)] for name in generator.names if m in ATOMS[name]]
        clean = torch.cat(shown)
        assert float((latents[: len(clean)] - clean).abs().max()) < 1 / 6


def test_truth_of_every_readout_is_that_of_its_modalities():
    generator = PIDSSL("redundant12_3 synergy")
    rows = capture(fit("untrained", generator, dim=2, hidden=8), generator, probes="quick")
    truth = rows.groupby(["readout", "term"])["truth"].first()
    assert truth["z3", "redundant12_3"] == truth["z12", "redundant12_3"] == pytest.approx(math.log2(7))
    assert truth["z1", "redundant12_3"] == truth["z3", "synergy"] == 0.0


def test_label_noise_is_a_symmetric_channel_of_seven_classes():
    target = load_generator("pid_ssl('redundant12_3', label_noise=0.1)").target_specs["redundant12_3"]
    bits = math.log2(7) - binary_entropy(0.1) - 0.1 * math.log2(6)
    assert list(target.information.values()) == pytest.approx([0, 0, bits, bits, bits, bits, bits])


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("pid_ssl('')", "expected one or more of redundant"),
        ("pid_ssl('unique4')", "'unique4' is no atom; did you mean"),
        ("pid_ssl('unique1 unique1')", "unique1 is given twice"),
        ("pid_ssl(values=1)", "values = 1: expected a whole number, 2 or more"),
        ("pid_ssl(values=65)", "values = 65: expected 64 or fewer"),
        (f"pid_ssl('{' '.join(ATOMS)}', values=64, width=99)", "ask for fewer atoms or values"),
        ("pid_ssl(noise=-1)", "noise = -1"),
        ("pid_ssl(width=4)", "needs 11 dimensions"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)
