"""The commands `pidlab plot` and `pidlab table`."""

import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from swept import DIRECTIONS, table, tracked, write

from pidlab import plots
from pidlab.cli import main
from pidlab.cli.results import FORMATS
from pidlab.plots.kinds import KINDS
from pidlab.plots.style import FORMATS as SAVED
from pidlab.plots.style import VENUES, save


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "a", pd.concat([table(), tracked()]))


@pytest.fixture
def pidlab(monkeypatch, capsys):
    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["pidlab", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return command


def test_a_figure_has_a_table_and_a_caption(pidlab, folder, tmp_path):
    out = tmp_path / "figures"
    code, text, _ = pidlab(
        "plot", folder, "--kind", "profile", "--at", "unique1=1", "--format", "pdf", "--format", "svg",
        "--objective", "comm", "--venue", "icml", "--out", out,
    )  # fmt: skip
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        f"profile.{s}" for s in ("csv", "pdf", "svg", "txt")
    ]
    assert text.splitlines()[0] == str(out / "profile.pdf")
    shown = pd.read_csv(out / "profile.csv")
    assert shown["mean"].tolist() == pytest.approx([0.6] * 4)
    assert set(shown["objective"]) == {"comm"}


def test_several_formats_are_one_option(pidlab, folder, tmp_path):
    assert pidlab("plot", folder, "--format", "svg,png", "--out", tmp_path / "figures")[0] == 0
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".png", ".csv", ".txt"}


def test_several_sweeps_are_drawn_together(pidlab, folder, tmp_path):
    other = write(tmp_path / "b", table(points=(0.25,)))
    code, _, _ = pidlab("plot", folder, other, "--name", "both")
    assert code == 0
    assert sorted(pd.read_csv(folder / "both.csv")["unique1"].unique()) == [0.0, 0.25, 0.5, 1.0]


@pytest.mark.parametrize("kind", ["leakage", "tradeoff", "learning", "decomposition"])
def test_kinds_drawn_from_results(pidlab, folder, kind):
    code, _, err = pidlab("plot", folder, "--kind", kind)
    assert (code, err) == (0, "")
    assert len(pd.read_csv(folder / f"{kind}.csv"))


