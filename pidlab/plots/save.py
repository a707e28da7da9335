"""Writing figures: the same figure gives the same bytes."""

from pathlib import Path

from matplotlib.figure import Figure

from pidlab.plots.style import style

FORMATS = ("pdf", "svg", "png")


def save(figure: Figure, path: Path) -> None:
    """Writes a figure in the format of its name."""
    metadata = {".pdf": {"CreationDate": None, "ModDate": None}, ".svg": {"Date": None}}
    with style():
        figure.savefig(path, metadata=metadata.get(path.suffix, {}))
