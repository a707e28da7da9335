"""Rendering and augmentation of Trifeature images: a textured, colored shape on black.

Everything is analytic. A shape is a union of convex polygons: its signed distance is the minimum over
polygons of the maximum over edges of a linear function of the pixel. A texture is a trigonometric
polynomial: its highest frequency determines the size below which it aliases. Each wave cos(a x + b y) is a
sum of two products of a function of the column and a function of the row.
"""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor

POLICIES = ("crop", "flip", "blur", "jitter", "grayscale")

# Least side of a crop as a fraction; probabilities that a view is flipped, blurred, jittered, gray.
LEAST_SIDE, FLIPPED, BLURRED, JITTERED, GRAY = 0.6, 0.5, 0.5, 0.8, 0.2
# Largest standard deviation of the blur, in sides; largest change of brightness and of saturation; largest
# rotation of the hue, in turns.
MOST_BLUR, MOST_CHANGE, MOST_TURN = 0.02, 0.4, 0.1

LUMA_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green, blue (ITU-R BT.601)

# A shape lies within this distance of its center, in sides of the image.
RADIUS = 2 / 7

COLORS = 10
# Luminance of all colors; it is equal, so that a gray image has no information about them.
LUMINANCE = 0.5

# Darkest and brightest value of a texture; above 0, so that the whole shape is visible.
DARKEST, BRIGHTEST = 0.25, 1.0

# Pixels rendered at once, few enough for the processor's cache.
PIXELS = 2**17

Point = tuple[float, float]


def _regular(corners: int) -> list[Point]:
    angles = (2 * math.pi * (i / corners + 0.25) for i in range(corners))
    return [(math.cos(a), math.sin(a)) for a in angles]


def _rectangle(left: float, right: float, bottom: float, top: float) -> list[Point]:
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def _ray(degrees: float) -> list[Point]:
    # One point of the star with the part of its center between the same two lines.
    inner, a, b = 0.381966, math.radians(degrees), math.radians(108)
    return [
        (math.cos(a), math.sin(a)),
        (inner * math.cos(a + b), inner * math.sin(a + b)),
        (inner * math.cos(a - b), inner * math.sin(a - b)),
    ]


_SQUARES = [(0.0, 0.0), (0.44, 0.44), (-0.44, 0.44), (-0.44, -0.44), (0.44, -0.44)]

# Convex polygons, counterclockwise, inside the unit circle. Every shape is its own mirror image.
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

# Waves of every texture: cycles per period along two axes, and amplitude. Every texture is its own mirror
# image up to a shift and a rotation.
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
# Highest frequency of all textures, in cycles per period.
HIGHEST = max(math.hypot(a, b) for waves in TEXTURES.values() for a, b, _ in waves)


