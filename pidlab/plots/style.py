"""Style of figures: colors, markers and dashes of objectives and terms, and page sizes of venues."""

import hashlib
import io
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import get_registered_canvas_class
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from tueplots import figsizes, fontsizes

from pidlab.errors import InvalidRequest, nearest
from pidlab.io import atomic_write
from pidlab.results.formatting import format_objective
from pidlab.results.means import CEILING, FLOOR, base_name

FORMATS = ("pdf", "svg", "png")

# The palette of Okabe and Ito, which readers with color blindness can distinguish.
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE, BLACK = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    "#000000",
)
GREY, LIGHT_GREY, DARK_GREY = "#8C8C8C", "#BDBDBD", "#454545"
# Arguments of every line that shows the ground truth.
TRUTH: dict[str, Any] = {"color": GREY, "linewidth": 0.7, "zorder": 1}
# Arguments of the band between the bounds of a truth.
TRUTH_BAND: dict[str, Any] = {"color": LIGHT_GREY, "alpha": 0.4, "linewidth": 0.0, "zorder": 0}
# Smallest font size in points that is legible in print.
SMALLEST_FONT = 7.0


@dataclass(frozen=True)
class Look:
    """Color, marker and dash pattern of an objective.

    Args:
        color: Color of lines and markers.
        marker: Marker of matplotlib.
        dash: Lengths of dashes and gaps in units of the line width; empty for a solid line.
    """

    color: str
    marker: str = "o"
    dash: tuple[float, ...] = ()

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a matplotlib line."""
        style = (0, self.dash) if self.dash else "-"
        return {"color": self.color, "linestyle": style, "marker": self.marker}


_DASHED, _DOTTED, _DASH_DOTTED, _LONG = (4.0, 1.5), (1.2, 1.2), (5.0, 1.5, 1.2, 1.5), (9.0, 1.5)
# The default objectives differ in lightness by at least 6 of 100, and by 12 or in their dashes, so that a
# greyscale print shows them apart.
LOOKS = {
    FLOOR: Look(LIGHT_GREY, "v", _DOTTED),
    CEILING: Look(DARK_GREY, "^", _DASHED),
    "cross": Look(BLUE, "o"),
    "comm": Look(VERMILION, "s", _LONG),
    "factorcl-ssl": Look(PURPLE, "D", _DASHED),
    "cross+self": Look(ORANGE, "P", _DASH_DOTTED),
    "simclr": Look(GREEN, "X", _DASHED),
    "supcon": Look(BLUE, "h", _DASHED),
    "simclr-cross": Look(GREEN, "p"),
    "cross+self+fact": Look(ORANGE, "d", _DASHED),
    "comm-sup": Look(VERMILION, "p", _DASHED),
    "ourcl-ssl": Look(PURPLE, "h"),
    "factorcl-sup": Look(SKY, "D", _DASHED),
    "ourcl-sup": Look(SKY, "h"),
}
# Looks of all other objectives, in colors that no default objective has: two of Okabe and Ito, and the dark
# ones of Tol's muted palette, which is safe for color blindness as well.
_OTHERS = [
    Look(color, marker, dash)
    for marker, dash in (("*", ()), ("8", _DOTTED), ("<", _DASHED), (">", _DASH_DOTTED))
    for color in (BLACK, SKY, "#332288", "#882255", "#117733", "#999933")
]


def _variants(color: str) -> list[Look]:
    """Return the looks of variants of an objective: darker and lighter shades of its color."""
    red, green, blue = to_rgb(color)
    dark = to_hex((0.55 * red, 0.55 * green, 0.55 * blue))
    light = to_hex((0.5 + 0.5 * red, 0.5 + 0.5 * green, 0.5 + 0.5 * blue))
    looks = [("*", ()), ("8", _DOTTED), ("<", _DASHED), (">", _DASH_DOTTED)]
    return [Look(shade, marker, dash) for marker, dash in looks for shade in (dark, light)]


# Colors of terms in stacked bars, and markers of terms.
TERM_COLORS = {"redundant": BLUE, "unique1": ORANGE, "unique2": YELLOW, "synergy": PURPLE}
MARKERS = {"redundant": "o", "unique1": "^", "unique2": "v", "synergy": "s"}


def looks(objectives: Iterable[str]) -> dict[str, Look]:
    """Return the look of each objective; no two are equal for up to 30 objectives.

    A known objective has a fixed look. Any other name is hashed, so that it looks the same in every
    figure; it gets the next free look only if two names of a figure have the same hash.

    Args:
        objectives: References of objectives; repetitions are ignored.

    Example:
        >>> looks(["comm"])["comm"].marker
        's'
    """
    names = list(dict.fromkeys(map(str, objectives)))
    chosen = {name: LOOKS[name] for name in names if name in LOOKS}
    # In the order of the names, so that collisions do not depend on the order of the objectives.
    for name in sorted(set(names) - set(chosen)):
        start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        base = LOOKS.get(base_name(name))
        others = _variants(base.color) if base else _OTHERS
        turned = [others[(start + i) % len(others)] for i in range(len(others))]
        free = [look for look in [*turned, *_OTHERS] if look not in chosen.values()]
        chosen[name] = free[0] if free else turned[0]
    return {name: chosen[name] for name in names}


@dataclass(frozen=True)
class Venue:
    """Page of a conference.

    Args:
        sizes: Function of tueplots that returns the figure size.
        fonts: Function of tueplots that returns the font sizes.
    """

    sizes: Callable[..., Any]
    fonts: Callable[..., Any]


_VENUES = {
    "neurips": Venue(figsizes.neurips2024, fontsizes.neurips2024),
    "iclr": Venue(figsizes.iclr2024, fontsizes.iclr2024),
    "icml": Venue(figsizes.icml2024_full, fontsizes.icml2024),
    "icml-column": Venue(figsizes.icml2024_half, fontsizes.icml2024),
}
VENUES = tuple(_VENUES)


# STIX ships with matplotlib and resembles the Times of these venues.
FONTS = {"serif": ("STIXGeneral", "stix"), "sans": ("DejaVu Sans", "dejavusans")}


@dataclass(frozen=True)
class Page:
    """Settings of figures that override those of the venue.

    Args:
        width: Width of the figure in inches.
        font: One of `FONTS`.
        labels: Names of objectives, by reference.
    """

    width: float | None = None
    font: str = "serif"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if self.width is not None and not NARROWEST <= self.width <= WIDEST:
            raise InvalidRequest(f"--width {self.width:g}: must be from {NARROWEST} to {WIDEST} inches")
        if self.font not in FONTS:
            raise InvalidRequest(f"--font {self.font}: unknown font; {nearest(self.font, FONTS)}")


NARROWEST, WIDEST = 2.0, 20.0
_PAGE: ContextVar[Page | None] = ContextVar("page", default=None)


def _page() -> Page:
    return _PAGE.get() or Page()


@contextmanager
def on_page(page: Page) -> Generator[None]:
    """Apply the settings of a page to all figures drawn in this context."""
    token = _PAGE.set(page)
    try:
        yield
    finally:
        _PAGE.reset(token)


def objective_label(reference: str) -> str:
    """Return the name of an objective as text for matplotlib."""
    return escape_math(format_objective(reference, _page().labels))


def width_of(venue: str) -> float:
    """Return the width of a figure in inches: that of the current page, or of the venue's text or column.

    Args:
        venue: One of `VENUES`.

    Raises:
        InvalidRequest: If the venue is unknown.

    Example:
        >>> width_of("neurips")
        5.5
    """
    if venue not in _VENUES:
        raise InvalidRequest(f"--venue {venue}: unknown venue {venue!r}; {nearest(venue, VENUES)}")
    return _page().width or float(_VENUES[venue].sizes()["figure.figsize"][0])


# Width in inches of the text block of NeurIPS and ICLR.
TEXT_WIDTH = width_of("neurips")


@contextmanager
def style(venue: str = "neurips") -> Generator[None]:
    """Apply the matplotlib settings of a figure: the venue's font sizes, a Times-like font, thin lines.

    The settings make the bytes of a file reproducible.

    Args:
        venue: One of `VENUES`.
    """
    width_of(venue)
    family, formulas = FONTS[_page().font]
    fonts = {
        name: max(float(size), SMALLEST_FONT)
        for name, size in _VENUES[venue].fonts(default_smaller=2).items()
    }
    settings: dict[Any, Any] = {
        **fonts,
        "figure.constrained_layout.use": True,
        # Type 42 embeds fonts, which conferences require.
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "pidlab",
        "font.family": family,
        "mathtext.fontset": formulas,
        "axes.linewidth": 0.6,
        # A fixed position saves matplotlib from measuring all ticks again.
        "axes.titley": 1.0,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.0,
        "lines.markersize": 3.5,
        "hatch.linewidth": 0.5,
        "legend.frameon": False,
        "savefig.dpi": 300,
    }
    with mpl.rc_context(settings):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the file's suffix, atomically and with the same bytes every time.

    Args:
        figure: The figure.
        path: File name that ends in .pdf, .svg or .png.
    """
    form = path.suffix.removeprefix(".")
    # Dates would make the bytes differ.
    metadata = {"pdf": {"CreationDate": None, "ModDate": None}, "svg": {"Date": None}}
    canvas, dpi = figure.canvas, figure.dpi
    drawn = io.BytesIO()  # because the PDF writer hides the error of a full disk behind one of its own
    with style():
        figure.dpi = mpl.rcParams["savefig.dpi"]
        # `Figure.savefig` would draw the figure twice.
        writer: Any = get_registered_canvas_class(form)(figure)
        try:
            getattr(writer, f"print_{form}")(drawn, metadata=metadata.get(form, {}))
        finally:
            figure.dpi = dpi
            figure.set_canvas(canvas)
    with atomic_write(path, "wb") as file:
        file.write(drawn.getbuffer())


def escape_math(text: str) -> str:
    r"""Escape dollar signs, which would start a formula of matplotlib.

    Args:
        text: Text from a user, such as the name of an objective.

    Example:
        >>> print(escape_math("mine(unit='$')"))
        mine(unit='\$')
    """
    return text.replace("$", r"\$")
