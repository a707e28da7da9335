"""Pictures of what a generator of images draws: arrays in, a figure out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from pidlab.plots.style import TEXT_WIDTH, style


def images_figure(rows: Sequence[tuple[str, Float[np.ndarray, "n channels height width"]]]) -> Figure:
    """Images in labelled rows, sample by sample from left to right.

    Args:
        rows: a label and n images of 1 or 3 channels each; numbers beyond 0 to 1 are shown as the nearer end.
    """
    columns = len(rows[0][1])
    side = TEXT_WIDTH / columns
    with style():
        figure = Figure(figsize=(TEXT_WIDTH, side * len(rows) + 0.05))
        grid = figure.subplots(len(rows), columns, squeeze=False)
        for strip, (label, images) in zip(grid, rows, strict=True):
            for panel, image in zip(strip, images, strict=True):
                pixels = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
                panel.imshow(pixels.clip(0.0, 1.0), interpolation="nearest")
                panel.set_xticks([])
                panel.set_yticks([])
                panel.spines[:].set_visible(False)
            strip[0].set_ylabel(label)
    return figure
