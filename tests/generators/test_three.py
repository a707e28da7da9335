import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin import assert_holds

from pidlab import InvalidRequest, capture, fit
from pidlab.decomposition import Planted
from pidlab.generators import load_generator
from pidlab.generators.three import (
    FACTORS,
    SUBSETS,
    Factor,
    Three,
)
from pidlab.info import inverse_binary_entropy, mutual_information

EVERYTHING = Three(**dict.fromkeys(FACTORS, 0.6), width=32)


def law(factor):
    """Enumerate p(shown X1, shown X2, shown X3, symbol) of a factor of up to one bit."""
    members, p = factor.modalities, 0.5 if factor.is_synergistic else inverse_binary_entropy(factor.bits)
    table = np.zeros((3, 3, 3, 2))
    for symbol, shown, *parts in itertools.product((0, 1), repeat=1 + len(members)):
        bits = dict.fromkeys(members, symbol)
        weight = (p if symbol else 1 - p) * 0.5 ** len(parts)
        if factor.is_synergistic:
            bits = dict(zip(members, [*parts, (symbol + sum(parts)) % 2], strict=True))
            weight *= factor.bits if shown else 1 - factor.bits
        else:
            weight *= 0.5
        values = {m: 2 * bit - 1 for m, bit in bits.items()}
        if factor.is_synergistic:
            values[members[-1]] *= shown
        table[(*(values.get(m, 0) + 1 for m in range(3)), symbol)] += weight
    return table


@given(st.sampled_from(list(FACTORS)), st.floats(0.01, 1))
@settings(max_examples=60, deadline=None)
def test_every_set_of_modalities_has_the_specified_information(name, bits):
    factor = Factor(name, bits)
    table = law(factor)
    assert table.sum() == pytest.approx(1.0)
    for held, stated in factor.target.information.items():
        others = tuple(m for m in range(3) if m not in held)
        seen = table.sum(others).reshape(-1, 2)
        assert float(mutual_information(seen)) == pytest.approx(stated, abs=1e-9), held


def test_information_is_listed_for_every_set():
    for target in EVERYTHING.target_specs.values():
        assert tuple(target.information) == SUBSETS
    assert EVERYTHING.target_specs["redundant12"].information[2,] == 0
    assert EVERYTHING.target_specs["synergy13"].information[0, 2] == 0.6
    assert EVERYTHING.target_specs["synergy13"].information[0, 1] == 0
    assert EVERYTHING.target_specs["synergy"].information[1, 2] == 0


def codes(parts):
    """Encode all shown symbols as one number per row."""
    rows = torch.cat(list(parts)).T.numpy()
    return np.unique(rows, axis=0, return_inverse=True)[1]


@pytest.mark.parametrize("bits", [1.0, 0.4, 1.7])
def test_samples_have_the_specified_information(bits):
    generator = Three(**dict.fromkeys(FACTORS, bits), width=48)
    sample = generator.sample(20_000, seed=3)
    for factor in generator.factors:
        shown = dict(zip(factor.modalities, sample.symbols[factor.name], strict=True))
        for held, stated in generator.target_specs[factor.name].information.items():
            seen = [shown[m] for m in held if m in shown]
            if seen:
                assert_holds(codes(seen), sample.targets[factor.name].numpy(), stated)
            else:
                assert stated == 0


def test_modalities_share_only_their_redundant_bits():
    sample = EVERYTHING.sample(20_000, seed=1)
    for name, shown in sample.symbols.items():
        for a, b in itertools.combinations(shown, 2):
            assert_holds(codes([a]), codes([b]), 0.6 if name.startswith("redundant") else 0.0)


def test_symbols_are_functions_of_the_observations():
    generator = Three(**dict.fromkeys(FACTORS, 0.6), depth=0, noise=5.0)
    sample = generator.sample(500, seed=1)
    for m, (x, rendering) in enumerate(zip(sample.x, generator._renderings, strict=True)):
        # depth 0 is one orthogonal map, scaled
        latents = torch.linalg.lstsq(rendering._layers[0][0].double(), x.mT.double()).solution
        row = 0
        for factor in generator.factors:
            if m in factor.modalities:
                clean = sample.symbols[factor.name][factor.modalities.index(m)]
                gap = 0.5 if 0 in clean else 1.0
                assert float((latents[row : row + len(clean)] - clean).abs().max()) < gap
                row += len(clean)


def test_truth_is_the_design():
    truth = Three(redundant=0.5, unique1=None, synergy23=1.2).truth
    assert isinstance(truth, Planted)
    assert truth.terms == {
        "redundant": 0.5,
        "unique2": 1.0,
        "unique3": 1.0,
        "synergy": 1.0,
        "synergy23": 1.2,
    }
    assert truth.total == pytest.approx(4.7)
    assert truth.to_dict()["how"] == "design"


def test_views_keep_the_specified_information():
    generator = Three(**dict.fromkeys(FACTORS, 0.6))
    sample = generator.sample(20_000, seed=1)
    for policy in ("task", "noise"):
        view = generator.view(sample, policy, seed=2)
        for factor in generator.factors:
            stated = generator.view_information(policy)[factor.name]
            before, after = codes(sample.symbols[factor.name]), codes(view.symbols[factor.name])
            assert_holds(before, after, stated.between)
            assert_holds(after, sample.targets[factor.name].numpy(), stated.target)


def test_truth_of_every_readout_is_that_of_its_modalities():
    generator = Three(redundant=0.5, synergy12=0.7)
    fitted = fit("untrained", generator, dim=2, hidden=8)
    rows = capture(fitted, generator, probes="quick")
    assert set(rows["readout"]) == {"z1", "z2", "z3", "z12"}
    truth = rows.groupby(["readout", "term"])["truth"].first()
    assert truth["z3", "unique3"] == truth["z12", "unique3"] == 1.0
    assert truth["z1", "unique3"] == truth["z3", "synergy"] == 0.0
    assert truth["z3", "redundant"] == 0.5
    assert truth["z12", "synergy12"] == 0.7


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("three(redundant=-1)", "redundant = -1"),
        ("three(unique3='a')", "unique3 = 'a'"),
        ("three(synergy13=30)", "modality 1 needs 41 dimensions"),
        ("three(redundant=40, width=64)", "redundant: a label of 40 bits"),
        ("three(synergi13=1)", "did you mean 'synergy13'"),
        ("three(noise=None)", "noise = None"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)


def test_nothing_planted_is_refused():
    with pytest.raises(InvalidRequest, match="nothing is planted"):
        Three(**dict.fromkeys(FACTORS))


@pytest.mark.parametrize("bits", [0.0, 0.3])
def test_entropy_of_a_symbol(bits):
    target = Three(unique1=bits, synergy=bits).target_specs
    assert target["unique1"].entropy == pytest.approx(bits)
    assert target["synergy"].entropy == 1.0
    assert math.fsum(target["unique1"].prior) == pytest.approx(1.0)
