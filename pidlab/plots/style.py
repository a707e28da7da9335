"""How every figure looks: one colour per objective, sizes of a paper's page."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from tueplots import fontsizes

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

COLOURS = {
    "untrained": GREY,
    "supervised": GREY,
    "cross": BLUE,
    "simclr": ORANGE,
    "cross+self": GREEN,
    "comm": VERMILION,
    "factorcl-ssl": PURPLE,
    "factorcl-sup": SKY,
}
_OTHERS = (PURPLE, SKY, YELLOW, BLACK)

# Terms as areas, where no objective is shown beside them.
TERM_COLOURS = {"redundant": BLUE, "unique1": ORANGE, "unique2": YELLOW, "synergy": PURPLE}
SYMBOLS = {"redundant": "$R$", "unique1": "$U_1$", "unique2": "$U_2$", "synergy": "$S$"}


def symbol_of(term: str) -> str | None:
    """How a term is written, that of more than two modalities too: `synergy13` is S_13; None for others."""
    parts = re.fullmatch(r"(redundant|unique|synergy)(\d*)", term)
    if term in SYMBOLS or parts is None:
        return SYMBOLS.get(term)
    return f"${parts[1][0].upper()}_{{{parts[2]}}}$"


# Width of the text block of NeurIPS and ICLR, in inches.
TEXT_WIDTH = 5.5


def colours(objectives: Iterable[str]) -> dict[str, str]:
    """The colour of every objective: fixed for known names, the rest of the palette for others."""
    chosen: dict[str, str] = {}
    free = list(_OTHERS)
    for name in objectives:
        colour = COLOURS.get(name)
        if colour is None or (colour in chosen.values() and colour != GREY):
            colour = next((c for c in free if c not in chosen.values()), BLACK)
        chosen[name] = colour
    return chosen


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib settings of a paper figure: embedded fonts, thin lines, the same bytes each time."""
    settings: dict[Any, Any] = {
        **fontsizes.neurips2024(default_smaller=2),
        "figure.constrained_layout.use": True,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "pidlab",
        "font.family": "DejaVu Sans",
        "mathtext.fontset": "dejavusans",
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.1,
        "legend.frameon": False,
        "savefig.dpi": 300,
    }
    with mpl.rc_context(settings):
        yield
