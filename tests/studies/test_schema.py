"""Tests that study files are validated, and that errors state file, line and key."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pidlab import InvalidRequest
from pidlab.defaults import Training
from pidlab.studies.folders import study_files
from pidlab.studies.schema import Study, line_of, read_study
from pidlab.studies.settings import PROFILES, Settings
from pidlab.sweeps import Axis, Request
from pidlab.sweeps.request import build_request
from pidlab.training import cohort
from pidlab.training.cohort import Trial

SHIPPED = sorted(Path("studies").glob("*.toml"))
GOOD = '''\
title = "A question"

[profiles.quick]
points = 3

[[sweep]]
axes = { unique = "0..1", synergy = 1 }
objectives = ["untrained", "comm( terms = 'joint' )"]

[[figure]]
name = "captured"

[[claim]]
claim = """captured(objective="comm(terms='joint')", term="unique1") <= floor(term="unique1") at unique1=1"""
source = "test"
'''


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "mine.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def good(*changes):
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_every_shipped_study_is_valid(path, monkeypatch):
    # Objectives are built for every profile. Their losses are not computed: that takes a minute for large
    # images, and a loss that raises an exception does not make a study invalid.
    monkeypatch.setattr(cohort, "_measure", lambda *_: Trial(0, 0))
    study = read_study(path)
    if any("planted('digits')" in getattr(experiment, "generator", "") for experiment in study.experiments):
        pytest.importorskip("sklearn")
    assert study.claim
    assert study.figure
    assert study.about
    assert study_files()[path.stem]
    for profile in PROFILES:
        for experiment in study.experiments:
            experiment.prepare(experiment.specification(study.profiles.of(profile)), {}, "cpu")


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("title", "titel", 1, "unknown key 'titel': did you mean 'title'"),
        ('title = "A question"', "", 1, "title: is missing"),
        ("points = 3", "point = 3", 4, "unknown key 'point': did you mean 'points'"),
        ("points = 3", "points = '3'", 4, "should be a valid integer, found '3'"),
        ("points = 3", "points = 1", 4, "greater than or equal to 2, found 1"),
        ("points = 3", "points = true", 4, "found True"),
        ("[profiles.quick]", "[profiles.quik]", 3, "unknown key 'quik': did you mean 'quick'"),
        ("axes = {", "axis = {", 7, "unknown key 'axis': did you mean 'axes'"),
        ('unique = "0..1"', 'unique = "0:1:3"', 6, "write a range as 0..1:3"),
        ('unique = "0..1"', "unique = []", 7, "expected a number, a range"),
        ('unique = "0..1"', "unique = true", 7, "expected a number, a range"),
        ('unique = "0..1"', "unique = [0, 0]", 6, "twice"),
        ("synergy = 1", "unique1 = 1, unique2 = 1", 6, "give at most two of them"),
        ('objectives = ["', 'objectives = "', 8, ""),
        ('"untrained", ', "1, ", 8, "should be a valid string, found 1"),
        ('"untrained", ', "", 14, "objective = 'untrained' is not computed, only comm(terms='joint')"),
        ("[[figure]]", "[[figures]]", 10, "unknown key 'figures': did you mean 'figure'"),
        ('name = "captured"', 'name = "../captured"', 11, "should match pattern"),
        (
            'name = "captured"',
            'name = "a"\nsweeps = ["mian"]',
            12,
            "no experiment 'mian': did you mean 'main'",
        ),
        ('source = "test"', "", 13, "source: is missing"),
        ('source = "test"', 'source = "test"\nsweep = "mian"', 16, "no experiment 'mian'"),
        ("<= floor", "=< floor", 14, "column 59: cannot parse '=< floor"),
        ("terms='joint'", "terms='all'", 14, "objective = \"comm(terms='all')\" is not computed"),
        ("at unique1=1", "at unique1=0.3", 14, "unique1 = 0.3 is not computed, only 0.0, 0.5, 1.0"),
        ("at unique1=1", "at uniqe1=1", 14, "no column 'uniqe1' in the results: did you mean 'unique1'"),
        ("at unique1=1", "at noise=1", 14, "no column 'noise'"),
        (
            "captured(",
            'value(column="capturd", ',
            14,
            "column 1: value has no numeric column='capturd': did you mean 'captured'",
        ),
        ("captured(", 'value(column="readout", ', 14, "value has no numeric column='readout'"),
        ("captured(", "value(", 14, "value has no numeric column='': known: "),
        ('claim = """', 'claim = "1 <= 2"\n# """', 14, "claim.claim: reads no results"),
        ('claim = """', 'claim = """captred() + ', 14, "did you mean 'captured'"),
    ],
)
def test_errors_state_the_line_and_the_key(written, old, new, line, says):
    path = written(good((old, new)))
    if says == "":
        with pytest.raises(InvalidRequest, match="not valid TOML"):
            read_study(path)
        return
    with pytest.raises(InvalidRequest) as refused:
        read_study(path)
    said = str(refused.value)
    assert "\n" not in said
    assert said.startswith(f"{path}, line {line}: "), said
    assert says in said


