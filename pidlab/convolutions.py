"""Convolutional stems: from an image to a vector of features."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.errors import InvalidRequest
from pidlab.modality import Image


class SmallCNN(nn.Module):
    """For small images: convolutions of stride 2, down to 4 to 7 pixels a side; then flat.

    The first has 5 x 5 pixels and half the channels, the others 3 x 3 pixels and all of them.

    Args:
        image: what it reads.
        channels: of all convolutions but the first.

    Raises:
        InvalidRequest: an image of less than 8 pixels a side.
    """

    LEAST: ClassVar[int] = 8

    def __init__(self, image: Image, channels: int) -> None:
        super().__init__()
        side = _side(image, self.LEAST)
        halvings = int(math.log2(side / 4))
        widths = [max(1, channels // 2), *[channels] * (halvings - 1)]
        layers: list[nn.Module] = []
        inputs = image.channels
        for i, width in enumerate(widths):
            kernel = 5 if i == 0 else 3
            layers += convolution(inputs, width, kernel, stride=2, padding=kernel // 2)
            inputs = width
        self.layers = nn.Sequential(*layers)
        height, width = (-(-size // 2**halvings) for size in (image.height, image.width))
        self.outputs = inputs * height * width

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        return self.layers(x).flatten(1)


class AlexNet(nn.Module):
    """For large images: the five convolutions of AlexNet (Krizhevsky 2014), then the mean over places.

    They have 1, 3, 6, 4 and 4 times the given channels; 64 make AlexNet's own.

    Args:
        image: what it reads.
        channels: of the first convolution.

    Raises:
        InvalidRequest: an image of less than 128 pixels a side.
    """

    LEAST: ClassVar[int] = 128

    def __init__(self, image: Image, channels: int) -> None:
        super().__init__()
        _side(image, self.LEAST)
        first, second, third, self.outputs = (k * channels for k in (1, 3, 6, 4))
        self.layers = nn.Sequential(
            *convolution(image.channels, first, 11, stride=4, padding=2),
            nn.MaxPool2d(3, 2),
            *convolution(first, second, 5, padding=2),
            nn.MaxPool2d(3, 2),
            *convolution(second, third, 3, padding=1),
            *convolution(third, self.outputs, 3, padding=1),
            *convolution(self.outputs, self.outputs, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        return self.layers(x).mean((-2, -1))


def convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    """A convolution, normalised over the batch, and a ReLU; its weights start at He's scale."""
    made = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    with torch.no_grad():
        nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
    return [made, nn.BatchNorm2d(outputs), nn.ReLU()]


def _side(image: Image, least: int) -> int:
    side = min(image.height, image.width)
    if side < least:
        raise InvalidRequest(
            f"an image of {image.height} x {image.width}: encoders need {least} pixels a side or more"
        )
    return side
