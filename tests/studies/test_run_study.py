"""Tests of small studies from end to end: same bytes, resuming, checking, outdated results."""

import errno
import json
import shutil
import sys

import pandas as pd
import pytest

from pidlab import InvalidRequest, defaults
from pidlab.cli import main
from pidlab.defaults import RESULT_VERSION
from pidlab.results.folder import read_results
from pidlab.studies import folders, render
from pidlab.studies.folders import rows_to_keep, write_table

pytestmark = pytest.mark.usefixtures("few_rows")

TINY = """\
title = "Does anything happen in two steps?"
[profiles.quick]
seeds = 2
points = 2
steps = 2
[[sweep]]
axes = { unique = "0..1" }
batch = 16
hidden = 8
objectives = ["untrained", "cross"]
[[figure]]
name = "captured"
terms = ["unique1"]
[[claim]]
claim = 'captured(objective=cross, term=unique1, probe=linear) <= truth(term=unique1) everywhere'
source = "arithmetic"
[[claim]]
claim = 'captured(objective=cross, term=synergy) >= 0.9 everywhere'
source = "test"
finding = "not after two steps"
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command beside the study `tiny` and returns code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "tiny.toml").write_text(TINY)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["pidlab", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return exit_.value.code, out, err

    return run


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def change(folder, old, new):
    path = folder / "studies" / "tiny.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_floor_of_an_objective_is_that_of_its_own_architecture(command, tmp_path):
    change(
        tmp_path,
        TINY[TINY.index('objectives = ["untrained"') :],
        """objectives = ["cross", "floor('cross')"]
baselines = true
[[claim]]
claim = '''floor(objective="cross", term="unique1", probe="linear") ==
  captured(objective="floor('cross')", term="unique1", probe="linear") within 1e-12 everywhere'''
source = "definition"
[[claim]]
claim = '''floor(objective="cross", term="unique1") >=
  floor(objective="cross", term="unique1", probe="linear") everywhere'''
