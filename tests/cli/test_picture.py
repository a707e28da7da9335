import json

import numpy as np
import pytest

from pidlab.cli import main
from pidlab.plots.drawing import images_figure


def run(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["pidlab", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


def test_picture_writes_an_image_and_its_provenance(monkeypatch, tmp_path, capsys):
    out = tmp_path / "pairs.png"
    assert (
        run(monkeypatch, "picture", "trifeature", "--samples", "3", "--views", "crop", "--out", str(out)) == 0
    )
    assert out.read_bytes().startswith(b"\x89PNG")
    about = json.loads(out.with_suffix(".json").read_text())
    assert set(about["labels"]) == {"redundant", "unique1", "unique2", "synergy"}
    assert "trifeature" in about["command"]
    assert str(out) in capsys.readouterr().out.replace("\n", "")


@pytest.mark.parametrize(
    ("generator", "out", "why"),
    [
        ("atoms", "a.png", "does not draw images"),
        ("trifeature", "a.txt", "ends in .pdf, .svg, .png"),
        ("trifeature(size=9)", "a.png", "size = 9"),
        ("trifeature", "no/such/folder/a.png", "cannot write"),
    ],
)
def test_wrong_requests_are_refused(monkeypatch, tmp_path, capsys, generator, out, why):
    assert run(monkeypatch, "picture", generator, "--out", str(tmp_path / out)) == 2
    said = capsys.readouterr().err
    assert why in said
    assert "Traceback" not in said


def test_every_image_has_a_panel():

    figure = images_figure([("a", np.zeros((4, 1, 5, 5))), ("b", np.ones((4, 3, 5, 5)))])
    assert len(figure.axes) == 8
