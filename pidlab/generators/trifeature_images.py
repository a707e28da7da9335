"""Trifeature images: a shape, filled with a periodic texture, in one colour, on black.

Everything is analytic. A shape is a union of convex polygons, so that its signed distance is the least
over polygons of the greatest over edges of what is linear in a pixel's place. A texture is a
trigonometric polynomial, so that it has a highest frequency, and below a size aliases and above it
does not; and cos(a x + b y) is a sum of two products of what belongs to the column and to the row.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

POLICIES = ("crop", "flip", "blur", "jitter", "grayscale")

# Least side of a crop, in sides; how often a view is flipped, blurred, jittered, grey.
LEAST_SIDE, FLIPPED, BLURRED, JITTERED, GREY = 0.6, 0.5, 0.5, 0.8, 0.2
# Most blur, as a standard deviation in sides; most change of brightness and saturation; of hue, in turns.
MOST_BLUR, MOST_CHANGE, MOST_TURN = 0.02, 0.4, 0.1

LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)


def hue_plane() -> Float[Tensor, "rgb axes"]:
    """Columns: grey of luminance 1, and two directions of luminance 0 that a hue turns between."""
    red, green, blue = LUMA_WEIGHTS
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


# A shape lies within this distance of its place, in sides of the image.
RADIUS = 2 / 7

Point = tuple[float, float]


def _regular(corners: int) -> list[Point]:
    angles = (2 * math.pi * (i / corners + 0.25) for i in range(corners))
    return [(math.cos(a), math.sin(a)) for a in angles]


def _rectangle(left: float, right: float, bottom: float, top: float) -> list[Point]:
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def _ray(degrees: float) -> list[Point]:
    # A point of the star with all of its middle that lies between the same two lines.
    inner, a, b = 0.381966, math.radians(degrees), math.radians(108)
    return [
        (math.cos(a), math.sin(a)),
        (inner * math.cos(a + b), inner * math.sin(a + b)),
        (inner * math.cos(a - b), inner * math.sin(a - b)),
    ]


_SQUARES = [(0.0, 0.0), (0.44, 0.44), (-0.44, 0.44), (-0.44, -0.44), (0.44, -0.44)]

# Convex polygons, anticlockwise, within the unit circle. All shapes are their own mirror images.
SHAPES: dict[str, list[list[Point]]] = {
    "triangle": [_regular(3)],
    "square": [_rectangle(-0.7, 0.7, -0.7, 0.7)],
    "plus": [_rectangle(-0.94, 0.94, -0.32, 0.32), _rectangle(-0.32, 0.32, -0.94, 0.94)],
    "circle": [_regular(32)],
    "tee": [_rectangle(-0.8, 0.8, 0.2, 0.6), _rectangle(-0.22, 0.22, -0.95, 0.6)],
    "rhombus": [[(0.0, -1.0), (0.55, 0.0), (0.0, 1.0), (-0.55, 0.0)]],
    "pentagon": [_regular(5)],
    "star": [_ray(90 + 72 * i) for i in range(5)],
    "fivesquare": [_rectangle(x - 0.22, x + 0.22, y - 0.22, y + 0.22) for x, y in _SQUARES],
    "trapezoid": [[(-0.85, -0.5), (0.85, -0.5), (0.4, 0.5), (-0.4, 0.5)]],
}

# Waves of every texture: cycles along two axes in a period, and amplitude. All are, up to a shift and a
# turn, their own mirror images.
_SLANT = math.sqrt(0.75)
TEXTURES: dict[str, list[tuple[float, float, float]]] = {
    "solid": [],
    "stripes": [(1, 0, 1)],
    "fine stripes": [(2, 0, 1)],
    "ridges": [(1, 0, 1), (2, 0, 0.8)],
    "checks": [(1, 1, 1), (1, -1, 1)],
    "plaid": [(1, 0, 1), (0, 2, 0.8)],
    "dots": [(1, 0, 1), (0, 1, 1), (1, 1, 0.5), (1, -1, 0.5)],
    "holes": [(1, 0, -1), (0, 1, -1), (1, 1, -0.5), (1, -1, -0.5)],
    "honeycomb": [(1, 0, 1), (0.5, _SLANT, 1), (0.5, -_SLANT, 1)],
    "bricks": [(0, 2, 1), (1, 1, 0.8), (1, -1, -0.8)],
}
HIGHEST = max(math.hypot(a, b) for waves in TEXTURES.values() for a, b, _ in waves)
# Where a texture is darkest and brightest; above 0, so that a shape is seen everywhere.
DARKEST, BRIGHTEST = 0.25, 1.0

COLOURS = 10
# The luminance that all colours have, so that a grey image holds nothing of them.
LUMINANCE = 0.5

# Pixels that are worked on at once: what stays near the processor.
PIXELS = 2**17


def palette() -> Float[Tensor, "colours rgb"]:
    """Ten hues, evenly turned, of one luminance."""
    angle = 2.0 * math.pi * torch.arange(COLOURS) / COLOURS
    chroma = LUMINANCE * torch.stack([angle.cos(), angle.sin()], dim=-1)
    grey = torch.full((COLOURS, 1), LUMINANCE)
    return torch.cat([grey, chroma], dim=-1) @ hue_plane().mT


def render(
    shape: Int[Tensor, " n"],
    texture: Int[Tensor, " n"],
    colour: Int[Tensor, " n"],
    pose: Float[Tensor, "six n"],
    *,
    size: int,
    period: float,
    rotation: float,
) -> Float[Tensor, "n rgb size size"]:
    """Images, numbers from 0 to 1.

    Args:
        shape: which of `SHAPES`.
        texture: which of `TEXTURES`.
        colour: which hue of the palette.
        pose: what else there is to an image, each from 0 to 1: place across and down, the shape's turn, the
            texture's turn, the texture's shift along both of its axes.
        size: pixels a side.
        period: of the textures, in pixels.
        rotation: the most that shape and texture are turned, either way, in degrees.
    """
    radius = RADIUS * size
    place = radius + (size - 2.0 * radius) * pose[:2]
    turn = math.radians(rotation) * (2.0 * pose[2:4] - 1.0)
    image = torch.empty(len(shape), 3, size, size, device=shape.device)
    hues = palette().to(shape.device)
    for number, rows in _alike(shape, max(1, PIXELS // size**2)):
        mask = _mask(list(SHAPES.values())[number], place[:, rows], turn[0, rows], radius, size)
        value = _texture(texture[rows], place[:, rows], turn[1, rows], 2.0 * pose[4:, rows], period, size)
        value.mul_(mask)
        image[rows] = value[:, None] * hues[colour[rows]][:, :, None, None]
    return image


def _alike(shape: Tensor, most: int) -> Iterator[tuple[int, Tensor]]:
    """Rows of one shape, `most` at a time."""
    for number in range(len(SHAPES)):
        found = (shape == number).nonzero()[:, 0]
        for rows in found.split(most) if len(found) else ():
            yield number, rows


def _mask(
    polygons: Sequence[Sequence[Point]],
    place: Float[Tensor, "two n"],
    turn: Float[Tensor, " n"],
    radius: float,
    size: int,
) -> Float[Tensor, "n size size"]:
    """The part of every pixel that a shape covers, to first order: 1/2 minus the distance to its edge."""
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    centres = torch.arange(size, device=turn.device) + 0.5
    across, up = centres - place[0, :, None], place[1, :, None] - centres
    inside: Tensor | None = None
    for polygon in polygons:
        outside: Tensor | None = None
        for (x0, y0), (x1, y1) in pairwise([*polygon, polygon[0]]):
            length = math.hypot(x1 - x0, y1 - y0)
            nx, ny = (y1 - y0) / length, (x0 - x1) / length
            along_row = (nx * cos - ny * sin) * across - radius * (nx * x0 + ny * y0)
            distance = along_row[:, None, :] + ((nx * sin + ny * cos) * up)[:, :, None]
            outside = distance if outside is None else torch.maximum(outside, distance, out=outside)
        assert outside is not None
        inside = outside if inside is None else torch.minimum(inside, outside, out=inside)
    assert inside is not None
    return inside.neg_().add_(0.5).clamp_(0.0, 1.0)


def _texture(
    texture: Int[Tensor, " n"],
    place: Float[Tensor, "two n"],
    turn: Float[Tensor, " n"],
    shift: Float[Tensor, "two n"],
    period: float,
    size: int,
) -> Float[Tensor, "n size size"]:
    """The brightness of every pixel, by cos(a + b) = cos a cos b - sin a sin b, wave by wave."""
    waves = _waves().to(turn.device)[texture]  # (n, waves, 3)
    a, b, amplitude = waves.unbind(-1)
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    centres = torch.arange(size, device=turn.device) + 0.5
    across = (centres - place[0, :, None])[:, None] / period
    up = (place[1, :, None] - centres)[:, None] / period
    phase = a * shift[0, :, None] + b * shift[1, :, None]
    along_row = 2.0 * math.pi * ((a * cos - b * sin)[..., None] * across + phase[..., None])
    along_column = 2.0 * math.pi * (a * sin + b * cos)[..., None] * up
    left = torch.cat([along_column.cos(), -along_column.sin()], dim=1)
    right = torch.cat([along_row.cos(), along_row.sin()], dim=1) * amplitude.repeat(1, 2)[..., None]
    return left.mT @ right


@cache
def _waves() -> Float[Tensor, "textures waves three"]:
    """Every texture's waves, scaled to its darkest and brightest value, with a constant as their first."""
    most = max(len(waves) for waves in TEXTURES.values())
    table = torch.zeros(len(TEXTURES), most + 1, 3)
    grid = torch.arange(240) / 120.0  # two periods
    for row, waves in zip(table, TEXTURES.values(), strict=True):
        if not waves:
            row[0, 2] = (DARKEST + BRIGHTEST) / 2
            continue
        row[1 : len(waves) + 1] = torch.tensor(waves)
        u, v = grid[:, None], grid[None, :] * (1 / _SLANT if waves == TEXTURES["honeycomb"] else 1.0)
        value = sum(c * torch.cos(2.0 * math.pi * (a * u + b * v)) for a, b, c in waves)
        low, high = torch.as_tensor(value).aminmax()
        gain = (BRIGHTEST - DARKEST) / (high - low)
        row[1:, 2] *= gain
        row[0, 2] = DARKEST - gain * low
    return table
