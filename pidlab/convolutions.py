"""Convolutional stems: from an image to a vector of features."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.errors import InvalidRequest
from pidlab.modality import Image


class SmallCNN(nn.Module):
    """For small images: convolutions of stride 2, down to 4 to 7 places a side; then pooled.

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
        self.outputs = 2 * inputs

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        return pooled(self.layers(x))


class AlexNet(nn.Module):
    """For large images: the five convolutions of AlexNet (Krizhevsky 2014), then pooled.

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
        first, second, third, last = (k * channels for k in (1, 3, 6, 4))
        self.outputs = 2 * last
        self.layers = nn.Sequential(
            *convolution(image.channels, first, 11, stride=4, padding=2),
            nn.MaxPool2d(3, 2),
            *convolution(first, second, 5, padding=2),
            nn.MaxPool2d(3, 2),
            *convolution(second, third, 3, padding=1),
            *convolution(third, last, 3, padding=1),
            *convolution(last, last, 3, padding=1),
        )

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n features"]:
        return pooled(self.layers(x))


def convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    """A convolution, normalised over the batch, and a ReLU; its weights start at He's scale."""
    made = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    with torch.no_grad():
        nn.init.kaiming_normal_(made.weight, nonlinearity="relu")
    return [made, nn.BatchNorm2d(outputs), nn.ReLU()]


def pooled(features: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n twice_channels"]:
    """Mean and maximum over places, side by side: a texture is everywhere, a corner is somewhere."""
    return torch.cat([features.mean((-2, -1)), features.amax((-2, -1))], dim=-1)


def _side(image: Image, least: int) -> int:
    side = min(image.height, image.width)
    if side < least:
        raise InvalidRequest(
            f"an image of {image.height} x {image.width}: encoders need {least} pixels a side or more"
        )
    return side