def render(
    shape: Int[Tensor, " n"],
    texture: Int[Tensor, " n"],
    color: Int[Tensor, " n"],
    pose: Float[Tensor, "six n"],
    *,
    size: int,
    period: float,
    rotation: float,
) -> Float[Tensor, "n rgb size size"]:
    """Render images.

    Args:
        shape: Indices into `SHAPES`, shape (n,).
        texture: Indices into `TEXTURES`, shape (n,).
        color: Indices into the palette, shape (n,).
        pose: Nuisance from 0 to 1, shape (6, n): horizontal and vertical position, rotation of the shape,
            rotation of the texture, shift of the texture along both of its axes.
        size: Pixels per side.
        period: Period of the textures, in pixels.
        rotation: Largest rotation of shape and texture, in degrees, in both directions.

    Returns:
        Images with values from 0 to 1, shape (n, 3, size, size).
    """
    radius = RADIUS * size
    center = radius + (size - 2.0 * radius) * pose[:2]
    turn = math.radians(rotation) * (2.0 * pose[2:4] - 1.0)
    image = torch.empty(len(shape), 3, size, size, device=shape.device)
    hues = palette().to(shape.device)
    for number, rows in _rows_by_shape(shape, max(1, PIXELS // size**2)):
        mask = _mask(list(SHAPES.values())[number], center[:, rows], turn[0, rows], radius, size)
        value = _texture(texture[rows], center[:, rows], turn[1, rows], 2.0 * pose[4:, rows], period, size)
        value.mul_(mask)
        image[rows] = value[:, None] * hues[color[rows]][:, :, None, None]
    return image


def palette() -> Float[Tensor, "colors rgb"]:
    """Return ten equidistant hues of one luminance, shape (10, 3)."""
    angle = 2.0 * math.pi * torch.arange(COLORS) / COLORS
    chroma = LUMINANCE * torch.stack([angle.cos(), angle.sin()], dim=-1)
    gray = torch.full((COLORS, 1), LUMINANCE)
    return torch.cat([gray, chroma], dim=-1) @ hue_plane().mT


def hue_plane() -> Float[Tensor, "rgb axes"]:
    """Return three columns: gray of luminance 1, and two axes of luminance 0 that span the hues."""
    red, green, blue = LUMA_WEIGHTS
    axes = [[1.0, 1.0, 1.0], [0.0, -blue / green, 1.0], [1.0, -red / green, 0.0]]
    return torch.tensor(axes).mT


def augment(
    x: Float[Tensor, "n rgb height width"], policies: tuple[str, ...], generator: torch.Generator
) -> Float[Tensor, "n rgb height width"]:
    """Augment every image separately.

    - `crop`: a random square of 0.6 to 1 sides, enlarged to the whole image (bilinear).
    - `flip`: horizontal reflection in half of the views.
    - `blur`: Gaussian blur of up to 0.02 sides in half of the views.
    - `jitter`: in 0.8 of the views, change of brightness and saturation by up to 0.4 and rotation of the hue
      by up to 36 degrees in both directions.
    - `grayscale`: in 0.2 of the views, only the luminance is kept.

    Args:
        x: Images, shape (n, 3, height, width).
        policies: Augmentations to apply, a subset of `POLICIES`.
        generator: Source of randomness.

    Returns:
        Augmented images of the shape of ``x``.
    """
    n, _, height, width = x.shape

    def draw(low: float, high: float) -> Float[Tensor, " n"]:
        return low + (high - low) * torch.rand(n, generator=generator, device=x.device)

    # Crop, flip and blur are separable: one matrix on the rows and one on the columns of each image.
    rows, columns = (torch.eye(side, device=x.device).expand(n, -1, -1) for side in (height, width))
    if "crop" in policies:
        fraction = draw(LEAST_SIDE, 1.0)
        rows = _crop_matrix(height, fraction, draw(0.0, 1.0))
        columns = _crop_matrix(width, fraction, draw(0.0, 1.0))
    if "flip" in policies:
        is_flipped = draw(0.0, 1.0) < FLIPPED
        columns = torch.where(is_flipped[:, None, None], columns.flip(1), columns)
    if "blur" in policies:
        is_blurred = draw(0.0, 1.0) < BLURRED
        spread = draw(0.0, MOST_BLUR) * is_blurred
        rows = _blur_matrix(height, spread) @ rows
        columns = _blur_matrix(width, spread) @ columns
    if set(policies) & {"crop", "flip", "blur"}:
        x = rows[:, None] @ x @ columns.mT[:, None]
    if set(policies) & {"jitter", "grayscale"}:
        brightness, saturation, turn = torch.ones(n), torch.ones(n), torch.zeros(n)
        brightness, saturation, turn = (t.to(x.device) for t in (brightness, saturation, turn))
        if "jitter" in policies:
            is_jittered = draw(0.0, 1.0) < JITTERED
            brightness = brightness + is_jittered * draw(-MOST_CHANGE, MOST_CHANGE)
            saturation = saturation + is_jittered * draw(-MOST_CHANGE, MOST_CHANGE)
            turn = is_jittered * draw(-MOST_TURN, MOST_TURN)
        if "grayscale" in policies:
            saturation = saturation * (draw(0.0, 1.0) >= GRAY)
        x = (_color_matrix(brightness, saturation, turn) @ x.flatten(2)).view_as(x)
    return x


def _crop_matrix(
    side: int, fraction: Float[Tensor, " n"], place: Float[Tensor, " n"]
) -> Float[Tensor, "n side side"]:
    """Return the linear interpolation that stretches a part of a line to the whole; `place` is 0 to 1."""
    pixels = torch.arange(side, device=fraction.device)
    start = (side * (1.0 - fraction) * place)[:, None]
    source = (start + (pixels + 0.5) * fraction[:, None] - 0.5).clamp(0, side - 1)
    return (1.0 - (source[:, :, None] - pixels).abs()).clamp_min(0.0)


def _blur_matrix(side: int, spread: Float[Tensor, " n"]) -> Float[Tensor, "n side side"]:
    """Return the averages of a line with normal weights of standard deviation `spread` sides."""
    pixels = torch.arange(side, device=spread.device)
    distance = (pixels[:, None] - pixels).square()
    # Below a tenth of a pixel the weights are those of the identity; the bound avoids division by 0.
    exponent = -0.5 * distance / (spread * side).clamp_min(0.1).square()[:, None, None]
    # Weights below e^-30 do not change a float32 sum. Without the bound they would be denormal numbers, which
    # make the products several times slower.
    weights = exponent.clamp_min(-30.0).exp() * (exponent > -30.0)
    return weights / weights.sum(-1, keepdim=True)


def _color_matrix(
    brightness: Float[Tensor, " n"], saturation: Float[Tensor, " n"], turn: Float[Tensor, " n"]
) -> Float[Tensor, "n rgb rgb"]:
    """Return the linear map of a pixel that rotates its hue and scales its saturation and brightness."""
    plane = hue_plane().to(turn.device)
    angle = 2.0 * math.pi * turn
    change = torch.zeros(len(turn), 3, 3, device=turn.device)
    change[:, 0, 0] = 1.0
    change[:, 1, 1] = change[:, 2, 2] = saturation * angle.cos()
    change[:, 2, 1] = saturation * angle.sin()
    change[:, 1, 2] = -saturation * angle.sin()
    return brightness[:, None, None] * (plane @ change @ torch.linalg.inv(plane))


def _rows_by_shape(shape: Tensor, most: int) -> Iterator[tuple[int, Tensor]]:
    """Iterate over the rows of each shape, at most `most` at a time."""
    for number in range(len(SHAPES)):
        of_shape = (shape == number).nonzero()[:, 0]
        for rows in of_shape.split(most) if len(of_shape) else ():
            yield number, rows


def _mask(
    polygons: Sequence[Sequence[Point]],
    center: Float[Tensor, "two n"],
    turn: Float[Tensor, " n"],
    radius: float,
    size: int,
) -> Float[Tensor, "n size size"]:
    """Return the fraction of every pixel inside a shape, to first order: 1/2 minus the signed distance."""
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    pixels = torch.arange(size, device=turn.device) + 0.5
    across, up = pixels - center[0, :, None], center[1, :, None] - pixels
    union: Tensor | None = None
    for polygon in polygons:
        distance: Tensor | None = None
        for (x0, y0), (x1, y1) in pairwise([*polygon, polygon[0]]):
            length = math.hypot(x1 - x0, y1 - y0)
            nx, ny = (y1 - y0) / length, (x0 - x1) / length
            along_row = (nx * cos - ny * sin) * across - radius * (nx * x0 + ny * y0)
            edge = along_row[:, None, :] + ((nx * sin + ny * cos) * up)[:, :, None]
            distance = edge if distance is None else torch.maximum(distance, edge, out=distance)
        assert distance is not None
        union = distance if union is None else torch.minimum(union, distance, out=union)
    assert union is not None
    return union.neg_().add_(0.5).clamp_(0.0, 1.0)


def _texture(
    texture: Int[Tensor, " n"],
    center: Float[Tensor, "two n"],
    turn: Float[Tensor, " n"],
    shift: Float[Tensor, "two n"],
    period: float,
    size: int,
) -> Float[Tensor, "n size size"]:
    """Return the brightness of every pixel, by cos(a + b) = cos a cos b - sin a sin b for every wave."""
    waves = _waves().to(turn.device)[texture]  # (n, waves, 3)
    a, b, amplitude = waves.unbind(-1)
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    pixels = torch.arange(size, device=turn.device) + 0.5
    across = (pixels - center[0, :, None])[:, None] / period
    up = (center[1, :, None] - pixels)[:, None] / period
    phase = a * shift[0, :, None] + b * shift[1, :, None]
    along_row = 2.0 * math.pi * ((a * cos - b * sin)[..., None] * across + phase[..., None])
    along_column = 2.0 * math.pi * (a * sin + b * cos)[..., None] * up
    left = torch.cat([along_column.cos(), -along_column.sin()], dim=1)
    right = torch.cat([along_row.cos(), along_row.sin()], dim=1) * amplitude.repeat(1, 2)[..., None]
    return left.mT @ right


@cache
def _waves() -> Float[Tensor, "textures waves three"]:
    """Return every texture's waves, scaled to its darkest and brightest value, the constant first."""
    most = max(len(waves) for waves in TEXTURES.values())
    table = torch.zeros(len(TEXTURES), most + 1, 3)
    grid = torch.arange(240) / 120.0  # two periods
    for row, waves in zip(table, TEXTURES.values(), strict=True):
        if not waves:
            row[0, 2] = (DARKEST + BRIGHTEST) / 2
            continue
        row[1 : len(waves) + 1] = torch.tensor(waves)
        # The hexagonal grid repeats after 1 / _SLANT along its second axis.
        u, v = grid[:, None], grid[None, :] * (1 / _SLANT if waves == TEXTURES["honeycomb"] else 1.0)
        value = sum(c * torch.cos(2.0 * math.pi * (a * u + b * v)) for a, b, c in waves)
        low, high = torch.as_tensor(value).aminmax()
        gain = (BRIGHTEST - DARKEST) / (high - low)
        row[1:, 2] *= gain
        row[0, 2] = DARKEST - gain * low
    return table
