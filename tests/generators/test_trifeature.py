import math

import numpy as np
import pytest
import torch
from plugin import assert_holds

from pidlab import InvalidRequest
from pidlab.generators import Sample, load_generator, trifeature_images
from pidlab.generators.trifeature import KINDS, Trifeature
from pidlab.generators.trifeature_images import (
    SHAPES,
    TEXTURES,
    palette,
    render,
)
from pidlab.info import binary_entropy, decompose

BITS = math.log2(10)
LABEL = binary_entropy(0.1)


def images(shape=0, texture=0, colour=0, pose=None, n=10, size=64, **others):
    """Render images of one pose, or of one pose each."""
    numbers = (torch.as_tensor(value).expand(n) for value in (shape, texture, colour))
    pose = torch.full((6, 1), 0.5) if pose is None else pose
    settings = {"period": size / 6, "rotation": 45.0, **others}
    return render(*numbers, pose.expand(6, n), size=size, **settings)


def poses(n, seed=0):
    return torch.rand((6, n), generator=torch.Generator().manual_seed(seed))


def drawn(generator, n, split="eval"):
    """Draw factors and labels without rendering images."""
    latents = generator.draw(n, seed=1, split=split)
    classes = {name: target.classes for name, target in generator.target_specs.items()}
    return Sample((), generator.labels(latents), classes, latents)


def test_targets_are_separate_tasks_each_with_its_truth():
    targets = Trifeature().target_specs
    assert targets["redundant"].information == {(0,): BITS, (1,): BITS, (0, 1): BITS}
    assert targets["unique1"].information == {(0,): BITS, (1,): 0, (0, 1): BITS}
    assert targets["unique2"].information == {(0,): 0, (1,): BITS, (0, 1): BITS}
    assert targets["synergy"].information == {(0,): 0, (1,): 0, (0, 1): LABEL}
    assert pytest.approx(0.4689956) == LABEL


def test_samples_have_the_specified_information():
    generator = Trifeature()
    sample = drawn(generator, 200_000)
    f = {name: t.numpy() for name, t in sample.latents.items()}
    both = {
        "redundant": (f["shape"], f["shape"]),
        "unique1": (f["texture1"], f["shape"] * KINDS + f["texture2"]),
        "unique2": (f["texture1"], f["texture2"]),
        "synergy": (f["texture1"] * KINDS + f["colour1"], f["texture2"] * KINDS + f["colour2"]),
    }
    for name, target in generator.target_specs.items():
        y = sample.targets[name].numpy()
        for m, seen in enumerate(both[name]):
            assert_holds(seen, y, target.information[(m,)])
    paired = f["texture1"] * KINDS + f["colour2"]
    assert_holds(paired, sample.targets["synergy"].numpy(), LABEL)


def test_joint_truth_has_no_synergy():
    # texture1, colour2 and the pair of texture1 and label; shape and texture2 are independent of these
    law = np.zeros((KINDS, KINDS, 2 * KINDS))
    for texture in range(KINDS):
        for colour in range(KINDS):
            law[texture, colour, 2 * texture + (texture == colour)] = 1 / KINDS**2
    found, stated = decompose(law), Trifeature().joint_truth
    assert found.synergy == pytest.approx(stated.synergy, abs=1e-6)
    assert found.redundant == pytest.approx(stated.redundant - BITS, abs=1e-6)
    assert found.unique1 == pytest.approx(stated.unique1, abs=1e-6)
    assert found.unique2 == pytest.approx(stated.unique2 - BITS, abs=1e-6)


def test_biased_training_pairs_plant_redundancy():
    fair, biased = Trifeature(), Trifeature(biased=True)
    train = drawn(biased, 20_000, "train")
    assert bool((train.targets["synergy"] == 1).all())
    assert biased.planted_bits == BITS
    assert_holds(train.latents["texture1"], train.latents["colour2"], BITS)
    for generator, split in ((biased, "eval"), (fair, "train")):
        latents = drawn(generator, 20_000, split).latents
        assert_holds(latents["texture1"], latents["colour2"], 0.0)
    assert fair.planted_bits == 0.0


