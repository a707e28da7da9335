"""Files of a finished sweep are written independently of each other."""

from types import SimpleNamespace

import pytest
from made_results import results

from pidlab import InvalidRequest
from pidlab.api import write_sweep_files


def sweep(directory):
    found = results(directory, points=(0.0, 1.0))
    request = SimpleNamespace(size=2, axis_groups=found.axis_groups)
    return SimpleNamespace(
        directory=directory, request=request, shown=found.table, record=found.record, sampled=0
    )


def test_all_files_are_written(tmp_path):
    write_sweep_files(sweep(tmp_path))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"captured.pdf", "captured.svg", "captured.png", "captured.csv", "report.html"}
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_a_full_disk_for_one_figure_keeps_the_other_files(tmp_path, monkeypatch):
    from pidlab.plots import style

    save = style.save

    def fail(figure, path):
        if path.suffix == ".svg":
            raise OSError(28, "No space left on device")
        save(figure, path)

    monkeypatch.setattr(style, "save", fail)
    (tmp_path / "captured.svg").write_text("an older figure")
    with pytest.raises(
        InvalidRequest, match=r"captured.svg not written \(No space left on device\); all runs"
    ):
        write_sweep_files(sweep(tmp_path))
    assert {"captured.pdf", "captured.csv", "report.html"} <= {path.name for path in tmp_path.iterdir()}
    assert "older figure" not in (tmp_path / "report.html").read_text()


def test_a_figure_that_cannot_be_drawn_keeps_the_page(tmp_path, monkeypatch):
    def fail(*_):
        raise ValueError("ParseException: expected \\something\nmore")

    monkeypatch.setattr("pidlab.plots.capture.capture_figure", fail)
    with pytest.raises(InvalidRequest, match=r"captured\.csv not written"):
        write_sweep_files(sweep(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
