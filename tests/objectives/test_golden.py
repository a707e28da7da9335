"""The losses against the numbers that the papers' released code gives."""

import pytest
import torch
from golden_numbers import golden_cases

from pidlab.encoders import Encoders
from pidlab.objectives.comm import CoMM
from pidlab.objectives.contrastive import (
    clip_loss,
    nt_xent,
    over_pairs,
    supcon,
)
from pidlab.objectives.cross_self import CrossSelf
from pidlab.objectives.objective import Batch

TOLERANCE = {torch.float64: {"rtol": 1e-8, "atol": 1e-10}, torch.float32: {"rtol": 1e-4, "atol": 1e-5}}
precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def leaf(values, dtype):
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def same(got, expected, dtype):
    torch.testing.assert_close(got, torch.tensor(expected, dtype=dtype), **TOLERANCE[dtype])


def check(loss, inputs, outputs, dtype):
    same(loss, outputs["loss"], dtype)
    grads = torch.autograd.grad(loss, list(inputs.values()))
    for (name, _), grad in zip(inputs.items(), grads, strict=True):
        same(grad, outputs[f"grad_loss_{name}"], dtype)


@precisions
@pytest.mark.parametrize("case", golden_cases("pairwise", "clip"))
def test_clip(case, dtype):
    inputs = {name: leaf(case["inputs"][name], dtype) for name in ("z1", "z2", "logit_scale")}
    check(clip_loss(inputs["z1"], inputs["z2"], inputs["logit_scale"]), inputs, case["outputs"], dtype)


@precisions
@pytest.mark.parametrize("case", golden_cases("pairwise", "ntx"))
def test_nt_xent(case, dtype):
    inputs = {name: leaf(case["inputs"][name], dtype) for name in ("z1", "z2")}
    check(nt_xent(*inputs.values(), case["inputs"]["temperature"]), inputs, case["outputs"], dtype)


class Given(Encoders):
    """Encoders and heads that hand through embeddings that were made elsewhere."""

    def __init__(self, modalities=2):
        torch.nn.Module.__init__(self)
        self.dim, self.hidden, self.count = 4, 8, modalities

    def __iter__(self):
        return iter([torch.nn.Identity()] * self.count)

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        return torch.nn.Identity()


def given(make, modalities=2, **settings):
    with torch.random.fork_rng():  # heads draw weights, only to be replaced
        objective = make(Given(modalities), **settings)
    if hasattr(objective, "head"):
        objective.head = torch.nn.Identity()
    if hasattr(objective, "heads"):
        objective.heads = torch.nn.ModuleList([torch.nn.Identity()] * modalities)
    return objective


@precisions
@pytest.mark.parametrize("case", golden_cases("pairwise", "cmc"))
def test_pairs_of_modalities(case, dtype):
    z = [leaf(values, dtype) for values in case["inputs"]["z"]]
    loss = over_pairs(z, lambda a, b: nt_xent(a, b, case["inputs"]["temperature"]))
    same(loss, case["outputs"]["loss"], dtype)
    for grad, expected in zip(torch.autograd.grad(loss, z), case["outputs"]["grad_loss_z"], strict=True):
        same(grad, expected, dtype)


@precisions
@pytest.mark.parametrize("case", golden_cases("pairwise", "slip"))
def test_clip_beside_nt_xent(case, dtype):
    inputs = {name: leaf(case["inputs"][name], dtype) for name in ("z1", "z2", "aug1", "aug2")}
    across = clip_loss(inputs["z1"], inputs["z2"], leaf(case["inputs"]["logit_scale"], dtype))
    within = nt_xent(inputs["aug1"], inputs["aug2"], case["inputs"]["temperature"])
    check(across + case["inputs"]["ssl_scale"] * within, inputs, case["outputs"], dtype)


@precisions
@pytest.mark.parametrize("case", golden_cases("pairwise", "cross_self"))
def test_cross_self(case, dtype):
    names = ("mod1", "mod2", "mod1_aug1", "mod1_aug2", "mod2_aug1", "mod2_aug2")
    inputs = {name: leaf(case["inputs"][name], dtype) for name in names}

    def padded(z):  # widths differ between parts; zeros change no cosine
        return torch.nn.functional.pad(z, (0, 4 - z.shape[-1]))

    x1, x2, a1, b1, a2, b2 = (padded(z) for z in inputs.values())
    objective = given(
        CrossSelf, temperature=case["inputs"]["temperature"], weight=case["inputs"]["ssl_scale"]
    )
    check(objective(Batch((x1, x2), views=((a1, a2), (b1, b2)))), inputs, case["outputs"], dtype)


