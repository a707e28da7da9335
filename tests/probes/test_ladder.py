"""The ladder of probes in `capture`: structured probes, auxiliary targets and controls."""

import dataclasses

import pandas as pd
import pytest
import torch

from pidlab import Atoms, capture, load_generator
from pidlab.decomposition import TERMS
from pidlab.probes.capture import capture_cohort
from pidlab.probes.levels import LEVELS
from pidlab.probes.mlp import MLPProbe
from pidlab.probes.reading import Reading, has_converged
from pidlab.validation.known_cases import Known

# Every check of the thorough level, on few rows.
SMALL = dataclasses.replace(
    LEVELS["thorough"],
    train=4096,
    validation=2048,
    test=4096,
    mlp=MLPProbe(hidden=32, epochs=4),
    seeds=1,
    structured_headline=True,  # an MLP learns no XOR from 4,096 rows
)


def concatenated(x):
    return {"z1": x[0], "z2": x[1], "z12": torch.cat([*x], dim=-1)}


@pytest.fixture(scope="module")
def everything():
    """Return the rows of a readout of all latents, at the standard level."""
    (rows, _) = capture_cohort(concatenated, [Known("all"), Known("halfBSC")], [0, 0], "standard")
    return pd.DataFrame(rows)


def one(table, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1, table
    return table.iloc[0]


def test_synergy_is_read_by_the_best_probe_and_not_by_the_linear_one(everything):
    synergy = everything[(everything["term"] == "synergy") & (everything["readout"] == "z12")]
    assert set(synergy["probe"]) == {"linear", "mlp", "pair", "experts"}
    assert one(synergy, headline=True)["captured"] >= 0.95
    assert abs(one(synergy, probe="linear")["captured"]) <= 0.02


def test_structured_probes_are_reported_but_never_the_headline(everything):
    synergy = everything[(everything["term"] == "synergy") & (everything["readout"] == "z12")]
    # `experts` reads more here, but only readouts that are concatenations have it.
    assert one(synergy, probe="experts")["captured"] > one(synergy, headline=True)["captured"]
    assert one(synergy, headline=True)["probe"] == "mlp"


def test_accuracies_accompany_bits(everything):
    for probe, expected in (("linear", 0.5), ("mlp", 1.0)):
        row = one(everything, term="synergy", readout="z12", probe=probe)
        assert row["accuracy"] == pytest.approx(expected, abs=0.02)
        assert row["balanced_accuracy"] == pytest.approx(expected, abs=0.02)
    assert everything[everything["quantity"] == "broja"]["accuracy"].isna().all()


def test_accuracy_is_balanced_over_the_classes_that_occur():
    # 6 rows of class 0, 2 of class 1, none of class 2; the probe always answers 0, or is right on class 1.
    y = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]])
    log_prior = torch.tensor([[0.6, 0.3, 0.1]]).log()
    always = torch.tensor([0.8, 0.1, 0.1]).log()[None, :, None].expand(1, 3, 8)
    right = torch.where(y[:, None] == torch.arange(3)[None, :, None], 0.8, 0.1).log()
    reading = Reading(("always", "right"), (always, right), (always, right), y, y, log_prior)
    assert reading.accuracies[:, 0].tolist() == [[0.75, 0.5], [1.0, 1.0]]


def test_ingredients_of_the_xor_are_read_from_their_own_modality_only(everything):
    for part, here, there in ((1, "z1", "z2"), (2, "z2", "z1")):
        assert one(everything, readout=here, term=f"synergy:{part}")["captured"] > 0.95
        assert one(everything, readout=there, term=f"synergy:{part}")["truth"] == 0.0
        assert abs(one(everything, readout=there, term=f"synergy:{part}")["captured"]) < 0.005


def test_a_readout_of_all_latents_has_the_decomposition_of_its_factors(everything):
    terms = everything[(everything["quantity"] == "broja") & everything["term"].isin(TERMS)]
    # What a linear probe misses in z1 and z2 (about 0.01 bit of each factor) counts as synergy.
    assert terms["captured"].tolist() == pytest.approx([1, 1, 1, 1], abs=0.06)
    view = everything[everything["term"].str.endswith("co-information")].set_index("term")["captured"]
    assert view["shared:co-information"] == pytest.approx(0.0, abs=0.08)  # R - S
    assert view["unique1:co-information"] == pytest.approx(2.0, abs=0.05)  # U1 + S


