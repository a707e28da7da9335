"""How every figure looks: one look per objective, one marker per term, sizes of a paper's page."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import get_registered_canvas_class
from matplotlib.figure import Figure
from tueplots import figsizes, fontsizes

from pidlab.errors import InvalidRequest, nearest
from pidlab.results.means import CEILING, FLOOR, is_reference

FORMATS = ("pdf", "svg", "png")


def save(figure: Figure, path: Path) -> None:
    """Writes a figure in the format of its name."""
    form = path.suffix.removeprefix(".")
    metadata = {"pdf": {"CreationDate": None, "ModDate": None}, "svg": {"Date": None}}
    canvas, dpi = figure.canvas, figure.dpi
    with style():
        figure.dpi = mpl.rcParams["savefig.dpi"]
        # Drawn once, with its layout; `savefig` would draw it once more beforehand, to the same bytes.
        own: Any = get_registered_canvas_class(form)(figure)
        getattr(own, f"print_{form}")(path, metadata=metadata.get(form, {}))
    figure.dpi = dpi
    figure.set_canvas(canvas)


# Okabe & Ito's palette, safe for colour-blind readers.
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
GREY = "#8C8C8C"
# What a truth is drawn with, wherever one is.
TRUTH: dict[str, Any] = {"color": GREY, "linewidth": 0.6, "zorder": 1}

_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (5, 1.2, 1, 1.2)))
_HATCHES = ("", "/////", ".....", "xxxxx")


@dataclass(frozen=True)
class Look:
    """How an objective is drawn: a colour and, since there are more objectives than colours, a dash.

    Args:
        colour: of lines and areas.
        variant: which dash a line has, and which hatch an area.
        hollow: whether areas are left empty.
    """

    colour: str
    variant: int = 0
    hollow: bool = False

    @property
    def dash(self) -> Any:
        """Matplotlib's line style."""
        return _DASHES[self.variant]

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of a line."""
        return {"color": self.colour, "linestyle": self.dash}

    @property
    def area(self) -> dict[str, Any]:
        """Arguments of a bar or a swatch."""
        inside = {"facecolor": "none" if self.hollow else self.colour, "linewidth": 0.6}
        if self.variant and self.colour != GREY:
            return inside | {"edgecolor": "white", "hatch": _HATCHES[self.variant]}
        return inside | {"edgecolor": self.colour}


LOOKS = {
    FLOOR: Look(GREY, 2, hollow=True),
    CEILING: Look(GREY, 1),
    "cross": Look(BLUE),
    "supcon": Look(BLUE, 1),
    "simclr": Look(ORANGE),
    "simclr-cross": Look(ORANGE, 1),
    "cross+self": Look(GREEN),
    "cross+self+fact": Look(GREEN, 1),
    "comm": Look(VERMILION),
    "comm-sup": Look(VERMILION, 1),
    "factorcl-ssl": Look(PURPLE),
    "ourcl-ssl": Look(PURPLE, 1),
    "factorcl-sup": Look(SKY),
    "ourcl-sup": Look(SKY, 1),
}
COLOURS = {name: look.colour for name, look in LOOKS.items()}
# What other names get, in this order: colours that stand for no well-known objective come first.
_OTHERS = [Look(colour) for colour in (PURPLE, SKY, BLACK, YELLOW)] + [
    Look(colour, variant)
    for variant in (1, 2, 3)
    for colour in (BLACK, PURPLE, SKY, VERMILION, BLUE, GREEN, ORANGE, YELLOW)
]
_GREYS = [Look(GREY, variant) for variant in (3, 0)]

# Terms as areas, where no objective is shown beside them, and as marks.
TERM_COLOURS = {"redundant": BLUE, "unique1": ORANGE, "unique2": YELLOW, "synergy": PURPLE}
MARKERS = {
    "redundant": "o",
    "unique1": "^",
    "unique2": "v",
    "synergy": "s",
    "nuisance:1": "<",
    "nuisance:2": ">",
    "nuisance:shared": "d",
    "total:y": "*",
}
_OTHER_COLOURS = (SKY, GREEN, VERMILION, BLACK, GREY)
_OTHER_MARKERS = ("D", "P", "X", "p", "h", "8")

_PAGES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "neurips": (figsizes.neurips2024, fontsizes.neurips2024),
    "iclr": (figsizes.iclr2024, fontsizes.iclr2024),
    "icml": (figsizes.icml2024_full, fontsizes.icml2024),
    "icml-column": (figsizes.icml2024_half, fontsizes.icml2024),
}
VENUES = tuple(_PAGES)


def width_of(venue: str) -> float:
    """Inches that a figure may be wide: the text block, or one of ICML's two columns.

    Raises:
        InvalidRequest: a venue whose sizes are not known.
    """
    if venue not in _PAGES:
        raise InvalidRequest(f"unknown venue {venue!r}: {nearest(venue, VENUES)}")
    return float(_PAGES[venue][0]()["figure.figsize"][0])


# The text block of NeurIPS and ICLR.
TEXT_WIDTH = width_of("neurips")


def looks(objectives: Iterable[str]) -> dict[str, Look]:
    """The look of every objective: fixed for known names, for others what is left; no two are alike."""
    names = list(dict.fromkeys(map(str, objectives)))
    chosen = {name: LOOKS[name] for name in names if name in LOOKS}
    for name in names:
        if name in chosen:
            continue
        taken = set(chosen.values())
        colours_taken = {look.colour for look in taken}
        free = [look for look in (_GREYS if is_reference(name) else _OTHERS) if look not in taken]
        # A solid colour that nobody has is told apart best.
        fresh = [look for look in free if look.variant == 0 and look.colour not in colours_taken]
        dashed = [look for look in free if look.variant]
        chosen[name] = next(iter([*fresh, *dashed, *free]), Look(BLACK, 3))
    return {name: chosen[name] for name in names}


def colours(objectives: Iterable[str]) -> dict[str, str]:
    """The colour of every objective."""
    return {name: look.colour for name, look in looks(objectives).items()}


def term_colours(terms: Iterable[str]) -> dict[str, str]:
    """The colour of every term as an area."""
    return _given(terms, TERM_COLOURS, _OTHER_COLOURS)


def markers(terms: Iterable[str]) -> dict[str, str]:
    """The marker of every term."""
    return _given(terms, MARKERS, _OTHER_MARKERS)


def _given(names: Iterable[str], fixed: dict[str, str], others: tuple[str, ...]) -> dict[str, str]:
    names = list(dict.fromkeys(names))
    rest = [name for name in names if name not in fixed]
    spare = dict(zip(rest, others * (len(rest) // len(others) + 1), strict=False))
    return {name: fixed.get(name) or spare[name] for name in names}


@contextmanager
def style(venue: str = "neurips") -> Generator[None]:
    """Matplotlib settings of a paper figure: embedded fonts, thin lines, the same bytes each time."""
    width_of(venue)
    settings: dict[Any, Any] = {
        **_PAGES[venue][1](default_smaller=2),
        "figure.constrained_layout.use": True,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "pidlab",
        "font.family": "DejaVu Sans",
        "mathtext.fontset": "dejavusans",
        "axes.linewidth": 0.6,
        "axes.titley": 1.0,  # where they are; left open, matplotlib measures all ticks over again to see
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.1,
        "hatch.linewidth": 0.5,
        "legend.frameon": False,
        "savefig.dpi": 300,
    }
    with mpl.rc_context(settings):
        yield
