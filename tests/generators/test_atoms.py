import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pidlab import Atoms, InvalidRequest, decompose
from pidlab.decomposition import TERMS
from pidlab.generators import atoms_stack, load_generator
from pidlab.generators.atoms_stack import MOST_CELLS, slot_law
from pidlab.generators.generator import GENERIC_DROP, GENERIC_NOISE
from pidlab.generators.latent import (
    MARGIN,
    orthogonal_maps,
    truncated_normal,
)
from pidlab.info import (
    co_information,
    entropy,
    joint_information,
    mutual_information,
)

TUNINGS = ("entropy", "erasure", "channel")


def tuned(tuning, **bits):
    return Atoms(redundant_tuning=tuning, unique_tuning=tuning, synergy_tuning=tuning, **bits)


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("bits", [0.0, 0.1, 0.5, 1.0, 1.3, 2.0])
def test_target_information_equals_that_of_the_symbols(tuning, bits):
    atoms = tuned(tuning, redundant=bits, unique1=bits, unique2=bits, synergy=bits)
    for term, target in atoms.target_specs.items():
        pmfs = [slot_law(slot) for slot in atoms.slots if slot.term == term]
        got = {
            (0,): sum(mutual_information(p.sum(1)) for p in pmfs),
            (1,): sum(mutual_information(p.sum(0)) for p in pmfs),
            (0, 1): sum(joint_information(p) for p in pmfs),
        }
        assert got == pytest.approx(dict(target.information), abs=1e-9)
        assert sum(entropy(p.sum((0, 1))) for p in pmfs) == pytest.approx(target.entropy, abs=1e-9)


@given(*[st.floats(0, 3)] * 4, st.sampled_from(TUNINGS))
@settings(max_examples=30, deadline=None)
def test_truth_is_the_design(r, u1, u2, s, tuning):
    truth = tuned(tuning, redundant=r, unique1=u1, unique2=u2, synergy=s).truth
    assert tuple(truth.terms.values()) == (r, u1, u2, s)
    assert (truth.measure, truth.how, truth.gap) == ("broja", "design", 0.0)


