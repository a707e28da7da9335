import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plugin import assert_holds

from pidlab import InvalidRequest, capture, fit
from pidlab.generators import load_generator
from pidlab.generators.parity import Parity
from pidlab.info import binary_entropy, mutual_information


def law(generator):
    """Enumerate p(word of every modality, y) from independent words and the events that replace them."""
    n, words = generator.sources, 2**generator.bits
    table = np.zeros((*[words] * n, words))
    reliability = [generator.reliability1, *[generator.reliability] * (n - 1)]
    for y, *parts in itertools.product(range(words), repeat=n - 1):
        last = y
        for part in parts:
            last ^= part
        for shown in itertools.product(range(words), repeat=n):
            p = words ** -(n - 1.0)
            for true, seen, r in zip((y, *parts, last), shown, reliability, strict=True):
                p *= (1 - r) / words + r * (true == seen)
            table[(*shown, y)] += p
    return table


@given(st.integers(3, 4), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_every_set_of_modalities_has_the_enumerated_information(sources, reliability1, reliability):
    generator = Parity(sources, reliability1, reliability)
    check_information(generator)


def test_words_have_the_enumerated_information():
    check_information(Parity(3, 0.7, 0.8, bits=2))


def check_information(generator):
    table = law(generator)
    assert table.sum() == pytest.approx(1.0)
    information = generator.target_specs["y"].information
    assert len(information) == 2**generator.sources - 1
    for held, stated in information.items():
        others = tuple(m for m in range(generator.sources) if m not in held)
        seen = table.sum(others).reshape(-1, table.shape[-1])
        assert float(mutual_information(seen)) == pytest.approx(stated, abs=1e-9), held


def test_closed_form():
    information = Parity(3, reliability1=0.6, reliability=0.9).target_specs["y"].information
    assert information[0,] == pytest.approx(1 - binary_entropy(0.2))
    assert information[1, 2] == pytest.approx(1 - binary_entropy((1 - 0.81) / 2))
    # Both channels tell the truth, only one does, or none; agreeing channels leave h(both / agreeing).
    agree, first, second, none = 0.8 * 0.905, 0.8 * 0.095, 0.2 * 0.905, 0.2 * 0.095
    left = (agree + none) * binary_entropy(agree / (agree + none))
    left += (first + second) * binary_entropy(first / (first + second))
    assert information[0, 1, 2] == pytest.approx(1 - left)


def test_eight_modalities_of_symile():
    generator = Parity(8)
    information = generator.target_specs["y"].information
    everything = tuple(range(8))
    for held, bits in information.items():
        assert bits == (1.0 if 0 in held or held == everything[1:] else 0.0)
    sample = generator.sample(1000, seed=1)
    words = sample.latents["words"]
    assert len(sample.x) == 8
    assert words[0].equal(sample.y)
    assert not (words.sum(0) % 2).any()  # the XOR of all eight bits is 0


def codes(parts):
    rows = np.concatenate([part.numpy() for part in parts]).T
    return np.unique(rows, axis=0, return_inverse=True)[1]


@pytest.mark.parametrize("reference", ["parity(3, 0.7, 0.8)", "parity(bits=2)", "parity(4, 0, 0.9)"])
def test_samples_and_views_have_the_specified_information(reference):
    generator = load_generator(reference)
    sample = generator.sample(20_000, seed=3)
    for rows in (sample, generator.view(sample, "task", seed=4), generator.view(sample, "noise", seed=5)):
        for held, stated in generator.target_specs["y"].information.items():
            assert_holds(codes([rows.symbols["y"][m] for m in held]), sample.y.numpy(), stated)
    task = generator.view(sample, "task", seed=4)
    noise = generator.view(sample, "noise", seed=4)
    # A task view tells as much about the words of X2 as y does: nothing.
    assert_holds(codes([sample.symbols["y"][1]]), codes([task.symbols["y"][1]]), 0.0)
    assert all(a.equal(b) for a, b in zip(sample.symbols["y"], noise.symbols["y"], strict=True))


def test_training_with_a_modality_that_is_uninformative_later():
    generator = load_generator("parity(reliability1=0, train_reliability1=1)")
    assert generator.target_specs["y"].information == {
        (0,): 0, (1,): 0, (2,): 0, (0, 1): 0, (0, 2): 0, (1, 2): 1, (0, 1, 2): 1,
    }  # fmt: skip
    trained, tested = (generator.sample(2000, seed=1, split=split) for split in ("train", "eval"))
    assert_holds(trained.latents["words"][0].numpy(), trained.y.numpy(), 1.0)
    assert_holds(tested.latents["words"][0].numpy(), tested.y.numpy(), 0.0)


def test_label_noise_is_accepted_if_the_truth_stays_known():
    noisy = load_generator("parity(label_noise=0.1)")
    assert noisy.target_specs["y"].information[1, 2] == pytest.approx(1 - binary_entropy(0.1))
    with pytest.raises(InvalidRequest, match="not possible for parity"):
        load_generator("parity(reliability1=0.5, label_noise=0.1)")


def test_eight_modalities_can_be_trained_and_probed():
    fitted = fit("symile", "parity(8)", steps=2, batch=16, dim=2, hidden=8)
    rows = capture(fitted, "parity(8)", probes="quick")
    truth = rows.groupby("readout")["truth"].first()
    assert set(truth.index) == {"z12", *(f"z{m}" for m in range(1, 9))}
    assert truth["z1"] == truth["z12"] == 1.0
    assert truth["z8"] == 0.0


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("parity(2)", "sources = 2: expected a whole number, 3 or more"),
        ("parity(9)", "sources = 9: expected 8 or fewer"),
        ("parity(reliability=1.1)", "reliability = 1.1"),
        ("parity(reliability1='a')", "reliability1 = 'a'"),
        ("parity(bits=6)", "bits = 6: expected 5 or fewer"),
        ("parity(noise=-1)", "noise = -1"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)
