"""Encoder networks, built from the specification of the modalities."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from pidlab.errors import InvalidRequest
from pidlab.io import check_memory

# Widths of matrix products are padded to multiples of this; then a member's results have the same bits in
# every cohort.
ALIGN = 8

# Most numbers in a chunk of observations: 64 MiB of float32.
CHUNK_NUMBERS = 2**24


@dataclass(frozen=True)
class Vector:
    """A modality whose samples are vectors.

    Args:
        dim: Numbers in a vector.
    """

    dim: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return (self.dim,)


@dataclass(frozen=True)
class Image:
    """A modality whose samples are images with values from 0 to 1.

    Args:
        channels: Number of channels.
        height: Pixels per column.
        width: Pixels per row.
    """

    channels: int
    height: int
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return (self.channels, self.height, self.width)


Modality: TypeAlias = Vector | Image


class Encoders(nn.Module):
    """One network per modality and one joint network on all modalities.

    ``encoders[i]`` maps modality i, shape (n, ...), to a code of shape (n, dim). ``encoders.joint(x1, x2)``
    maps all modalities to shape (n, dim * modalities), the width of the concatenated codes.

    Args:
        modalities: Specifications of the modalities.
        classes: Number of classes of every target, for supervised objectives.
        dim: Width of a code.
        hidden: Width of a hidden layer.
        layers: Number of hidden layers.

    Raises:
        InvalidRequest: If the networks need more memory than the machine has, or images are too small.

    Example:
        >>> encoders = Encoders([Vector(32), Vector(32)], {"y": 2}, dim=8, hidden=64, layers=2)
        >>> tuple(encoders[0](torch.zeros(5, 32)).shape)
        (5, 8)
        >>> tuple(encoders.joint(torch.zeros(5, 32), torch.zeros(5, 32)).shape)
        (5, 16)
    """

    stackable: ClassVar[bool] = True

    def __init__(
        self,
        modalities: Sequence[Modality],
        classes: Mapping[str, int],
        *,
        dim: int,
        hidden: int,
        layers: int,
    ) -> None:
        super().__init__()
        self.modalities, self.classes = tuple(modalities), dict(classes)
        self.dim, self.hidden, self.layers = dim, hidden, layers
        n = len(modalities)
        inputs = [m.dim if isinstance(m, Vector) else 2 * hidden for m in modalities]
        sizes = [_mlp_bytes(width, hidden, layers, dim) for width in inputs]
        sizes.append(_mlp_bytes(sum(inputs), hidden * n, layers, dim * n))
        check_memory(f"encoders of dim {dim}, hidden {hidden}, layers {layers}", sum(sizes))
        self.towers = nn.ModuleList(tower(m, *[hidden] * layers, dim) for m in modalities)
        # The joint network concatenates features of images and raw vectors.
        stems = [stem(m, hidden) for m in modalities]
        total = sum(width for _, width in stems)
        self.joint = Joint([s for s, _ in stems], mlp(total, *[hidden * n] * layers, dim * n))

    def fresh(self, dim: int) -> "Encoders":
        """Build new networks for the same modalities with codes of width `dim`."""
        sizes = {"dim": dim, "hidden": self.hidden, "layers": self.layers}
        return Encoders(self.modalities, self.classes, **sizes)

    def __len__(self) -> int:
        return len(self.towers)

    def __getitem__(self, i: int) -> nn.Module:
        return self.towers[i]

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.towers)


class Joint(nn.Module):
    """A network on the concatenation of all modalities.

    Args:
        stems: One network per modality that maps it to features.
        network: Network on the concatenated features.
    """

    stackable: ClassVar[bool] = True

    def __init__(self, stems: Sequence[nn.Module], network: nn.Module) -> None:
        super().__init__()
        self.stems, self.network = nn.ModuleList(stems), network

    def forward(self, *x: Float[Tensor, "..."]) -> Float[Tensor, "*member n k"]:
        return self.network(torch.cat([stem(xi) for stem, xi in zip(self.stems, x, strict=True)], dim=-1))


class SmallCNN(nn.Module):
    """A convolutional network for small images with global pooling.

    Convolutions of stride 2 reduce the image to 4 to 7 positions per side. The first has 5 x 5 kernels and
    half the channels, the others have 3 x 3 kernels and all channels.

    Args:
        image: Specification of the images.
        channels: Channels of all convolutions but the first.

    Raises:
        InvalidRequest: If the image has less than 8 pixels per side.
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
        return pool(self.layers(x))


