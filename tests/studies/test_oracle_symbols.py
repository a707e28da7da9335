"""Tests that oracles compute the true symbols of observations exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pidlab import Atoms, InvalidRequest
from pidlab.encoders import Encoders
from pidlab.generators import Gate
from pidlab.studies.oracle_symbols import Oracle, terms_of

SIZES = {"hidden": 16, "layers": 1}


def encoders(generator, representation, dim=8):
    return Oracle(generator, representation)(generator.modalities, {}, dim=dim, **SIZES)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([0.0, 0.4, 1.0, 2.0]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.5, 2.0]),
    st.sampled_from(["entropy", "erasure", "channel"]),
    st.floats(0.0, 3.0),
    st.integers(0, 3),
    st.integers(0, 2),
)
def test_codes_are_the_symbols(unique1, unique2, synergy, tuning, noise, depth, nuisance):
    generator = Atoms(
        unique1=unique1,
        unique2=unique2,
        synergy=synergy,
        synergy_tuning=tuning,
        redundant_tuning=tuning,
        shared_nuisance=0.5,
        noise=noise,
        depth=depth,
        nuisance=nuisance,
        world=7,
    )
    sample = generator.sample(500, seed=1)
    told = encoders(generator, "R+U+S+nuisance", dim=12)
    for m, (tower, x) in enumerate(zip(told, sample.x, strict=True)):
        wanted = torch.cat([symbols[m] for symbols in sample.symbols.values()]).T
        code = tower(x)
        assert torch.equal(code[:, : wanted.shape[1]], wanted)
        rest = code[:, wanted.shape[1] :]
        if nuisance:
            assert torch.equal((rest[:, 0] > 0).long(), sample.auxiliary_targets[f"nuisance:{m + 1}"])
        assert not rest[:, bool(nuisance) :].any()


def test_a_representation_has_only_its_own_terms():
    generator = Atoms(synergy=0.5)
    sample = generator.sample(300, seed=2)
    told = {name: encoders(generator, name) for name in ("R", "U", "U1", "S", "R+U")}
    for m, x in enumerate(sample.x):
        r, s = (sample.symbols[term][m].T for term in ("redundant", "synergy"))
        u = sample.symbols[f"unique{m + 1}"][m].T
        codes = {name: each[m](x) for name, each in told.items()}
        assert torch.equal(codes["R"][:, :1], r)
        assert torch.equal(codes["S"][:, :1], s)
        assert torch.equal(codes["R+U"][:, :2], torch.cat([r, u], dim=1))
        assert torch.equal(codes["U"], codes["U1"]) == (m == 0)
        assert all(not code[:, 2:].any() for code in codes.values())


def test_the_fused_code_has_the_xor_and_neither_ingredient():
    generator = Atoms(synergy=0.5)
    sample = generator.sample(4000, seed=3)
    told = encoders(generator, "S", dim=2)
    fused = told.joint(*sample.x)
    held = fused.abs().sum(0) > 0
    assert held.tolist() == [False, False, True, False]
    shown = fused[:, 2] != 0
    assert torch.equal((fused[shown, 2] > 0).long(), sample.targets["synergy"][shown])
    # Half of the parts are erased: 4000 draws, six standard deviations.
    assert abs(float(shown.float().mean()) - 0.5) < 6 * 0.5 / 4000**0.5
    codes = [tower(x) for tower, x in zip(told, sample.x, strict=True)]
    both, one = told.fused().fuse(codes, [(0, 1), (0,)])
    assert torch.equal(both, fused)
    assert not one.any()


def test_unpaired_symbols_are_concatenated():
    generator = Atoms(unique2=2.0, synergy=2.0)
    sample = generator.sample(100, seed=4)
    told = encoders(generator, "R+U+S")
    z1, z2 = (tower(x) for tower, x in zip(told, sample.x, strict=True))
    fused = told.joint(*sample.x)
    assert torch.equal(fused[:, :2], z1[:, :2])
    assert torch.equal(fused[:, 8:11], z2[:, :3])
    assert torch.equal(fused[:, 11:13], -z1[:, 2:4] * z2[:, 3:5])
    assert not fused[:, 2:8].any()


def test_codes_of_other_widths_have_the_same_symbols():
    generator = Atoms()
    x = generator.sample(20).x
    told = encoders(generator, "R+U")
    assert isinstance(told, Encoders)
    assert list(told.parameters()) == []
    assert torch.equal(told.fresh(4)[0](x[0]), told[0](x[0])[:, :4])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: terms_of("R+T"), "representation 'R\\+T': unknown part 'T'"),
        (lambda: Oracle(Gate("and"), "R"), "generator 'gate': has no oracle; use atoms"),
        (lambda: encoders(Atoms(), "R+U+S", dim=2), "dim = 2: too narrow for 3 symbols"),
    ],
)
def test_invalid_oracles_are_refused(make, says):
    with pytest.raises(InvalidRequest, match=says):
        make()