def plug_in(*columns):
    """Plug-in joint entropy of integer columns, in bits."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        code = code * 4 + column + 1  # symbols are -1, 0, 1, labels 0..2
    _, counts = np.unique(code, return_counts=True)
    return float(entropy(counts / counts.sum()))


def columns_of(sample, term):
    return [part.numpy().astype(int) for m in sample.symbols[term] for part in m]


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("policy", ["task", "noise", "unique"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_views_keep_the_specified_information(tuning, policy, missing):
    n = 200_000
    atoms = tuned(tuning, redundant=0.6, unique1=0.6, unique2=1.0, synergy=0.6, missing=missing)
    sample = atoms.sample(n, seed=1)
    view = atoms.view(sample, policy, seed=2)
    for term, stated in atoms.view_information(policy).items():
        x, seen = columns_of(sample, term), columns_of(view, term)
        y = [sample.targets[term].numpy()]
        between = plug_in(*x) + plug_in(*seen) - plug_in(*x, *seen)
        target = plug_in(*seen) + plug_in(*y) - plug_in(*seen, *y)
        # plug-in bias (cells/2n) and five standard errors stay below this at n = 200,000
        assert between == pytest.approx(stated.between, abs=0.012), term
        assert target == pytest.approx(stated.target, abs=0.012), term


def test_views_lack_the_missing_part_of_each_bit():
    stated = Atoms(missing=0.3).view_information("noise")
    assert stated["redundant"].between == pytest.approx(0.7, abs=1e-12)
    assert stated["redundant"].target == pytest.approx(0.7, abs=1e-12)
    assert Atoms(missing=1.0).view_information("task")["unique1"].between == 0.0
    with pytest.raises(InvalidRequest, match=r"missing = 1\.5: expected a number from 0 to 1"):
        Atoms(missing=1.5)
    with pytest.raises(InvalidRequest, match=r"unknown views .generic.: atoms offers task, noise, unique"):
        Atoms(missing=0.3).view_information("generic")


def test_task_views_keep_the_labels():
    atoms = Atoms(redundant=0.5, unique1=0.5, shared_nuisance=1.0)
    sample = atoms.sample(4000, seed=1)
    view = atoms.view(sample, "task", seed=2)
    for term in ("redundant", "unique1", "unique2"):
        for a, b in zip(sample.symbols[term], view.symbols[term], strict=True):
            assert torch.equal(a, b)
    (s1,), (s2,) = (m.unbind(0) for m in sample.symbols["synergy"])
    (v1,), (v2,) = (m.unbind(0) for m in view.symbols["synergy"])
    assert torch.equal(s1 * s2, v1 * v2)
    assert 0.4 < float((s1 == v1).float().mean()) < 0.6
    shared = [s.symbols["shared"] for s in (sample, view)]
    assert torch.equal(*shared[1])
    assert 0.4 < float((shared[0][0] == shared[1][0]).float().mean()) < 0.6


def test_noise_views_keep_every_symbol():
    atoms = Atoms(shared_nuisance=1.0)
    sample = atoms.sample(500, seed=1)
    view = atoms.view(sample, "noise", seed=2)
    for term, parts in sample.symbols.items():
        assert all(torch.equal(a, b) for a, b in zip(parts, view.symbols[term], strict=True))


def test_generic_views_act_on_the_observation():
    sample = Atoms().sample(2000, seed=1)
    view = Atoms().view(sample, "generic", seed=2)
    dropped = float((view.x1 == 0).float().mean())
    assert dropped == pytest.approx(GENERIC_DROP, abs=0.01)
    kept = view.x1 != 0
    assert float((view.x1 - sample.x1)[kept].std()) == pytest.approx(GENERIC_NOISE, rel=0.05)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_every_symbol_is_a_function_of_the_observation(tuning):
    # undo the rendering in float64 and round: noise never crosses half the gap
    atoms = tuned(tuning, redundant=0.5, unique1=1.0, unique2=0.7, synergy=0.5)
    sample = atoms.sample(5000, seed=3)
    for m, present in enumerate(atoms_stack.TERMS_OF_MODALITY):
        held = [slot for slot in atoms.slots if slot.term in present]
        latents = len(held) + atoms.nuisance
        maps = orthogonal_maps(atoms.world, m, atoms.depth, atoms.width).double()
        x = sample.x[m].double()
        for layer in reversed(maps[1:]):
            x = x @ layer / math.sqrt(2 / (1 + atoms.slope**2))
            x = torch.where(x < 0, x / atoms.slope, x)
        back = (x @ maps[0])[:, :latents] / math.sqrt(atoms.width / latents)
        place = 0
        for term in dict.fromkeys(slot.term for slot in held):
            for row in sample.symbols[term][m]:
                assert float((back[:, place] - row).abs().max()) < held[place].gap / 2
                place += 1


def test_unique_views_keep_the_second_bit_of_an_xor():
    atoms = Atoms(redundant=1.0, unique1=1.0, unique2=0.5, synergy=0.6)
    sample = atoms.sample(40_000, seed=1)
    view = atoms.view(sample, "unique", seed=2)
    for term in ("redundant", "unique1", "unique2"):
        assert all(torch.equal(a, b) for a, b in zip(sample.symbols[term], view.symbols[term], strict=True))
    (first, second), (first_view, second_view) = sample.symbols["synergy"], view.symbols["synergy"]
    assert torch.equal(second, second_view)
    # the other bit is drawn anew: a fair coin, 4 standard errors of 40,000 tosses
    assert float((first == first_view).float().mean()) == pytest.approx(0.5, abs=4 * 0.5 / 200)


def test_independent_views_follow_the_released_augmentation():
    sample = Atoms(width=33).sample(20_000, seed=1)
    view = Atoms(width=33).view(sample, "independent", seed=2)
    for x, changed in zip(sample.x, view.x, strict=True):
        swapped = torch.cat([x[:, 16:], x[:, :16]], dim=1)
        kinds = torch.stack([
            (changed == swapped).all(1),
            (changed != x).all(1) & ((changed - x).abs().max(1).values < 0.1),
            ((changed == 0) & (x != 0)).sum(1) == 3,
            (changed == x).all(1),
        ])  # fmt: skip
        assert torch.equal(kinds.sum(0), torch.ones(20_000, dtype=torch.int64))
        # four equally likely choices, 4 standard errors
        assert kinds.float().mean(1).tolist() == pytest.approx([0.25] * 4, abs=4 * 0.0031)
        noise = (changed - x)[kinds[1]]
        assert float(noise.std()) == pytest.approx(0.01, rel=0.02)
    assert not torch.equal(view.x[0] == sample.x[0], view.x[1] == sample.x[1])


def test_rows_have_unit_scale_at_any_depth():
    for depth, slope in ((0, 0.5), (2, 0.5), (5, 0.1)):
        x = Atoms(depth=depth, slope=slope).sample(4000).x1
        assert 0.5 < float(x.square().mean()) < 1.5


def test_common_random_numbers_across_bits():
    # common random numbers: more bits in one term change no other term's symbols
    a, b = (Atoms(unique1=u).sample(300, seed=1) for u in (0.2, 0.9))
    for term in ("redundant", "unique2", "synergy"):
        assert torch.equal(a.targets[term], b.targets[term])
    assert not torch.equal(a.targets["unique1"], b.targets["unique1"])


@pytest.mark.parametrize("width", [11, 13, 33, 100])
def test_any_sufficient_width_is_accepted(width):
    assert Atoms(width=width).sample(5).x1.shape == (5, width)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"redundant": -1}, "redundant = -1"),
        ({"unique1": float("nan")}, "unique1 = nan"),
        ({"synergy": float("inf")}, "synergy = inf"),
        ({"unique2": "1"}, "unique2 = '1'"),
        ({"noise": -0.1}, "noise"),
        ({"nuisance": 1.5}, "nuisance = 1.5"),
        ({"depth": -1}, "depth"),
        ({"slope": 0}, "slope"),
        ({"width": 0}, "width"),
        ({"width": 10}, "modality 1 needs 11 dimensions (redundant 1, unique1 1, synergy 1, nuisance 8)"),
        ({"unique2": 40}, "modality 2 needs 50 dimensions (redundant 1, unique2 40, synergy 1, nuisance 8)"),
        ({"redundant": 1e12}, "redundant 1000000000000"),
        ({"redundant": 40, "width": 64}, "redundant: a label of 40 bits has 2^40 classes"),
        ({"shared_nuisance": 40, "width": 64}, "shared_nuisance: a label of 40 bits"),
        (dict.fromkeys(TERMS, 16) | {"width": 64}, "Y of 64 bits has 2^64 classes"),
        ({"synergy_tuning": "magic"}, "synergy_tuning = 'magic'"),
        ({"world": -1}, "world"),
    ],
)
def test_infeasible_requests_are_refused(wrong, says):
    with pytest.raises(InvalidRequest) as caught:
        Atoms(**wrong)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_by_reference():
    assert load_generator("atoms(noise=0.1)", unique1=0.3) == Atoms(noise=0.1, unique1=0.3)
    with pytest.raises(InvalidRequest, match="did you mean 'atoms'"):
        load_generator("atom")
    with pytest.raises(InvalidRequest, match="did you mean 'noise'"):
        load_generator("atoms(noize=1)")


def test_targets_are_in_standard_order():
    assert tuple(Atoms().target_specs) == TERMS


def test_zero_noise_is_allowed():
    x = Atoms(noise=0.0, nuisance=0, depth=0).sample(100, seed=1).x1
    assert len(torch.unique(x.round(decimals=4), dim=0)) == 8


@pytest.mark.parametrize("tuning", TUNINGS)
def test_symbols_follow_their_law(tuning):
    n = 50_000
    atoms = tuned(tuning, redundant=0.6, unique1=0.4, unique2=0.0, synergy=0.3)
    sample = atoms.sample(n, seed=3)
    for slot in atoms.slots:
        parts = [m[0].numpy().astype(int) if len(m) else np.zeros(n, int) for m in sample.symbols[slot.term]]
        drawn = np.stack([*parts, sample.targets[slot.term].numpy()])
        seen, counts = np.unique(drawn, axis=1, return_counts=True)
        law = slot_law(slot)
        assert seen.shape[1] == np.count_nonzero(law)
        # both lists run in C order of the values
        assert counts / n == pytest.approx(law[law > 0], abs=0.015)


def test_symbol_law_is_the_joint_law_and_limited_in_size():
    law = Atoms(redundant=0.5, unique1=0.3, unique2=1.2, synergy=0.4).symbol_law()
    assert law.shape == (2 * 2 * 2, 2 * 4 * 3, 2 * 2 * 4 * 2)
    assert law.sum() == pytest.approx(1.0, abs=1e-12)
    assert joint_information(law) == pytest.approx(2.4, abs=1e-9)
    assert co_information(law) == pytest.approx(0.1, abs=1e-9)
    assert Atoms(redundant=0, unique1=0, unique2=0, synergy=0).symbol_law().tolist() == [[[1.0]]]
    with pytest.raises(InvalidRequest, match=f"64 x 64 x 256 = 1048576 cells.*at most {MOST_CELLS}"):
        Atoms(redundant=2, unique1=2, unique2=2, synergy=2).symbol_law()


@pytest.mark.parametrize("tuning", TUNINGS)
@pytest.mark.parametrize("bits", [0.1, 0.5, 1.0, 1.3])
def test_solver_agrees_with_the_design_of_each_term(tuning, bits):
    pytest.importorskip("pidlab.info.broja")
    for term in TERMS:
        atoms = tuned(tuning, **{**dict.fromkeys(TERMS, 0.0), term: bits})
        assert_terms(decompose(atoms.symbol_law()), atoms.truth)


@pytest.mark.parametrize(
    "atoms",
    [
        tuned("entropy", redundant=0.3, unique1=0.2, unique2=0.6, synergy=0.5),
        tuned("erasure", redundant=0.3, unique1=0.2, unique2=0.0, synergy=0.5),
        tuned("channel", redundant=0.3, unique1=1.2, unique2=0.0, synergy=0.5),
        Atoms(redundant=1.4, unique1=0.3, unique2=0.0, synergy=0.7),
    ],
    ids=[*TUNINGS, "default"],
)
def test_solver_agrees_with_the_design_of_all_terms(atoms):
    pytest.importorskip("pidlab.info.broja")
    assert_terms(decompose(atoms.symbol_law()), atoms.truth)


def assert_terms(found, designed):
    for term, bits in designed.terms.items():
        assert found.terms[term] == pytest.approx(bits, abs=1e-8 + found.gap), term


@pytest.mark.parametrize("sd", [1e-3, 0.1, 0.3, 1.0, 1e6])
def test_noise_stays_inside_the_gap_for_every_draw(sd):
    # 0 and the greatest number below 1 are among what torch.rand gives, each once in 16 million draws
    draws = torch.tensor([0.0, 0.5, 1.0 - 2.0**-24])
    noise = truncated_normal(draws, sd, 0.5)
    assert noise[1] == 0.0
    assert noise.abs().max() <= MARGIN / 2
