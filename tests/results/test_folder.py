import json

import pandas as pd
import pytest
from swept import DIRECTIONS, table, write

from pidlab import InvalidRequest
from pidlab.defaults import RESULT_VERSION
from pidlab.plots.kinds import draw
from pidlab.results.folder import (
    check_files,
    merge_axis_groups,
    merge_results,
    read_results,
    read_sweep,
    seal,
)
from pidlab.studies.claims import parse_claim
from pidlab.studies.evaluate import judge


def test_the_folder_of_a_sweep_is_read(tmp_path):
    found = read_results(write(tmp_path / "a", table()))
    assert found.axis_groups == DIRECTIONS
    assert found.objectives == ["untrained", "supervised", "cross", "comm"]
    assert found.failures == {}
    assert "<table" in found._repr_html_()
    assert "36 runs" in found._repr_html_()


@pytest.mark.parametrize("written", [(True, False, None), (1.0, 0.0, None), (True, False, True), (1, 0, 1)])
def test_converged_is_read_from_booleans_and_from_numbers(tmp_path, written):
    rows = table().assign(converged=lambda t: t["seed"].map(dict(enumerate(written))))
    found = read_results(write(tmp_path / "a", rows)).table
    wanted = found["seed"].map(dict(enumerate(written))).astype("boolean")
    pd.testing.assert_series_equal(found["converged"], wanted, check_names=False)
    text = "value(column=converged, objective=comm, term=synergy) <= value(column=converged, term=redundant, "
    text += "objective=cross) everywhere"
    (judged, *_) = judge(parse_claim(text), text, found, DIRECTIONS)
    assert judged.left == pytest.approx(wanted[:15:5].astype(float).mean())
    assert judged.met


def test_a_run_of_two_sweeps_is_kept_once(tmp_path):
    one = read_results(write(tmp_path / "a", table(points=(0.0, 0.5))))
    two = read_results(write(tmp_path / "b", table(points=(0.5, 1.0))))
    both = merge_results([one, two])
    assert len(both) == len(table())
    assert merge_axis_groups([one, two]) == DIRECTIONS


def test_a_setting_that_differs_becomes_a_column(tmp_path):
    short = read_results(write(tmp_path / "a", table()))
    long = read_results(write(tmp_path / "b", table().assign(run=lambda t: "long" + t["run"]), steps=4000))
    both = merge_results([short, long])
    assert both.groupby("steps").size().to_dict() == {600: 180, 4000: 180}
    figure, shown = draw("capture", both, merge_axis_groups([short, long]))
    assert shown["seeds"].max() == 3
    assert [text.get_text() for text in figure.axes[7].texts] == ["steps = 4000"]


def test_a_column_of_one_sweep_is_filled_with_the_setting_of_the_other(tmp_path):
    noisy = read_results(write(tmp_path / "a", table(noise=0.5), [*DIRECTIONS, ["noise"]]))
    plain = read_results(write(tmp_path / "b", table()))
    both = merge_results([noisy, plain])
    assert sorted(both["noise"].unique()) == [0.3, 0.5]


@pytest.mark.parametrize(
    ("name", "plain", "set_to"), [("width", 32, 64), ("noise", 0.3, 0.5), ("steps", 600, 4)]
)
def test_an_axis_with_one_value_overrides_the_default(tmp_path, name, plain, set_to):
    usual = read_results(write(tmp_path / "a", table()))
    other = read_results(write(tmp_path / "b", table().assign(run=lambda t: "b" + t["run"])))
    other.record["request"]["axes"] = [{"names": [name], "values": [set_to]}]
    both = merge_results([usual, other])
    assert both.groupby(name).size().to_dict() == {plain: 180, set_to: 180}


def test_a_setting_of_only_one_sweep_stays_a_number(tmp_path):
    fresh = read_results(write(tmp_path / "a", table(), samples=None))
    finite = read_results(write(tmp_path / "b", table().assign(run=lambda t: "b" + t["run"]), samples=128))
    both = merge_results([fresh, finite])
    assert both["samples"].dtype.kind == "f"
    _, shown = draw("capture", both, DIRECTIONS, at={"samples": "128.0"})
    assert shown["seeds"].max() == 3


def test_tracked_rows_differ_by_step(tmp_path):
    rows = pd.concat(
        [table(), table().assign(quantity="tracked", step=0), table().assign(quantity="tracked", step=9)]
    )
    assert len(merge_results([read_results(write(tmp_path / "a", rows))])) == 3 * len(table())


