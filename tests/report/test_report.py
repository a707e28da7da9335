"""Structure and text of the report page."""

import base64
import dataclasses
import json
import math
import re
import shutil
import zlib
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from made_results import drawn, results
from scipy import stats

from pidlab import InvalidRequest, defaults
from pidlab.decomposition import TERMS
from pidlab.defaults import RESULT_VERSION
from pidlab.plots.capture import capture_figure
from pidlab.plots.loss import loss_figure
from pidlab.plots.style import save
from pidlab.report import Claim, Picture, grids, write_report
from pidlab.report.grids import (
    Points,
    captured_grid,
    probes_grid,
    truth_grid,
    verdicts,
)
from pidlab.results.folder import Results
from pidlab.results.formatting import format_objective
from pidlab.sweeps.execute import CURVE_POINTS

EMPTY = {"input", "meta", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """Tags with their attributes, the text of every element, and whether all of them are closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.stack, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.stack[-1] if self.stack else "", data))

    def all(self, *tags):
        return [attributes for tag, attributes in self.tags if tag in tags]

    @property
    def data(self):
        """The contents of the tables."""
        ends = (d for tag, d in self.texts if tag == "script" and re.fullmatch(r"[A-Za-z0-9+/=]+", d))
        return [json.loads(zlib.decompress(base64.b64decode(d))) for d in ends]

    @property
    def text(self):
        return " ".join(" ".join(d for tag, d in self.texts if tag not in ("script", "style")).split())


def page(found, directory, **more):
    return Page(write_report(found, directory, **more).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def found(folder):
    return drawn(folder)


@pytest.fixture(scope="module")
def whole(found, folder):
    return page(
        {"one": found, "other": found},
        folder,
        claims=[
            Claim("captured() <= 0.2", "a paper", False, 0.5, 0.2, -0.3),
            Claim("x > 1", note="no such term"),
        ],
    )


def test_heads_controls_and_landmarks_have_names(whole):
    assert all(head.get("scope") in ("col", "row") for head in whole.all("th"))
    labelled = {label["for"] for label in whole.all("label")}
    controls = whole.all("select", "input")
    assert controls
    assert {control["id"] for control in controls} == labelled
    assert len(whole.all("table")) == len(whole.all("caption"))
    assert len(whole.all("main")) == len(whole.all("header")) == len(whole.all("nav")) == 1
    ids = {tag["id"] for _, tag in whole.tags if "id" in tag}
    for _, tag in whole.tags:
        assert set(tag.get("aria-labelledby", "").split()) <= ids
    assert whole.all("html") == [{"lang": "en"}]


def test_ids_are_unique_with_two_figures_inlined(whole):
    assert len(whole.all("svg")) == 2
    ids = [tag["id"] for _, tag in whole.tags if "id" in tag]
    assert len(ids) == len(set(ids))
    places = [a["href"] for a in whole.all("a") if a["href"].startswith("#") and "=" not in a["href"]]
    uses = [use["xlink:href"] for use in whole.all("use")]
    assert uses
    assert {place[1:] for place in places + uses} <= set(ids)
    text = [data for tag, data in whole.texts if tag == "text"]
    assert any("captured information [bits]" in line for line in text)


def test_nothing_is_loaded_from_elsewhere(whole, folder):
    loaded = [
        tag[name] for _, tag in whole.tags for name in ("src", "data", "poster", "action") if name in tag
    ]
    assert all(address.startswith("data:") for address in loaded)
    assert whole.all("link", "iframe", "object", "base") == []
    links = [a["href"] for a in whole.all("a") if not a["href"].startswith("#")]
    assert links
    assert all((folder / link).is_file() for link in links)
    (policy,) = [m["content"] for m in whole.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")


def test_links_lead_from_the_page_to_the_sweep(found, folder, tmp_path):
    (tmp_path / "deep").mkdir()
    shown = page(found, tmp_path / "deep")
    links = [a["href"] for a in shown.all("a") if not a["href"].startswith("#")]
    assert links
    assert all((tmp_path / "deep" / link).is_file() for link in links)


def test_the_page_states_the_settings_and_how_the_truth_is_known(whole):
    text = whole.text
    assert "pidlab sweep --objective 'comm(temperature=0.1)'" in text
    assert "when unique1 and unique2 vary from 0 to 1 (3 points)?" in text
    assert "Known by design; exact." in text
    assert "samples fresh in each step" in text
    assert "python 3.11" in text
    assert "@software{pidlab," in text
    assert "Claims: 0 of 2 met" in text
    assert "not evaluated ; no such term" in text


def test_means_and_intervals_over_seeds():
    found = results()
    grid = captured_grid(found, Points(found), "id")
    heads = [c.label.replace("\u00a0", " ") for c in grid.columns]
    assert heads[1] == "unique1 = unique2"
    rows = [dict(zip(heads, row, strict=True)) for row in grid.rows]
    assert len(rows) == 3 * 3 * 4  # points, objectives, terms; without auxiliary targets
    (row,) = [
        r for r in rows if (r["objective"], r["unique1 = unique2"], r["term"]) == ("CoMM", "0.5", "unique1")
    ]
    # .25, .30, .35: half-width t(.975, 2) * .05 / sqrt(3)
    half = stats.t.ppf(0.975, 2) * 0.05 / math.sqrt(3)
    assert (row["captured"], row["± seeds"], row["± rows"]) == ("0.300", f"{half:.3f}", "0.020")
    assert (row["truth"], row["% of truth"], row["linear"], row["untrained"]) == (
        "0.500",
        "60",
        "0.150",
        "0.300",
    )
    assert (row["best probe"], row["converged"]) == ("mlp", "2 of 2")
    assert row["single seeds"] == "0.250, 0.300, 0.350"


def test_all_probes_are_in_the_second_table():
    found = results()
    grid = probes_grid(found, Points(found), "id")
    heads = [c.label for c in grid.columns]
    rows = [dict(zip(heads, row, strict=True)) for row in grid.rows]
    assert len(rows) == 3 * 3 * 5 * 2
    mine = [r for r in rows if r["objective"] == "CoMM" and r["term"] == "synergy:1"]
    assert {(r["probe"], r["chosen"]) for r in mine} == {("linear", "0 of 3"), ("mlp", "3 of 3")}


def test_tracked_rows_do_not_enter_the_means():
    found = results()
    tracked = found.table.assign(quantity="tracked", captured=99.0, step=10)
    both = dataclasses.replace(found, table=pd.concat([found.table, tracked], ignore_index=True))
    for grid in (captured_grid, probes_grid):
        assert grid(both, Points(both), "id").rows == grid(found, Points(found), "id").rows


def test_best_probes_that_differ_between_seeds_are_counted():
    found = results(points=(1.0,), objectives=("comm",), axis_groups=[])
    table = found.table.copy()
    table["headline"] = (table["probe"] == "linear") == (table["seed"] == 2)
    shown = dataclasses.replace(found, table=table)
    grid = captured_grid(shown, Points(shown), "id")
    at = [c.label for c in grid.columns].index("best probe")
    assert {row[at] for row in grid.rows} == {"mlp 2, linear 1"}


def test_the_truth_of_every_point():
    found = results()
    grid = truth_grid(found, Points(found), "id")
    assert [c.label for c in grid.columns][1:] == list(TERMS)
    assert grid.rows[1] == ["0.5", "1.000", "0.500", "0.500", "1.000"]


def test_an_unknown_truth_is_left_empty(tmp_path):
    found = results(truth={"measure": ["broja"], "how": ["unknown"], "gap": None}, axis_groups=[])
    table = found.table.assign(truth=np.nan, **dict.fromkeys(TERMS, np.nan))
    unknown = dataclasses.replace(found, table=table)
    assert truth_grid(unknown, Points(unknown), "id") is None
    shown = page(unknown, tmp_path)
    assert "The ground truth of these data is unknown" in shown.text
    assert "nan" not in shown.text.lower().split()
    grid = captured_grid(unknown, Points(unknown), "id")
    assert not {"truth", "%\u00a0of truth"} & {c.label for c in grid.columns}


def test_the_truth_of_a_single_target_is_stated_by_readout():
    found = results(axis_groups=[["unique1", "unique2"]])
    rows = found.table[found.table["term"] == "synergy"].assign(term="y")
    one = pd.concat([rows.assign(readout=z, truth=t) for z, t in (("z1", 0.25), ("z12", 0.75))])
    shown = dataclasses.replace(found, table=one.reset_index(drop=True))
    grid = truth_grid(shown, Points(shown), "id")
    assert [c.label for c in grid.columns][-2:] == ["I(z1;y)", "I(z12;y)"]
    assert grid.rows[0][-2:] == ["0.250", "0.750"]


HOSTILE = "</script><script>alert(1)</script>"


def test_markup_in_names_is_escaped(tmp_path):
    found = results(
        objectives=(HOSTILE, "comm"),
        command=["pidlab", HOSTILE],
        failed={"k": "<img src=x onerror=alert(1)>"},
        failures=[
            {"objective": HOSTILE, "reason": "<img src=x onerror=alert(1)>\n  line 2", "runs": 2, "run": "k"}
        ],
    )
    shown = page(
        {HOSTILE: found, "b": found}, tmp_path, title=HOSTILE, about=HOSTILE, claims=[Claim(HOSTILE, HOSTILE)]
    )
    assert shown.all("img") == []
    assert len(shown.all("script")) == 4 + 1  # the data of four tables, and one that runs
    assert "<img src=x onerror=alert(1)>" in shown.text
    data = shown.data
    assert {row[0] for table in data for row in table["rows"]} == {format_objective(HOSTILE), "CoMM"}


def test_scripts_and_external_links_of_a_figure_are_removed(tmp_path):
    (tmp_path / "f.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="72pt" '
        'onload="alert(1)"><metadata>https://example.org</metadata><script>alert(1)</script><defs>'
        '<clipPath id="c"/></defs><use xlink:href="https://example.org/a.svg#x"/>'
        '<a href="javascript:alert(1)"><text clip-path="url(#c)">R</text></a><foreignObject/></svg>'
    )
    shown = page(results(), tmp_path, pictures=[Picture(tmp_path / "f.svg", "a caption", "a title")])
    assert "example.org" not in (tmp_path / "report.html").read_text()
    (svg,) = shown.all("svg")
    assert "onload" not in svg
    assert shown.all("foreignobject") == []
    assert {"clip-path": "url(#f0-0)"} in shown.all("text")
    assert [clip["id"] for clip in shown.all("clippath")] == ["f0-0"]
    assert ("text", "R") in shown.texts


def test_a_file_that_is_not_an_svg_is_refused(tmp_path):
    (tmp_path / "f.svg").write_text("no picture")
    with pytest.raises(InvalidRequest, match="not an SVG file"):
        write_report(results(), tmp_path, pictures=[Picture(tmp_path / "f.svg")])
    with pytest.raises(InvalidRequest, match="cannot be read"):
        write_report(results(), tmp_path, pictures=[Picture(tmp_path / "g.svg")])


def test_a_large_figure_is_replaced_by_its_png(found, folder, monkeypatch):
    monkeypatch.setattr("pidlab.report.svg.MOST_BYTES", 1000)
    shown = page(found, folder)
    (image,) = shown.all("img")
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"]
    assert shown.all("svg") == []


def test_the_same_bytes_twice_and_in_another_folder(tmp_path):
    (tmp_path / "a").mkdir()
    found = drawn(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first = write_report(found, tmp_path / "a").read_bytes()
    assert first == write_report(results(tmp_path / "b"), tmp_path / "b").read_bytes()
    assert first == write_report(found, tmp_path / "a").read_bytes()


def test_a_sweep_without_successful_runs(tmp_path):
    found = results(failed={"k1": "boom", "k2": "boom"})
    del found.record["failures"]  # as older records are
    shown = page(dataclasses.replace(found, table=found.table[:0]), tmp_path)
    assert "No run of this sweep has results" in shown.text
    assert "boom" in shown.text
    assert [c for c in shown.texts if c[0] == "td" and c[1] == "2"]


def test_a_large_sweep_is_thinned_and_a_note_states_it(tmp_path, monkeypatch):
    monkeypatch.setattr(grids, "MOST_ROWS", 100)
    found = results(points=tuple(np.linspace(0, 1, 31)), seeds=(0,))
    grid = captured_grid(found, Points(found), "id")
    assert "of 31 points" in grid.note
    shown = {row[1] for row in grid.rows}
    assert len(grid.rows) == len(shown) * 3 * 4 <= 100
    assert {"0", "1"} <= shown  # both ends stay


def test_two_axes_are_both_thinned(monkeypatch):
    found = [results(points=(0.0, 0.5, 1.0), seeds=(0,)).table.assign(noise=i / 10) for i in range(10)]
    grid = results(axis_groups=[["noise"], ["unique1", "unique2"]])
    grid = dataclasses.replace(grid, table=pd.concat(found, ignore_index=True))
    kept, note = Points(grid).thin(grid.table, 9)
    assert note
    assert len(kept[["noise", "unique1"]].drop_duplicates()) <= 9
    assert kept["unique1"].nunique() == 3
    assert {0.0, 0.9} <= set(kept["noise"])


def test_a_table_that_is_not_a_sweep_is_shown_unchanged(tmp_path):
    exam = pd.DataFrame(
        {
            "case": ["half", "<b>"],
            "term": ["synergy", "redundant"],
            "bias": [-0.0123, np.nan],
            "within": [True, False],
        }
    )
    made = {
        "result_version": RESULT_VERSION,
        "axis_groups": [["case"]],
        "failed": {},
        "request": {"levels": ["quick"], "seed": 0},
    }
    found = Results(exam, made, tmp_path)
    shown = page({"exam": found, "sweep": results()}, tmp_path)
    data = shown.data
    assert data[0]["rows"] == [["half", "synergy", "-0.0123", "True"], ["<b>", "redundant", "", "False"]]
    assert [column["filter"] for column in data[0]["columns"]] == ["", "term", "", ""]
    assert "Levels quick" in shown.text
    assert shown.all("b") == []


def test_shares_of_each_term_are_stated_with_the_floor(tmp_path):
    found = results()
    better = (found.table["objective"] == "comm") & (found.table["term"] == "synergy")
    found.table.loc[better, "captured"] = 0.99 + 0.001 * found.table.loc[better, "seed"]
    terms, table = verdicts(found, Points(found))
    assert terms == ["redundancy R", "unique information U1", "unique information U2", "synergy S"]
    by_name = {name: [(cell.share, cell.kind) for cell in cells] for name, cells in table}
    assert by_name["CoMM"] == [("60 %", "within")] * 3 + [("99 %", "above")]
    assert by_name["untrained (floor)"] == [("60 %", "reference")] * 4
    assert dict(table)["CoMM"][1].hint == "above the floor at 0 of 2 points"
    assert "99 %" in page(found, tmp_path).text


def test_a_single_seed_is_never_certainly_above_the_floor():
    found = results(seeds=(0,))
    found.table.loc[found.table["objective"] == "comm", "captured"] = 0.99
    _, table = verdicts(found, Points(found))
    assert {cell.kind for cell in dict(table)["CoMM"]} == {"mixed"}


def test_a_default_sweep_has_a_page_of_at_most_300_kilobytes(tmp_path):
    found = results(tmp_path, points=tuple(np.linspace(0, 1, 11)), objectives=defaults.OBJECTIVES)
    table = pd.concat([found.table.assign(readout=readout) for readout in ("z12", "z1", "z2")])
    noise = np.random.default_rng(0).normal(0, 0.05, len(table))
    table = table.assign(captured=table["captured"] + noise, low=table["low"] + 1.1 * noise)
    found = dataclasses.replace(found, table=table.reset_index(drop=True))
    save(capture_figure(found.table, found.axis_groups)[0], tmp_path / "captured.svg")
    curves = found.table[["run", "objective", "seed", "unique1"]].drop_duplicates().query("unique1 == 1")
    curves = curves.merge(pd.DataFrame({"step": range(CURVE_POINTS)}), how="cross").assign(trained=True)
    curves = curves[curves["objective"] != "untrained"]
    curves["loss"] = np.exp(-curves["step"] / 20) + np.random.default_rng(0).normal(0, 0.02, len(curves))
    save(loss_figure(curves, [["unique1"]])[0], tmp_path / "loss.svg")
    page = write_report(found, tmp_path).read_text()
    assert page.count("<svg") == 2
    assert len(page.encode()) <= 300_000


def test_objectives_have_the_names_of_the_user(tmp_path):
    shown = page(results(), tmp_path, labels={"comm": "Ours"})
    assert "Ours" in shown.text
    data = shown.data
    assert {row[0] for row in data[0]["rows"]} == {"Ours", "untrained (floor)", "supervised (ceiling)"}


def test_the_figure_precedes_verdicts_claims_and_settings(whole):
    places = [tag.get("id") for _, tag in whole.tags if tag.get("id") in
              ("figures", "verdicts", "claims", "numbers", "settings")]  # fmt: skip
    assert places == ["figures", "verdicts", "claims", "numbers", "settings"]
