"""Access to the artists of a panel."""

import numpy as np

from pidlab.plots.style import looks


def mean_line(panel, objective):
    """The line through the means of an objective; marks have no line."""
    color = looks([objective])[objective].color
    (line,) = [
        line for line in panel.lines if line.get_color() == color and line.get_linestyle() not in ("None", "")
    ]
    return line


def assert_line(panel, objective, x, y):
    """Checks that the means of an objective are drawn at their true positions."""
    line = mean_line(panel, objective)
    np.testing.assert_array_equal(line.get_xdata(), x)
    np.testing.assert_allclose(line.get_ydata(), y)


def marks(panel, objective, hollow=False):
    """Positions and z-orders of the marks of an objective, sorted by x, shape (marks, 3)."""
    look = looks([objective])[objective]
    face = "white" if hollow else look.color
    found = [
        (x, y, line.get_zorder())
        for line in panel.lines
        if line.get_marker() == look.marker
        and line.get_markerfacecolor() == face
        and line.get_linestyle() == "None"
        if hollow is (line.get_markeredgecolor() == look.color)
        for x, y in line.get_xydata()
    ]
    return np.array(sorted(found))


def dots(panel):
    """Positions of the dots of single seeds."""
    offsets = [c.get_offsets() for c in panel.collections if type(c).__name__ == "PathCollection"]
    return np.concatenate(offsets) if offsets else np.empty((0, 2))


def intervals(panel):
    """Ends of the error bars, shape (bars, 2 ends, 2 coordinates)."""
    return [s for c in panel.collections if type(c).__name__ == "LineCollection" for s in c.get_segments()]
