"""Writing figures: the same figure gives the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import get_registered_canvas_class
from matplotlib.figure import Figure

from pidlab.plots.style import style

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
