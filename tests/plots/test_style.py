"""Saving of figures."""

import errno
from contextlib import contextmanager

import pytest
from matplotlib.figure import Figure

from pidlab.plots import style


@pytest.mark.parametrize("form", style.FORMATS)
def test_a_full_disk_is_reported_as_such(tmp_path, monkeypatch, form):
    class Full:
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    @contextmanager
    def full(path, mode):
        yield Full()

    monkeypatch.setattr(style, "atomic_write", full)
    figure = Figure()
    figure.subplots().plot([0, 1])
    with pytest.raises(OSError, match="No space left"):
        style.save(figure, tmp_path / f"figure.{form}")