source = "definition: the best probe"
""",
    )
    code, out, err = command("study", "run", "tiny")
    assert (code, out.count("supported: ")) == (0, 2), out + err
    change(tmp_path, "baselines = true\n", "")
    code, _, err = command("study", "check", "tiny")
    assert code == 2
    assert "the floor of an objective is not measured; add baselines = true to the sweep" in err


def test_a_study_runs_resumes_and_is_checked(command, tmp_path, monkeypatch):
    def listed():
        return next(row for row in json.loads(command("study", "list", "--json")[1]) if row["name"] == "tiny")

    assert (listed()["status"], listed()["claims"]) == ("not run", 2)
    code, _, err = command("study", "check", "tiny")
    assert (code, "pidlab study run tiny --profile quick" in err) == (2, True)

    code, out, _ = command("study", "run", "tiny", "--json")
    assert code == 0
    document = json.loads(out)
    assert (document["runs"], document["failed"]) == (8, {})
    assert [claim["met"] for claim in document["claims"]] == [True, False]
    first = contents(tmp_path / "figures")
    names = {str(path) for path in first}
    drawn = {f"tiny/captured.{suffix}" for suffix in ("pdf", "svg", "png", "csv")}
    assert drawn | {"tiny/claims.json", "tiny/claims.md", "tiny/main/results.csv"} <= names
    assert not any(word in first[path] for path in first for word in (b"seconds", b'"git"', b"/tmp/"))
    table = read_results(tmp_path / "figures" / "tiny" / "main").table
    assert set(table.loc[~table["headline"], "probe"]) == {"linear"}  # the claim names it

    # Resuming and running again elsewhere give the same bytes.
    code, _, err = command("study", "run", "tiny")
    assert "8 of 8 runs are done already" in err
    assert contents(tmp_path / "figures") == first
    command("study", "run", "tiny", "--out", "other", "--figures", "drawn")
    assert contents(tmp_path / "drawn") == first

    code, out, _ = command("study", "check", "tiny")
    assert code == 1, err
    assert "1 supported, 0 undecided, 1 refuted" in out
    assert "not after two steps" in out
    assert "2 seeds, 95 % t-interval of the difference" in out
    assert (listed()["status"], listed()["met"], len(listed()["unmet"])) == ("run at quick", 1, 1)

    # A changed claim is judged on the stored results; exit code 0 if none is refuted.
    change(tmp_path, ">= 0.9", "<= 0.9")
    code, out, _ = command("study", "check", "tiny", "--json")
    assert (code, json.loads(out)["met"]) == (0, 2)

    # More points train only the missing runs; figures that the file no longer has are removed.
    change(tmp_path, "points = 2", "points = 3")
    code, _, err = command("study", "check", "tiny")
    assert code == 2
    assert "main.settings.points was 2, is 3; rerun: pidlab study run tiny --profile quick" in err
    assert listed()["status"].startswith("outdated: results of another studies/tiny.toml")
    change(tmp_path, 'name = "captured"', 'name = "kept"')
    _, _, err = command("study", "run", "tiny")
    assert "8 of 12 runs are done already" in err
    assert {path.name for path in (tmp_path / "figures/tiny").glob("*.pdf")} == {"kept.pdf"}

    monkeypatch.setattr(defaults, "RESULT_VERSION", 99)
    code, _, err = command("study", "check", "tiny")
    assert code == 2
    assert f"results of version {RESULT_VERSION}, this pidlab computes version 99" in err
    assert "rerun: pidlab study run tiny --profile quick" in err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"cross"]', '"cross", "crss"]', "did you mean 'cross'"),
        ('"cross"]', '"cross", "nowhere.loss:Loss"]', "nowhere"),
        ('"cross"]', '"cross(temperature=0)"]', "objective = 'cross' is not computed"),
        ("term=unique1, probe", "term=unique3, probe", "term = 'unique3' is not computed"),
        ('"0..1" }', '"0..1", nois = 1 }', "did you mean 'noise'"),
        ("batch = 16", "batch = 16\nviews = 'magic'", "magic"),
        ("batch = 16", "batch = 16\ngenerator = 'atom'", "did you mean 'atoms'"),
        ('name = "captured"', 'name = "captured"\nkind = "captur"', "did you mean 'capture'"),
        ('name = "captured"', 'name = "captured"\nreadot = "z1"', "did you mean 'readout'"),
        ("[[figure]]", "[tune]\ngrid.cross = {t = [1]}\n[[figure]]", "1 combinations and the budget is 4"),
        (
            "[[figure]]",
            "[tune]\nbudget = 2\ngrid.cross = {rate = [1, 2]}\n[[figure]]",
            "cross has no argument",
        ),
        (
            "[[figure]]",
            "[tune]\nbudget = 2\ngrid.cross = {t = [1, 2]}\nprofiles.quick.budget = 3\n[[figure]]",
            "3 trials of 2",
        ),
        ("[[figure]]", "[tune]\nbudget = 2\ngrid.coss = {t = [1, 2]}\n[[figure]]", "did you mean 'cross'"),
        (
            "[[figure]]",
            "[tune]\nbudget = 2\nfirst_seed = 1\ngrid.cross = {temperature = [0.1, 0.2]}\n[[figure]]",
            "reports seed 1, too (profile quick)",
        ),
        (
            "[[figure]]",
            "[tune]\nbudget = 2\nprobe = 'best'\ngrid.cross = {temperature = [0.1, 0.2]}\n[[figure]]",
            "'linear' or 'mlp'",
        ),
        (
            '"cross"]',
            "\"cross\"]\ngenerator = 'atoms(world=3)'\n"
            "[tune]\nbudget = 2\ngenerator = 'atoms(world=3)'\ngrid.cross = {temperature = [0.1, 0.2]}",
            "reports world 3, too",
        ),
        (
            '"cross"]',
            '"cross", "simclr"]\n[tune]\nbudget = 2\ngrid.cross = {temperature = [0.1, 0.2]}',
            "tune.grid: no values for simclr",
        ),
    ],
)
def test_invalid_studies_are_refused_before_training(command, tmp_path, old, new, says):
    change(tmp_path, old, new)
    code, out, err = command("study", "run", "tiny")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not (tmp_path / "figures").exists()


def test_an_empty_figure_is_named_and_the_others_are_drawn(command, tmp_path):
    change(tmp_path, 'terms = ["unique1"]', 'terms = ["unique9"]')
    code, _, err = command("study", "run", "tiny")
    assert (code, "figure 'captured'" in err, "unique9" in err) == (2, True, True)
    assert command("study", "check", "tiny")[0] == 1


def test_a_claim_about_failed_runs_is_not_met(command, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Mine(torch.nn.Module):\n"
        "    def __init__(self, encoders):\n"
        "        super().__init__()\n"
        "        self.encoders = encoders\n"
        "    def forward(self, batch):\n"
        "        return self.encoders[0](batch.x1).sum() * float('nan')\n"
    )
    change(tmp_path, '"untrained", "cross"', '"untrained", "mine.py:Mine"')
    change(tmp_path, "objective=cross, term=synergy", 'objective="mine.py:Mine", term=synergy')
    change(tmp_path, "objective=cross", "objective=untrained")
    code, out, err = command("study", "run", "tiny")
    assert code == 1, err
    assert "failed: main, mine.py:Mine: loss not finite at step 0" in err
    assert "runs of mine.py:Mine failed: loss not finite" in out
    assert command("study", "check", "tiny")[0] == 1


def test_tuned_objectives_keep_the_names_of_the_study(command, tmp_path):
    change(
        tmp_path,
        "[[figure]]",
        "[tune]\nbudget = 3\nsteps = 2\nbatch = 16\nhidden = 8\n"
        "grid.simclr-cross = { temperature = [0.1, 0.5, 1.0] }\nprofiles.quick.budget = 2\n[[figure]]",
    )
    change(tmp_path, '"untrained", "cross"]', '"untrained", "simclr-cross"]')
    change(tmp_path, "objective=cross", 'objective="simclr-cross"')
    code, _, err = command("study", "run", "tiny")
    assert code == 0, err
    tuned = json.loads((tmp_path / "figures/tiny/tuned.json").read_text())["simclr-cross"]
    assert len(tuned["bits"]) == 2
    assert tuned["bits"][tuned["chosen"]] == max(tuned["bits"].values())
    trials = read_results(tmp_path / "runs/studies/tiny/quick/tune").table
    assert set(trials["seed"]) == {1000}
    chosen = trials["objective"] == tuned["chosen"]
    best = trials[trials["headline"] & (trials["readout"] == "z12") & chosen]
    assert tuned["bits"][tuned["chosen"]] == pytest.approx(best["captured"].sum())
    reported = read_results(tmp_path / "figures/tiny/main")
    assert reported.objectives == ["untrained", "simclr-cross"]
    assert reported.record["request"]["objectives"] == ["untrained", tuned["chosen"]]
    assert set(reported.table["seed"]) == {0, 1}


@pytest.mark.parametrize("probe", ["linear", "mlp"])
def test_trials_are_judged_by_the_term_and_the_probe_of_the_claim(command, tmp_path, probe):
    change(
        tmp_path,
        "[[figure]]",
        f"[tune]\nbudget = 2\nsteps = 2\nbatch = 16\nhidden = 8\nterms = ['synergy']\nprobe = '{probe}'\n"
        "grid.cross = { temperature = [0.1, 1.0] }\n[[figure]]",
    )
    assert command("study", "run", "tiny")[0] == 0
    trials = read_results(tmp_path / "runs/studies/tiny/quick/tune").table
    rows = trials[(trials["probe"] == probe) & (trials["term"] == "synergy") & (trials["readout"] == "z12")]
    tuned = json.loads((tmp_path / "figures/tiny/tuned.json").read_text())["cross"]
    assert tuned["bits"] == pytest.approx(dict(zip(rows["objective"], rows["captured"], strict=True)))
    record = json.loads((tmp_path / "figures/tiny/provenance.json").read_text())
    assert (record["asked"]["tune"]["terms"], record["asked"]["tune"]["probe"]) == (["synergy"], probe)


def test_large_tables_are_compressed_and_read_back_unchanged(tmp_path, monkeypatch):
    table = pd.DataFrame({"run": ["0e1"] * 3, "captured": [0.1, 1 / 3, 2.0], "headline": True, "seed": 0})
    (tmp_path / "provenance.json").write_text(
        json.dumps({"result_version": RESULT_VERSION, "axis_groups": [], "failed": {}})
    )
    write_table(tmp_path, table)
    plain = read_results(tmp_path).table
    monkeypatch.setattr(folders, "MAX_PLAIN_BYTES", 10)
    write_table(tmp_path, table)
    assert [path.name for path in tmp_path.glob("results*")] == ["results.csv.gz"]
    pd.testing.assert_frame_equal(read_results(tmp_path).table, plain)
    first = (tmp_path / "results.csv.gz").read_bytes()
    shutil.copy(tmp_path / "results.csv.gz", tmp_path / "before")
    write_table(tmp_path, table)
    assert (tmp_path / "results.csv.gz").read_bytes() == first


def test_headlines_and_other_quantities_are_kept():
    table = pd.DataFrame(
        {
            "quantity": ["mi", "mi", "mi", "broja"],
            "probe": ["a", "b", "c", "d"],
            "headline": [True, False, False, False],
        }
    )
    assert rows_to_keep(table, []).index.tolist() == [0, 3]
    assert rows_to_keep(table, ["c"]).index.tolist() == [0, 2, 3]


def test_an_unknown_study_or_profile_is_refused(command):
    code, _, err = command("study", "run", "tini")
    assert (code, "did you mean 'tiny'" in err) == (2, True)
    assert command("study", "run", "there.toml")[0] == 2
    code, _, err = command("study", "run", "tiny", "--profile", "fast")
    assert (code, "choose one of quick, laptop, paper" in err) == (2, True)


def test_an_invalid_study_does_not_hide_the_others(command, tmp_path):
    (tmp_path / "studies" / "broken.toml").write_text("title = ")
    code, out, _ = command("study", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["broken"]["status"].startswith("invalid: ")
    assert rows["tiny"]["status"] == "not run"
    # Results of this study come with pidlab.
    assert (rows["unique"]["status"], rows["unique"]["profile"]) == ("shipped, laptop", "laptop")
    assert command("study", "check", "suppression")[0] in (0, 1)


@pytest.mark.slow
def test_known_answers_is_an_experiment(command, tmp_path):
    (tmp_path / "studies" / "exam.toml").write_text(
        "title = 'Are the probes right?'\n[[known_answers]]\nreplicates = 20\n"
        "[[figure]]\nname = 'exam'\nkind = 'known-answers'\n"
        "[[claim]]\nsource = 'test'\n"
        "claim = 'captured(case=all, term=synergy) <= truth(case=all, term=synergy) + 0.05 at readout=z12'\n"
    )
    assert command("study", "run", "exam")[0] == 0
    first = contents(tmp_path / "figures")
    assert command("study", "run", "exam")[0] == 0
    assert contents(tmp_path / "figures") == first
    with pytest.raises(InvalidRequest, match="no results"):
        read_results(tmp_path / "figures" / "exam")


def test_damaged_records_are_replaced_by_a_rerun(command, tmp_path):
    assert command("study", "run", "tiny")[0] == 0
    first = contents(tmp_path / "figures")
    record = tmp_path / "figures/tiny/provenance.json"
    text = record.read_text()
    for damaged in (
        text[: len(text) // 2],
        "[]",
        '{"study": "tiny"}',
        text.replace('"captured"', '"../../x"'),
    ):
        record.write_text(damaged)
        code, _, err = command("study", "check", "tiny")
        assert (code, "no results" in err) == (2, True)
        assert command("study", "list", "--json")[0] == 0
        assert command("study", "run", "tiny")[0] == 0
        assert contents(tmp_path / "figures") == first


def test_old_and_new_results_are_not_mixed(command, tmp_path, monkeypatch):
    def status():
        return next(row for row in json.loads(command("study", "list", "--json")[1]) if row["name"] == "tiny")

    assert command("study", "run", "tiny")[0] == 0
    claims = tmp_path / "figures/tiny/claims.json"
    claims.write_text(claims.read_text().replace("supported", "refuted"))
    assert status()["status"] == "outdated: claims.json does not match its checksum in provenance.json"
    assert command("study", "check", "tiny", "--write")[0] == 1
    assert status()["verdicts"] == {"supported": 1, "refuted": 1}

    # The table has the third point, but the record is that of two points.
    change(tmp_path, "points = 2", "points = 3")
    with monkeypatch.context() as patch:
        patch.setattr("pidlab.studies.run_study.write_claims", interrupt)
        assert command("study", "run", "tiny")[0] == 130
    change(tmp_path, "points = 3", "points = 2")
    assert status()["status"].startswith("outdated: main/provenance.json does not match its checksum")
    code, _, err = command("study", "check", "tiny")
    assert (code, "main/provenance.json does not match its checksum" in err) == (2, True)
    assert command("study", "run", "tiny")[0] == 0
    assert status()["status"] == "run at quick"


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_file_of_a_figure_that_cannot_be_written_is_named_and_the_others_are_written(
    command, tmp_path, monkeypatch
):
    def full(figure, path):
        if path.suffix == ".pdf":
            raise OSError(errno.ENOSPC, "No space left on device")
        save(figure, path)

    save = render.save
    monkeypatch.setattr(render, "save", full)
    code, _, err = command("study", "run", "tiny")
    assert code == 2
    assert "figures/tiny: not written: captured.pdf: No space left on device; all results" in err
    names = {path.name for path in (tmp_path / "figures/tiny").iterdir()}
    assert names == {"captured.csv", "captured.png", "captured.svg", "claims.json", "claims.md", "main"} | {
        "provenance.json",
        "report.html",
    }
    assert command("study", "check", "tiny")[0] == 1


def test_a_file_name_that_starts_with_a_dot_is_refused(command, tmp_path):
    (tmp_path / "studies/tiny.toml").rename(tmp_path / "...toml")
    before = contents(tmp_path)
    code, _, err = command("study", "run", "...toml")
    assert (code, "must not start with a dot" in err) == (2, True)
    assert contents(tmp_path) == before


def test_studies_outside_the_folder_studies_are_listed(command, tmp_path):
    def listed():
        return {row["name"]: row["status"] for row in json.loads(command("study", "list", "--json")[1])}

    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'mine'\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "studies/tiny.toml").rename(tmp_path / "other/elsewhere.toml")
    (tmp_path / "here.toml").write_text(TINY)
    assert listed()["here"] == "not run"
    assert not {"elsewhere", "pyproject"} & set(listed())
    assert command("study", "run", "other/elsewhere.toml")[0] == 0
    assert listed()["elsewhere"] == "run at quick"