def test_every_pixel_determines_the_color():
    sample = Trifeature().sample(60, seed=2)
    for m, x in enumerate(sample.x):
        hue = x.sum((2, 3))
        shown = (hue / hue.norm(dim=1, keepdim=True)) @ torch.nn.functional.normalize(palette()).mT
        # the world permutes the class indices: one picture per index
        pairs = set(zip(sample.latents[f"colour{m + 1}"].tolist(), shown.argmax(1).tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert float(shown.max(1).values.min()) > 1 - 1e-5


@pytest.mark.parametrize("size", [32, 64])
def test_images_of_different_classes_differ_in_every_pose(size):
    for pose in poses(20).T[:, :, None]:
        for name in ("shape", "texture", "colour"):
            x = images(**{name: torch.arange(KINDS)}, pose=pose, size=size).flatten(1)
            distance = torch.cdist(x, x) + 1e3 * torch.eye(KINDS)
            assert float(distance.min()) > 0.1 * float(x.norm(dim=1).max())


def test_shapes_cover_their_area():
    radius = 64 * 2 / 7
    areas = {
        "triangle": 3 * math.sqrt(3) / 4,
        "square": 1.4**2,
        "plus": 2 * 1.88 * 0.64 - 0.64**2,
        "circle": 16 * math.sin(math.pi / 16),
        "rhombus": 1.1,
        "fivesquare": 5 * 0.44**2,
        "pentagon": 2.5 * math.sin(0.4 * math.pi),
        "trapezoid": 1.25,
    }
    for name, area in areas.items():
        x = images(shape=list(SHAPES).index(name), pose=poses(10))
        covered = (x / x.amax((1, 2, 3), keepdim=True)).amax(1).sum((1, 2)) / radius**2
        # masks are correct to first order in the position of the edge: one or two pixels of about a thousand
        assert covered.numpy() == pytest.approx(area, rel=0.02), name


def test_size_changes_only_the_resolution():
    # every seventh pixel center of 224 is a pixel center of 32; edges are one pixel wide
    pose, texture = poses(30), torch.arange(30) % KINDS
    small, large = (images(3, texture, 0, pose, n=30, size=size) for size in (32, 224))
    agrees = (small - large[:, :, 3::7, 3::7]).abs().amax(1) < 1e-3
    assert float(agrees.float().mean()) > 0.9


def test_every_picture_is_its_own_mirror_image():
    x = images(shape=torch.arange(KINDS))
    assert torch.allclose(x, x.flip(-1), atol=1e-5)
    quarters = torch.cartesian_prod(*[torch.arange(8) / 8] * 2).T
    for texture in range(len(TEXTURES)):
        pose = torch.cat([torch.full((4, quarters.shape[1]), 0.5), quarters])
        x = images(1, texture, pose=pose, n=quarters.shape[1])
        mirrored = images(1, texture, n=1).flip(-1)
        assert float((x - mirrored).abs().amax((1, 2, 3)).min()) < 1e-4, texture


def test_pixels_are_between_0_and_1():
    x = Trifeature(size=40).sample(200, seed=1).x1
    assert float(x.min()) == 0.0
    assert 0.9 < float(x.max()) <= 1.0001


@pytest.mark.parametrize("policy", ["noise", "task"])
def test_views_keep_the_specified_information(policy):
    generator = Trifeature()
    sample = drawn(generator, 200_000)
    latents = sample.latents if policy == "noise" else generator.redraw(sample, seed=2)
    view = {name: t.numpy() for name, t in latents.items()}
    assert all(torch.equal(y, sample.targets[n]) for n, y in generator.labels(latents).items())
    stated = generator.view_information(policy)["synergy"]
    before, after = (
        f["texture1"] * KINDS + f["colour2"]
        for f in ({k: v.numpy() for k, v in sample.latents.items()}, view)
    )
    assert_holds(before, after, stated.between)
    assert_holds(after, sample.targets["synergy"].numpy(), stated.target)
    for name in ("shape", "texture1", "texture2"):
        assert np.array_equal(view[name], sample.latents[name].numpy())
    if policy == "task":
        assert_holds(view["colour1"], sample.latents["colour1"].numpy(), 0.0)


def hues(x):
    """Compute the hue of every image, in turns."""
    chroma = torch.linalg.inv(trifeature_images.hue_plane()) @ x.sum((2, 3)).mT
    return (torch.atan2(chroma[2], chroma[1]) / (2 * math.pi)).remainder(1.0)


def test_gray_views_have_no_color_and_the_specified_frequency():
    n = 2000
    colour = torch.arange(n) % KINDS
    x = images(3, 1, colour, n=n, size=25)
    view = trifeature_images.augment(x, ("grayscale",), torch.Generator().manual_seed(0))
    grey = (view.amax(1) - view.amin(1)).amax((1, 2)) < 1e-5
    assert float(grey.float().mean()) == pytest.approx(0.2, abs=5 * 0.4 / n**0.5)
    assert torch.allclose(view[~grey], x[~grey], atol=1e-5)
    assert float(view[grey].std(0).max()) < 1e-5


def test_jitter_leaves_two_colors():
    n = 2000
    colour = torch.arange(n) % KINDS
    x = images(3, 1, colour, n=n, size=25)
    view = trifeature_images.augment(x, ("jitter",), torch.Generator().manual_seed(0))
    away = (hues(view)[:, None] - torch.arange(KINDS) / KINDS + 0.5).remainder(1.0) - 0.5
    changed = away.abs().amin(1) > 1e-5
    assert float(changed.float().mean()) == pytest.approx(0.8, abs=5 * 0.4 / n**0.5)
    near = away.abs() < 0.1
    assert bool((near[changed].sum(1) == 2).all())
    assert bool(near[changed, colour[changed]].all())
    # the lower of two equally likely colors is correct half of the time
    lower = away[changed, colour[changed]] > 0
    assert float(lower.float().mean()) == pytest.approx(0.5, abs=5 * 0.5 / len(lower) ** 0.5)
    information = Trifeature().view_information("jitter")["synergy"]
    assert information.between == pytest.approx(2 * BITS - 0.8)
    assert information.target == pytest.approx(LABEL - 0.16)


def test_crop_flip_and_blur_average_pixels():
    x = torch.rand(40, 3, 24, 30, generator=torch.Generator().manual_seed(0))
    for policy in ("crop", "flip", "blur"):
        generator = torch.Generator().manual_seed(1)
        view = trifeature_images.augment(x, (policy,), generator)
        assert view.shape == x.shape
        assert float(view.min()) >= float(x.min()) - 1e-6
        assert float(view.max()) <= float(x.max()) + 1e-6
        assert not torch.equal(view, x)
        assert torch.allclose(
            trifeature_images.augment(torch.ones_like(x), (policy,), generator), torch.ones_like(x)
        )
    flipped = trifeature_images.augment(x, ("flip",), torch.Generator().manual_seed(1))
    same = [torch.allclose(a, b) for a, b in zip(flipped, x, strict=True)]
    mirrored = [torch.allclose(a, b.flip(-1)) for a, b in zip(flipped, x, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert any(same)
    assert any(mirrored)


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("trifeature(size=20)", "ask for size = 25 or more"),
        ("trifeature(size=24)", "aliases at 2 or fewer"),
        ("trifeature(size=0)", "size = 0"),
        ("trifeature(size=32.5)", "whole number"),
        ("trifeature(period=0)", "period = 0: expected above 0"),
        ("trifeature(period=0.5)", "a shape shows two"),
        ("trifeature(period=0.1, size=40)", "ask for size = 41 or more"),
        ("trifeature(rotation=200)", "rotation = 200"),
        ("trifeature(biased=2)", "biased = 2"),
        ("trifeature(sise=32)", "did you mean 'size'"),
        ("trifeature(redundant=1)", "no argument 'redundant'"),
    ],
)
def test_wrong_parameters_are_refused(reference, why):
    with pytest.raises(InvalidRequest, match=why):
        load_generator(reference)


def test_smallest_size_is_accepted():
    assert Trifeature(size=25).sample(2).x1.shape == (2, 3, 25, 25)