def test_a_valid_study_is_read(written):
    study = read_study(written(good()))
    assert study.specification("quick")["main"]["objectives"] == ["untrained", "comm(terms='joint')"]
    two = good(("[[figure]]", "[[sweep]]\n[[figure]]"))
    with pytest.raises(InvalidRequest, match="name 'main' is taken"):
        read_study(written(two))
    two = good(("[[figure]]", "[[sweep]]\nname = 'other'\n[[figure]]"))
    with pytest.raises(InvalidRequest, match=r"no sweep is named; known: main, other; add sweep = 'main'"):
        read_study(written(two))
    with pytest.raises(InvalidRequest, match="no experiment; add a"):
        read_study(written("title = 'Nothing'"))
    claim = (
        "[[claim]]\nname = 'floor'\nclaim = 'captured(objective=untrained, term=unique1) <= 1 at unique1=0'\n"
    )
    one = good().replace("[[claim]]\n", claim.partition("claim =")[0], 1)
    read_study(written(one))
    with pytest.raises(InvalidRequest, match="name 'floor' is taken; give each claim another name"):
        read_study(written(one + claim + "source = 'none'\n"))
    with pytest.raises(InvalidRequest, match=r"cannot be read \(No such file"):
        read_study(Path("nowhere.toml"))


def test_the_most_specific_setting_is_used(written):
    study = read_study(
        written(
            "title = ''\n[profiles.quick]\nsteps = 7\nseeds = 2\n[[sweep]]\nsteps = 9\n"
            "axes = {unique = '0..1', synergy = 1}\n[sweep.profiles.quick]\nseeds = 3\naxes = {synergy = 0}\n"
            "[[sweep]]\nname = 'plain'\n"
        )
    )
    specification = study.specification("quick")
    assert specification["main"]["settings"] == {"points": 5, "seeds": 3, "steps": 9, "probes": "quick"}
    assert specification["main"]["axes"] == [[["unique1", "unique2"], "0..1"], [["synergy"], "0"]]
    assert specification["plain"]["settings"] == {"points": 5, "seeds": 2, "steps": 7, "probes": "quick"}
    specification = study.specification("laptop")
    assert specification["main"]["axes"][1] == [["synergy"], "1"]
    assert specification["main"]["settings"] == {"points": 11, "seeds": 10, "probes": "standard", "steps": 9}


def test_a_sweep_and_the_command_build_the_same_request(written):
    path = written(
        "title = ''\n[[sweep]]\naxes = {unique = '0..1', unique2 = 1, noise = [0.1, 0.3], views = ['task']}\n"
        "objectives = ['cross']\ndim = 16\n"
    )
    experiment = read_study(path).sweep[0]
    specification = experiment.specification(read_study(path).profiles.of("quick"))
    prepared = experiment.prepare(specification, {}, "cpu")
    axes = [(("unique1",), "0..1"), (("unique2",), "1"), (("noise",), "0.1,0.3"), (("views",), "task")]
    command = build_request(axes, objectives=["cross"], quick=True, dim=16)
    assert prepared.run.args[0] == command
    assert command == Request(
        axes=(
            Axis(("unique1",), (0.0, 0.25, 0.5, 0.75, 1.0)),
            Axis(("unique2",), (1.0,)),
            Axis(("noise",), (0.1, 0.3)),
            Axis(("views",), ("task",)),
        ),
        objectives=("cross",),
        seeds=1,
        training=Training(steps=300, dim=16),
        probes="quick",
    )


def test_every_training_setting_is_a_key():
    assert set(Training.__dataclass_fields__) <= set(Settings.model_fields)


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("profiles", "quick", "points"), 4),
        (("sweep", 0), 6),
        (("sweep", 0, "axes", "unique"), 7),
        (("sweep", 0, "objectives", 1), 8),
        (("sweep", 0, "dim"), 6),
        (("claim", 0, "claim"), 14),
        (("claim", 1), 16),
        (("claim", 1, "source"), 18),
        (("claim", 2), 13),
    ],
)
def test_line_of_a_key_or_the_table_that_contains_it(path, line):
    text = GOOD + '[[claim]]\nclaim = "1 <= 2"\nsource = "test"\n'
    assert line_of(text, path) == line


def test_line_numbers_skip_texts_of_several_lines():
    text = 'a = """\nb = 1\n[c]\n"""\nb = 2\n[c]\nd = { e = 1 }\n'
    assert [line_of(text, path) for path in (("a",), ("b",), ("c",), ("c", "d", "e"))] == [1, 5, 6, 7]


def test_listing_studies_does_not_import_torch():
    code = (
        "import sys; sys.argv = ['pidlab', 'study', 'list']\n"
        "from pidlab.cli.commands import app\n"
        "app(standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_json_schema_has_every_key():
    schema = Study.model_json_schema()
    assert set(schema["properties"]) == set(Study.model_fields)
    assert schema["additionalProperties"] is False
    axis = schema["$defs"]["Sweep"]["properties"]["axes"]["additionalProperties"]
    assert {kind["type"] for kind in axis["anyOf"]} == {"number", "string", "array"}
    json.dumps(schema)