def edit(directory, **changes):
    path = directory / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: (d / "results.csv").unlink(), "results.csv is missing"),
        (lambda d: (d / "provenance.json").unlink(), "provenance.json is missing"),
        (lambda d: (d / "provenance.json").write_text("{"), "JSONDecodeError"),
        (lambda d: (d / "provenance.json").write_text("{}"), "result_version"),
        (lambda d: (d / "results.csv").write_text(""), "EmptyDataError"),
        (lambda d: (d / "provenance.json").write_text("[]"), "does not hold an object"),
        (lambda d: (d / "provenance.json").write_text("[" * 100_000), "RecursionError"),
        (lambda d: edit(d, request=None), "request: Input should be a valid dict"),
        (lambda d: edit(d, failed=3), "failed: Input should be a valid dict"),
    ],
)
def test_damaged_folders_are_refused(tmp_path, spoil, words):
    directory = write(tmp_path / "a", table())
    spoil(directory)
    with pytest.raises(InvalidRequest, match=words):
        read_results(directory)


@pytest.fixture
def sealed(tmp_path):
    directory = write(tmp_path / "a", table())
    record = json.loads((directory / "provenance.json").read_text())
    edit(directory, **seal(record, directory, ["results.csv"]))
    return directory


def test_a_sealed_folder_is_read_also_with_other_line_ends(sealed):
    path = sealed / "results.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_results(sealed).table) == len(table())


@pytest.mark.parametrize("old", [b"0.5", b"comm", b"\n0.0"])
def test_an_edited_table_is_refused(sealed, old):
    path = sealed / "results.csv"
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, b"", 1))
    with pytest.raises(
        InvalidRequest, match=r"results.csv does not match its checksum .*; rerun the command"
    ):
        read_results(sealed)


def test_an_edited_record_is_refused(sealed):
    path = sealed / "provenance.json"
    path.write_text(path.read_text().replace("600", "700"))
    with pytest.raises(InvalidRequest, match=r"provenance.json does not match its checksum"):
        read_results(sealed)
    with pytest.raises(InvalidRequest, match=r"provenance.json does not match its checksum"):
        check_files(sealed)


@pytest.mark.parametrize("value", ["results.csv", ["results.csv"], None, 3])
def test_checksums_of_another_type_are_refused(sealed, value):
    edit(sealed, checksums=value)
    with pytest.raises(InvalidRequest, match="checksums: expected a dictionary"):
        read_results(sealed)


def test_a_table_that_its_record_does_not_name_is_refused(sealed):
    edit(sealed, checksums={**seal({}, sealed, []), "results.csv.gz": ""})
    with pytest.raises(InvalidRequest, match="cannot be used"):
        read_results(sealed)


def test_results_of_another_version_are_refused(tmp_path):
    with pytest.raises(
        InvalidRequest,
        match=f"version 1, but this pidlab needs version {RESULT_VERSION}; rerun 'pidlab sweep'",
    ):
        read_results(write(tmp_path / "a", table(), version=1))


def test_results_of_version_3_can_be_read_but_not_combined_with_newer_ones(tmp_path):
    old = read_results(write(tmp_path / "old", table(), version=3))
    pd.testing.assert_frame_equal(old.table, read_results(write(tmp_path / "new", table())).table)
    with pytest.raises(InvalidRequest, match=r"versions 3 .* and 4 .* cannot be combined"):
        merge_results([old, read_results(tmp_path / "new")])


def test_an_empty_list_of_results_is_refused():
    with pytest.raises(InvalidRequest, match="name a folder"):
        merge_results([])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows.drop(columns="probe"), "not the table of a sweep .no column probe"),
        (
            lambda rows: rows.assign(captured="much"),
            "the column captured of results.csv has values of",
        ),
        (
            lambda rows: rows.assign(headline="maybe"),
            "the column headline of results.csv has values of",
        ),
    ],
)
def test_edited_tables_are_refused(tmp_path, change, why):
    directory = write(tmp_path / "sweep", change(table()))
    with pytest.raises(InvalidRequest, match=why):
        read_sweep(directory)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("request", None),
        ("request", []),
        ("request", {"axes": None}),
        ("request", {"axes": [{"names": [], "values": [1]}]}),
        ("failed", None),
        ("failures", [{}]),
        ("axis_groups", 5),
        ("command", None),
        ("versions", None),
        ("result_version", "3"),
        ("rows", 1),
    ],
)
def test_edited_records_are_refused(tmp_path, key, value):
    directory = write(tmp_path / "sweep", table())
    file = directory / "provenance.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(InvalidRequest, match="the results cannot be used"):
        read_results(directory)


@pytest.mark.parametrize("text", ["[]", '"text"', "null", "3"])
def test_records_of_another_kind_are_refused(tmp_path, text):
    directory = write(tmp_path / "sweep", table())
    (directory / "provenance.json").write_text(text)
    with pytest.raises(InvalidRequest, match="the results cannot be used"):
        read_results(directory)
