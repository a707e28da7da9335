import pytest
import torch

from pidlab import InvalidRequest
from pidlab.encoders import AlexNet, Encoders, Image, SmallCNN, Vector, rows_at_once
from pidlab.seeds import temporary_seed

SIZES = {"dim": 4, "hidden": 8, "layers": 1}


def encoders(*modalities, **sizes):
    with temporary_seed(0):
        return Encoders(modalities, {"y": 2}, **{**SIZES, **sizes})


@pytest.mark.parametrize(("side", "kind"), [(8, SmallCNN), (32, SmallCNN), (64, SmallCNN), (224, AlexNet)])
@pytest.mark.parametrize("layers", [0, 2])
def test_images_of_every_size_are_encoded(side, kind, layers):
    image = Image(3, side, side)
    made = encoders(image, image, layers=layers)
    assert isinstance(made[0][0], kind)
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    assert made[0](x).shape == (2, SIZES["dim"])
    assert made.joint(x, x).shape == (2, 2 * SIZES["dim"])


def test_rectangular_images_combine_with_vectors():
    made = encoders(Image(1, 20, 33), Vector(5), Vector(2))
    x = (torch.ones(3, 1, 20, 33), torch.ones(3, 5), torch.ones(3, 2))
    assert [tower(xi).shape for tower, xi in zip(made, x, strict=True)] == [(3, 4)] * 3
    assert made.joint(*x).shape == (3, 12)


def test_small_images_are_refused():
    with pytest.raises(InvalidRequest, match="an image of 7 x 40: encoders need 8 pixels per side or more"):
        encoders(Image(3, 7, 40))


def test_alexnet_has_its_published_widths():
    with temporary_seed(0):
        net = AlexNet(Image(3, 224, 224), 64)
    widths = [layer.out_channels for layer in net.layers if isinstance(layer, torch.nn.Conv2d)]
    assert widths == [64, 192, 384, 256, 256]


def test_rows_at_once_are_limited_by_memory():
    assert rows_at_once((Vector(32), Vector(32)), 4096) == 4096
    image = Image(3, 224, 224)
    assert rows_at_once((image, image), 4096) == 2**24 // (2 * 3 * 224**2)
    assert rows_at_once((Image(3, 4096, 4096),), 4096) == 1


@pytest.mark.parametrize(
    "sizes", [{"dim": 10**9}, {"hidden": 10**12}, {"layers": 10**9}, {"hidden": 10**200}]
)
def test_networks_beyond_the_memory_are_refused(sizes):
    settings = {"dim": 8, "hidden": 64, "layers": 2} | sizes
    with pytest.raises(InvalidRequest, match=r"needs .* GB of memory") as caught:
        Encoders((Vector(3), Image(1, 8, 8)), {}, **settings)
    assert "\n" not in str(caught.value)
