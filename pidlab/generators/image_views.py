"""Views of images that know nothing of what is shown: crop, flip, blur, jitter, grayscale.

All are linear: crop, flip and blur act on rows and on columns, jitter and grayscale on the colour of a
pixel. Nothing is clipped.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

POLICIES = ("crop", "flip", "blur", "jitter", "grayscale")

# Least side of a crop, in sides; how often a view is flipped, blurred, jittered, grey.
LEAST_SIDE, FLIPPED, BLURRED, JITTERED, GREY = 0.6, 0.5, 0.5, 0.8, 0.2
# Most blur, as a standard deviation in sides; most change of brightness and saturation; of hue, in turns.
MOST_BLUR, MOST_CHANGE, MOST_TURN = 0.02, 0.4, 0.1

LUMINANCE = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)


def hue_plane() -> Float[Tensor, "rgb axes"]:
    """Columns: grey of luminance 1, and two directions of luminance 0 that a hue turns between."""
    red, green, blue = LUMINANCE
    axes = [[1.0, 1.0, 1.0], [0.0, -blue / green, 1.0], [1.0, -red / green, 0.0]]
    return torch.tensor(axes).mT


def augmented(
    x: Float[Tensor, "n rgb height width"], policies: tuple[str, ...], generator: torch.Generator
) -> Float[Tensor, "n rgb height width"]:
    """A view of every image under some of `POLICIES`, drawn for each image on its own.

    - `crop`: a part of 0.6 to 1 sides, anywhere, enlarged to the whole (bilinear).
    - `flip`: left and right change places in half of the views.
    - `blur`: by a normal kernel of up to 0.02 sides, in half of the views.
    - `jitter`: in 0.8 of the views brightness and saturation change by up to 0.4 and the hue turns by up
      to 36 degrees either way.
    - `grayscale`: in 0.2 of the views nothing but luminance stays.
    """
    n, _, height, width = x.shape

    def draw(low: float, high: float) -> Float[Tensor, " n"]:
        return low + (high - low) * torch.rand(n, generator=generator, device=x.device)

    rows, columns = (torch.eye(side, device=x.device).expand(n, -1, -1) for side in (height, width))
    if "crop" in policies:
        part = draw(LEAST_SIDE, 1.0)
        rows = _part(height, part, draw(0.0, 1.0))
        columns = _part(width, part, draw(0.0, 1.0))
    if "flip" in policies:
        flipped = draw(0.0, 1.0) < FLIPPED
        columns = torch.where(flipped[:, None, None], columns.flip(1), columns)
    if "blur" in policies:
        blurred = draw(0.0, 1.0) < BLURRED
        spread = draw(0.0, MOST_BLUR) * blurred
        rows = _smoothing(height, spread) @ rows
        columns = _smoothing(width, spread) @ columns
    if set(policies) & {"crop", "flip", "blur"}:
        x = rows[:, None] @ x @ columns.mT[:, None]
    if set(policies) & {"jitter", "grayscale"}:
        brightness, saturation, turn = torch.ones(n), torch.ones(n), torch.zeros(n)
        brightness, saturation, turn = (t.to(x.device) for t in (brightness, saturation, turn))
        if "jitter" in policies:
            jittered = draw(0.0, 1.0) < JITTERED
            brightness = brightness + jittered * draw(-MOST_CHANGE, MOST_CHANGE)
            saturation = saturation + jittered * draw(-MOST_CHANGE, MOST_CHANGE)
            turn = jittered * draw(-MOST_TURN, MOST_TURN)
        if "grayscale" in policies:
            saturation = saturation * (draw(0.0, 1.0) >= GREY)
        x = (_recolouring(brightness, saturation, turn) @ x.flatten(2)).view_as(x)
    return x


def _part(side: int, part: Float[Tensor, " n"], place: Float[Tensor, " n"]) -> Float[Tensor, "n side side"]:
    """Linear interpolation of a part of a line, stretched to the whole; `place`, 0 to 1, is where."""
    pixels = torch.arange(side, device=part.device)
    start = (side * (1.0 - part) * place)[:, None]
    source = (start + (pixels + 0.5) * part[:, None] - 0.5).clamp(0, side - 1)
    return (1.0 - (source[:, :, None] - pixels).abs()).clamp_min(0.0)


def _smoothing(side: int, spread: Float[Tensor, " n"]) -> Float[Tensor, "n side side"]:
    """Averages of a line with normal weights of standard deviation `spread` sides."""
    pixels = torch.arange(side, device=spread.device)
    distance = (pixels[:, None] - pixels).square()
    # Below a tenth of a pixel there is nothing to average.
    weights = torch.exp(-0.5 * distance / (spread * side).clamp_min(0.1).square()[:, None, None])
    return weights / weights.sum(-1, keepdim=True)


def _recolouring(
    brightness: Float[Tensor, " n"], saturation: Float[Tensor, " n"], turn: Float[Tensor, " n"]
) -> Float[Tensor, "n rgb rgb"]:
    """What is done to a pixel, as a matrix: its hue turns, its saturation and its brightness scale."""
    plane = hue_plane().to(turn.device)
    angle = 2.0 * math.pi * turn
    change = torch.zeros(len(turn), 3, 3, device=turn.device)
    change[:, 0, 0] = 1.0
    change[:, 1, 1] = change[:, 2, 2] = saturation * angle.cos()
    change[:, 2, 1] = saturation * angle.sin()
    change[:, 1, 2] = -saturation * angle.sin()
    return brightness[:, None, None] * (plane @ change @ torch.linalg.inv(plane))