@precisions
@pytest.mark.parametrize(
    "case", [c for p in ("labelled", "unlabelled", "single") for c in golden_cases("supcon", p)]
)
def test_supcon(case, dtype):
    given_inputs = case["inputs"]
    features = leaf(given_inputs["features"], dtype)
    labels = given_inputs["labels"]
    value = supcon(
        features.unbind(1),
        None if labels is None else torch.tensor(labels).flatten(),
        given_inputs["temperature"],
        normalize=given_inputs["normalize_inside"],
        anchors=1 if given_inputs["contrast_mode"] == "one" else None,
    )
    value = value * given_inputs["temperature"] / given_inputs["base_temperature"]
    check(value, {"features": features}, case["outputs"], dtype)


@pytest.mark.parametrize("case", golden_cases("supcon", "large"))
def test_supcon_of_long_rows_is_finite(case):
    given_inputs = case["inputs"]
    features, labels = (torch.tensor(given_inputs[k]) for k in ("features", "labels"))
    value = supcon(features.unbind(1), labels, given_inputs["temperature"], normalize=False)
    same(value, case["outputs"]["exact_loss"], torch.float32)


@precisions
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("case", golden_cases("supcon", "two_encoder"))
def test_supcon_through_two_encoders(case, labelled, dtype):
    state = case["inputs"]["state"]

    def affine(h, name):
        weight, bias = (torch.tensor(state[f"{name}.{kind}"], dtype=dtype) for kind in ("weight", "bias"))
        weights.extend([weight.requires_grad_(), bias.requires_grad_()])
        return h @ weight.mT + bias

    def network(h, name, places):
        for place in places:
            h = affine(h.relu() if place else h, f"{name}.{place}")
        return h

    views, weights, of_encoders = [], [], []
    for m in ("x1", "x2"):
        x = torch.tensor(case["inputs"][m], dtype=dtype)
        code = network(x, f"encoder_{m}", (0, 2, 4, 6))
        of_encoders += weights
        views.append(network(code, f"projection_{m}", (0, 2, 4)))
        weights = []
    y = torch.tensor(case["inputs"]["y"]).flatten().long() if labelled else None
    value, kind = supcon(views, y, 0.07, normalize=False), "labelled" if labelled else "unlabelled"
    same(value, case["outputs"][f"loss_{kind}"], dtype)
    grads = torch.autograd.grad(value, of_encoders)
    norm = torch.stack([g.square().sum() for g in grads]).sum().sqrt()
    same(norm, case["outputs"][f"encoder_grad_norm_{kind}"], dtype)


class GivenFusion(torch.nn.Module):
    """The fused embeddings of a golden case, by mask."""

    def __init__(self, view1, view2):
        super().__init__()
        self.both = [torch.cat(pair) for pair in zip(view1, view2, strict=True)]

    def fuse(self, codes, masks):
        return [self.both[-1] if len(mask) > 1 else self.both[mask[0]] for mask in masks]


def comm_cases():
    # the weighted cases and other prototypes are no part of the objective
    return [c for c in golden_cases("comm") if c.id.endswith("protolast")]


@precisions
@pytest.mark.parametrize("case", comm_cases())
def test_comm(case, dtype):
    view1, view2 = ([leaf(z, dtype) for z in case["inputs"][v]] for v in ("view1", "view2"))
    x = tuple(view1[:-1])
    batch = Batch(x, views=(x, x))

    def loss(terms):
        objective = given(CoMM, len(x), temperature=case["inputs"]["temperature"], terms=terms)
        objective.fusion = GivenFusion(view1, view2)
        return objective(batch)

    outputs = case["outputs"]
    same(loss("all"), outputs["loss"], dtype)
    same(loss("joint"), outputs["terms"][-1], dtype)
    same(loss("unimodal"), sum(outputs["terms"][:-1]) / len(x), dtype)
    grads = torch.autograd.grad(loss("all"), [*view1, *view2])
    expected = [*outputs["grad_loss_view1"], *outputs["grad_loss_view2"]]
    for grad, value in zip(grads, expected, strict=True):
        same(grad, value, dtype)


def test_there_are_cases():
    assert len(comm_cases()) >= 4
    assert len(golden_cases("pairwise", "ntx")) >= 2