class AlexNet(nn.Module):
    """Five convolutions of AlexNet for large images, with global pooling.

    The convolutions have 1, 3, 6, 4 and 4 times the given channels; 64 channels give the original network.

    Args:
        image: Specification of the images.
        channels: Channels of the first convolution.

    Raises:
        InvalidRequest: If the image has less than 128 pixels per side.

    Source:
        A. Krizhevsky, One weird trick for parallelizing convolutional neural networks, 2014
        (arXiv 1404.5997).
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
        return pool(self.layers(x))


class Linear(nn.Module):
    """x W + b with W stored as (in, out), which batches over members faster than `nn.Linear`.

    With a leading member axis on W, b and x, every member has its own layer. Widths are padded to multiples
    of `ALIGN` internally; the padded inputs are zeros and the padded outputs are dropped.

    Args:
        inputs: Width of x.
        outputs: Width of the result.
        fan_in: Number of inputs for the scale of the initial weights, if more terms are added to the result
            later; equal to ``inputs`` by default.
        bias: Whether there is a b.

    Example:
        >>> tuple(Linear(3, 5)(torch.zeros(2, 3)).shape)
        (2, 5)
    """

    stackable: ClassVar[bool] = True

    def __init__(self, inputs: int, outputs: int, *, fan_in: int | None = None, bias: bool = True) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        weight = torch.zeros(aligned(inputs), aligned(outputs))
        # He initialization of the unpadded part.
        weight[:inputs, :outputs] = torch.randn(inputs, outputs) * math.sqrt(2.0 / (fan_in or inputs))
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(aligned(outputs))) if bias else None

    def forward(self, x: Float[Tensor, "*member n inputs"]) -> Float[Tensor, "*member n outputs"]:
        padding = self.weight.shape[-2] - self.inputs
        x = F.pad(x, (0, padding)) if padding else x
        if self.bias is None:
            x = x @ self.weight
        else:
            add = torch.addmm if self.weight.ndim == 2 else torch.baddbmm
            x = add(self.bias.unsqueeze(-2), x, self.weight)
        return x if x.shape[-1] == self.outputs else x[..., : self.outputs]


def aligned(width: int) -> int:
    """Round a width up to a multiple of `ALIGN`.

    Example:
        >>> aligned(20)
        24
    """
    return -(-width // ALIGN) * ALIGN


class MLP(nn.Sequential):
    """Linear layers with ReLUs between them."""

    stackable: ClassVar[bool] = True

    def forward(self, input: Float[Tensor, "*member n inputs"]) -> Float[Tensor, "*member n outputs"]:
        if self[-1].weight.ndim == 2:
            return super().forward(input)
        # Stacked members: no user code runs between the layers, so that ReLUs can overwrite their inputs.
        x = input
        for layer in self:
            x = layer(x) if isinstance(layer, Linear) else x.relu_()
        return x


def mlp(*widths: int) -> MLP:
    """Build linear layers of the given widths with ReLUs between them.

    Args:
        *widths: Width of the input, of the hidden layers and of the output.

    Returns:
        The network.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [Linear(inputs, outputs), nn.ReLU()]
    return MLP(*layers[:-1])


def tower(modality: Modality, *widths: int) -> nn.Module:
    """Build the encoder of one modality: an MLP on the vector or on convolutional features of the image.

    Args:
        modality: Specification of the modality.
        *widths: Widths of the hidden layers and of the code. The convolutions have as many channels as the
            first of these widths.

    Returns:
        The network.
    """
    if not isinstance(modality, Image):
        return mlp(modality.dim, *widths)
    features, width = stem(modality, widths[0])
    return nn.Sequential(features, mlp(width, *widths))


def stem(modality: Modality, channels: int) -> tuple[nn.Module, int]:
    """Build the part of an encoder before its MLP: the identity for a vector, convolutions for an image.

    Args:
        modality: Specification of the modality.
        channels: Channels of the convolutions.

    Returns:
        The network and the width of its output.
    """
    if not isinstance(modality, Image):
        return nn.Identity(), modality.dim
    kind = AlexNet if min(modality.height, modality.width) >= AlexNet.LEAST else SmallCNN
    features = kind(modality, channels)
    return features, features.outputs


def convolution(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    """Build a convolution with He initialization, batch normalization and a ReLU.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        kernel: Side of the kernel, in pixels.
        stride: Stride, in pixels.
        padding: Padding on each side, in pixels.

    Returns:
        The three layers.
    """
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    with torch.no_grad():
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return [layer, nn.BatchNorm2d(outputs), nn.ReLU()]


def pool(features: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n twice_channels"]:
    """Concatenate the mean and the maximum over positions.

    The mean represents a texture, which is everywhere; the maximum represents a corner, which is somewhere.
    """
    return torch.cat([features.mean((-2, -1)), features.amax((-2, -1))], dim=-1)


def rows_at_once(modalities: tuple[Modality, ...], most: int) -> int:
    """Return the number of rows to draw at once, limited to 64 MiB of observations.

    It is a function of the specification only, because draws, and therefore results, depend on it.

    Args:
        modalities: Specifications of the modalities.
        most: Largest number of rows.

    Returns:
        The number of rows.

    Example:
        >>> rows_at_once((Vector(2**20), Vector(2**20)), most=1000)
        8
    """
    numbers = sum(math.prod(m.shape) for m in modalities)
    return max(1, min(most, CHUNK_NUMBERS // numbers))


def _mlp_bytes(inputs: int, hidden: int, layers: int, outputs: int) -> int:
    weights = inputs * hidden + hidden**2 * (layers - 1) + hidden * outputs if layers else inputs * outputs
    # Float32 weights, and about 4 kB of Python objects per layer.
    return 4 * weights + 4000 * layers


def _side(image: Image, least: int) -> int:
    side = min(image.height, image.width)
    if side < least:
        raise InvalidRequest(
            f"an image of {image.height} x {image.width}: encoders need {least} pixels per side or more"
        )
    return side