def test_one_headline_per_readout_and_term_and_nothing_above_its_truth(everything):
    assert (everything.groupby(["readout", "term"])["headline"].sum() == 1).all()
    mi = everything[everything["quantity"] == "mi"]
    error = (mi["high"] - mi["captured"]) / 1.96
    assert (mi["captured"] <= mi["truth"] + 4.5 * error + 3e-4).all()
    assert not everything.duplicated(["readout", "term", "quantity", "probe"]).any()


def test_experts_need_a_concatenated_readout():
    def fused(x):
        return concatenated(x) | {"z12": x[0] + x[1]}

    rows = capture_cohort(fused, [Known("all")] * 2, [0, 1], "standard")[0]
    probes = {row["probe"] for row in rows if row["readout"] == "z12" and row["term"] == "synergy"}
    assert probes == {"linear", "mlp", "pair"}


def test_a_gate_is_read_from_its_symbols():
    gate = load_generator("gate('xor')", depth=0, nuisance=0)
    table = capture(lambda x1, x2: {"z1": x1, "z2": x2, "z12": torch.cat([x1, x2], -1)}, gate)
    best = one(table, readout="z12", term="y", headline=True)
    assert best["captured"] > 0.95
    assert {"y:1", "y:2"} <= set(table["term"])
    broja = table[table["quantity"] == "broja"].set_index("term")["captured"]
    assert broja["synergy"] > 0.95
    assert abs(broja["redundant"]) < 0.01


def test_nuisance_and_total_are_read():
    generator = Atoms(depth=0, nuisance=2, shared_nuisance=1.0)
    table = capture(lambda x1, x2: {"z1": x1, "z2": x2, "z12": torch.cat([x1, x2], -1)}, generator)
    best = table[table["headline"] & (table["quantity"] == "mi")].set_index(["readout", "term"])["captured"]
    assert best["z1", "nuisance:1"] > 0.9
    assert abs(best["z2", "nuisance:1"]) < 0.005
    assert min(best["z1", "nuisance:shared"], best["z2", "nuisance:shared"]) > 0.9
    assert best["z12", "total:y"] == pytest.approx(sum(best["z12", t] for t in TERMS))
    assert best["z12", "total:y"] > 3.8


@pytest.fixture(scope="module")
def thorough():
    generators = [Known("all"), Known("X1only")]
    return [pd.DataFrame(rows) for rows in capture_cohort(concatenated, generators, [0, 1], SMALL)]


def test_the_thorough_level_checks_convergence_and_power(thorough):
    mi = thorough[0][thorough[0]["quantity"] == "mi"]
    assert mi[mi["term"] != "total:y"]["converged"].notna().all()
    for table in thorough:  # the probes can read a planted XOR, whether or not the readout has one
        assert one(table, term="synergy:power")["captured"] > 0.9
    lost = [one(t, readout="z12", term="synergy:lost")["captured"] for t in thorough]
    assert lost[0] < 0.1
    assert lost[1] == pytest.approx(1.0, abs=0.02)


def test_lost_and_captured_bits_add_up_to_the_truth(thorough):
    table = thorough[0]
    for term in TERMS:
        lost = one(table, readout="z12", term=f"{term}:lost")["captured"]
        best = one(table, readout="z12", term=term, headline=True)
        # The exact posterior of a certain factor scores its surprise, with the sampling error of frequencies.
        assert lost + best["captured"] == pytest.approx(1.0, abs=5 / 4096**0.5)


@pytest.mark.parametrize("level", ["standard", SMALL], ids=["standard", "thorough"])
def test_a_batch_gives_the_same_rows_as_a_loop(level):
    def narrow(x):
        return concatenated([xi[..., :8] for xi in x])

    generators = [Atoms(synergy=s) for s in (0.3, 1.0, 0.3)]
    many = capture_cohort(narrow, generators, [0, 1, 2], level)
    few = capture_cohort(narrow, generators[1:], [1, 2], level)
    assert many[1:] == few


def readings(sizes, rise):
    """Return the readings of all rows and of a quarter, with equal scores on all test rows."""
    y = torch.arange(sizes) % 2
    log_prior = torch.full((1, 2), 0.5).log()

    def with_confidence(p):
        q = torch.stack([torch.where(y == k, p, 1 - p) for k in (0, 1)]).log()[None]
        return Reading(("mlp",), (q,), (q,), y[None], y[None], log_prior)

    return with_confidence(0.8 * 2**rise), with_confidence(0.8)


@pytest.mark.parametrize(("rise", "flag"), [(0.0, True), (0.004, True), (0.015, False), (0.1, False)])
def test_a_score_that_still_rises_is_flagged(rise, flag):
    # All rows score alike, so that the standard error is 0 and MIN_RISE decides.
    full, quarter = readings(1000, rise)
    assert bool(has_converged(full, quarter)) is flag