def test_kinds_drawn_from_other_files(pidlab, tmp_path):
    code, _, err = pidlab("plot", tmp_path, "--kind", "known-answers")
    assert code == 2
    assert "table.csv: not found" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kind", "captur"], "did you mean 'capture'"),
        (["--venue", "nips"], "did you mean 'neurips'"),
        (["--format", "eps"], "unknown format 'eps'"),
        (["--at", "unique1"], "expected NAME=VALUE"),
        (["--at", "unique1=1", "--at", "unique1=0"], "given twice"),
        (["--at", "unique1=0.3"], "there are 0, 0.5, 1"),
        (["--objective", "com"], "did you mean 'comm'"),
        (["--term", "sinergy"], "did you mean 'synergy'"),
        (["--readout", "z3"], "there are z12"),
        (["--rows", "readout"], "no option 'rows'"),
        (["--order", "com"], "did you mean 'comm'"),
        (["--label", "comm"], "expected REF=NAME"),
        (["--label", "com=Ours"], "--label com: no results of this objective; did you mean 'comm'?"),
        (["--label", "comm=A", "--label", "untrained=A"], "two objectives have the name 'A'"),
        (["--label", "comm=untrained"], "two objectives have the name 'untrained'"),
        (["--width", "0"], "must be from 2.0 to 20.0 inches"),
        (["--font", "serf"], "did you mean 'serif'"),
        (["--name", "a/b"], "expected a name without a folder"),
        (["--out", "/proc/figures"], "choose another --out"),
    ],
)
def test_invalid_requests_are_refused_in_one_line(pidlab, folder, arguments, words):
    code, out, err = pidlab("plot", folder, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert len(err.splitlines()) == 1


def test_a_folder_without_results(pidlab, tmp_path):
    for command in ("plot", "table"):
        code, _, err = pidlab(command, tmp_path)
        assert code == 2
        assert "no results, provenance.json is missing" in err


def test_help_lists_kinds_and_venues(pidlab):
    code, out, _ = pidlab("plot", "--help")
    words = " ".join(out.replace("│", " ").split())
    assert code == 0
    for name in (*VENUES, "capture", "profile", "leakage", "tradeoff", "learning", "decomposition"):
        assert name in words
        assert name in (*VENUES, *KINDS)
    assert set(FORMATS) == set(SAVED)


def test_tables(pidlab, folder, tmp_path):
    code, out, _ = pidlab("table", folder, "--at", "unique1=1", "--format", "csv")
    assert code == 0
    frame = pd.read_csv(io.StringIO(out))
    assert frame.loc[frame["objective"] == "comm", "synergy [bits]"].item() == pytest.approx(0.6)
    assert "**0.60 ± 0.25**" in pidlab("table", folder, "--objective", "comm")[1]
    assert "**" not in pidlab("table", folder)[1]  # the untrained network captures as much
    assert pidlab("table", folder, "--format", "latex", "--out", tmp_path / "t.tex")[0] == 0
    assert r"\toprule" in (tmp_path / "t.tex").read_text()
    assert "did you mean" in pidlab("table", folder, "--format", "latx")[2]


# One process, in the order in which more and more modules are allowed; processes take seconds to start.
IMPORTS = """
import contextlib, importlib, io, sys
from pidlab.cli import main

folder, *modules = sys.argv[1:]

def run(*arguments):
    sys.argv = ["pidlab", *arguments]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main()

def refuse(*names):
    assert not set(names) & set(sys.modules), set(names) & set(sys.modules)

run("table", folder)
refuse("torch", "matplotlib", "scipy.stats", "seaborn")
for module in modules:
    importlib.import_module(module)
refuse("torch", "scipy.stats", "seaborn")  # seaborn imports scipy.stats, but only when a figure is drawn
run("plot", folder, "--format", "pdf")
refuse("torch")
"""


def test_plot_imports_no_torch_and_table_no_matplotlib(folder):
    modules = ["pidlab.results.tables"]
    modules += [f"pidlab.plots.{path.stem}" for path in Path(plots.__path__[0]).glob("*.py")]
    subprocess.run([sys.executable, "-c", IMPORTS, str(folder), *modules], check=True)
    assert (folder / "capture.pdf").exists()


def test_axis_groups_are_those_of_the_sweep(pidlab, tmp_path):
    rows = pd.concat([table(noise=0.1), table(noise=0.5)])
    folder = write(tmp_path / "a", rows, [["noise"], *DIRECTIONS])
    assert pidlab("plot", folder)[0] == 0
    assert pd.read_csv(folder / "capture.csv").columns[:2].tolist() == ["noise", "unique1"]


HOSTILE = ["mine.py:Loss(unit='$')", "mine.py:Loss(unit='$x^{')", "[red]a_b\\c & #%[/]"]


@pytest.mark.parametrize("kind", ["capture", "profile", "leakage", "tradeoff", "learning"])
def test_markup_in_names_is_drawn_as_text(pidlab, tmp_path, kind):
    rows = pd.concat([table(points=(0.0, 1.0)), tracked(points=(0.0, 1.0))])
    names = dict(zip(("untrained", "cross", "comm"), HOSTILE, strict=True))
    rows = rows.assign(objective=rows["objective"].replace(names), views="$a$ {b")
    rows = pd.concat([rows, rows.assign(views="c$")])
    folder = write(tmp_path / "a", rows, [*DIRECTIONS, ["views"]])
    assert pidlab("plot", folder, "--kind", kind, "--format", "svg", "--format", "pdf")[0] == 0
    text = (folder / f"{kind}.svg").read_text()
    assert "Loss (unit='$')" in text or kind == "profile"


def test_targets_with_markup_are_drawn_as_text(pidlab, tmp_path):
    rows = table(points=(0.0, 1.0), readouts=("z1", "z12"))
    rows = rows[rows["term"] == "redundant"].assign(term="a$_b^{c\\d")
    assert pidlab("plot", write(tmp_path / "a", rows))[0] == 0


def test_outputs_are_written_independently(pidlab, folder, monkeypatch):
    def fail(figure, path):
        if path.suffix == ".svg":
            raise OSError(28, "No space left on device")
        save(figure, path)

    monkeypatch.setattr("pidlab.plots.style.save", fail)
    code, out, err = pidlab("plot", folder, "--format", "svg", "--format", "pdf")
    assert code == 1
    assert err == f"error: {folder}/capture.svg: not written (No space left on device)\n"
    assert out.split() == [str(folder / f"capture.{suffix}") for suffix in ("pdf", "csv", "txt")]


def test_a_failed_write_keeps_the_old_file(pidlab, folder, monkeypatch):
    assert pidlab("table", folder, "--out", folder / "t.md")[0] == 0
    before = (folder / "t.md").read_text()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    code, _, err = pidlab("table", folder, "--objective", "comm", "--out", folder / "t.md")
    assert code == 2
    assert "No space left" in err
    assert (folder / "t.md").read_text() == before
    assert [path.name for path in folder.iterdir() if "partial" in path.name] == []


def test_names_order_width_and_font_are_options(pidlab, tmp_path):
    reference = "mine.py:Loss(weight=2)"
    rows = table().assign(objective=lambda t: t["objective"].replace("comm", reference))
    folder = write(tmp_path / "a", rows)
    options = ["--label", f"{reference}=Ours", "--order", reference]
    command = ["plot", folder, *options, "--width", "7", "--font", "sans", "--format", "svg"]
    assert pidlab(*command)[0] == 0
    text = (folder / "capture.svg").read_text()
    assert 'width="504pt"' in text
    assert "DejaVu Sans" in text
    assert "STIX" not in text
    assert text.index(">Ours<") < text.index(">untrained (floor)<")
    assert pd.read_csv(folder / "capture.csv")["objective"].iloc[0] == reference
    lines = pidlab("table", folder, *options, "--at", "unique=1")[1].splitlines()
    assert lines[3].split("|")[1].strip() == "Ours"
    (folder / "captured.svg").write_text("drawn with the names of the references")
    assert pidlab("report", folder, *options)[0] == 0
    figure = (folder / "report.html").read_text().partition("<svg")[2].partition("</svg>")[0]
    assert figure.index(">Ours<") < figure.index(">untrained (floor)<")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--label", "nosuch=X"], "--label nosuch: no results of this objective; known: "),
        (["--label", "Margn=X"], "--label Margn: no results of this objective; did you mean 'Margin'?"),
        (
            ["--label", "Twice=X"],
            "--label Twice: 2 objectives have this name; write a.py:Twice or ",
        ),
        (["--order", "Twice"], "Twice: 2 objectives have this name; write a.py:Twice or b.py:Twice"),
        (["--label", "Margin=Mine", "--order", "Margin"], ""),
    ],
)
def test_an_objective_is_found_by_the_name_that_tables_show(pidlab, tmp_path, arguments, words):
    references = ["my_loss.py:Margin", "a.py:Twice", "b.py:Twice"]
    rows = pd.concat([table(), *(table(objectives=[one]) for one in references)])
    folder = write(tmp_path / "a", rows)
    (folder / "captured.svg").write_text("drawn with the names of the references")
    shown = {"plot": "capture.svg", "report": "report.html"}
    for command in ("plot", "table", "report"):
        more = ["--format", "svg"] if command == "plot" else []
        code, out, err = pidlab(command, folder, *arguments, *more)
        if words:
            assert code == 2
            assert words in err
            assert len(err.splitlines()) == 1
            continue
        assert code == 0
        text = (folder / shown[command]).read_text() if command in shown else out
        assert 0 < text.index("Mine") < text.index("untrained (floor)")
