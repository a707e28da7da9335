"""The page in a headless Chromium, from disk."""

import dataclasses

import browser
import pandas as pd
import pytest
from made_results import drawn

from pidlab.report import write_report

pytestmark = pytest.mark.skipif(browser.MISSING, reason="needs chromium and chromedriver")

# The script has read the tables.
READY = "return document.getElementById('matches').textContent !== ''"
# The cells of a table by its head, as they stand on the page.
TABLE = """
const [table] = document.querySelectorAll(arguments[0]);
const heads = [...table.tHead.rows[0].cells].map(c => c.innerText.replace(/\\s+/g, " ").trim());
const named = row => Object.fromEntries([...row.cells].map((c, i) => [heads[i], c.innerText]));
return [...table.tBodies[0].rows].map(named);
"""
MAIN, PROBES = "#sweep0-captured", "#sweep0-probes"


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    profile = tmp_path_factory.mktemp("profile")
    with browser.browser(profile) as session:
        yield session


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return write_report(drawn(folder), folder).as_uri()


@pytest.fixture
def shown(opened, page):
    opened.open("about:blank")
    opened.open(page)
    assert opened.until(READY)
    assert opened.run("return document.querySelector('details.long').open") is False
    opened.run("document.querySelector('details.long').open = true")
    yield opened
    assert opened.logged() == []  # no error, nothing that the policy of the page had to block


def choose(shown, control, value):
    shown.run(
        "const c = document.getElementById(arguments[0]); c.value = arguments[1];"
        "c.dispatchEvent(new Event('input', {bubbles: true}));",
        control,
        value,
    )


def status(shown):
    return shown.run("return document.querySelector('[role=status]').textContent")


def test_the_page_opens_with_all_rows(shown):
    assert len(shown.run(TABLE, MAIN)) == 36
    assert status(shown) == "36 of 36 rows"
    assert shown.run("return document.querySelector('form').hidden") is False
    assert shown.run("return document.querySelector('svg').getBoundingClientRect().width") > 300


def test_filters_by_objective_term_and_words(shown):
    choose(shown, "by-objective", "CoMM")
    choose(shown, "by-term", "synergy")
    rows = shown.run(TABLE, MAIN)
    assert {(r["objective"], r["term"]) for r in rows} == {("CoMM", "synergy")}
    assert status(shown) == "3 of 36 rows"
    shown.type("#by-text", "UNIQUE1=0.5")
    (row,) = shown.run(TABLE, MAIN)
    assert row["unique1 = unique2"] == "0.5"
    shown.click("form button")
    assert len(shown.run(TABLE, MAIN)) == 36
    assert "#" not in shown.run("return location.href")


def test_an_empty_selection_is_stated(shown):
    shown.type("#by-text", "no such word")
    assert shown.run(TABLE, MAIN) == []
    assert status(shown) == "0 of 36 rows"


def test_a_view_can_be_linked(shown, page):
    choose(shown, "by-term", "unique2")
    shown.type("#by-text", "a & b=1 #")
    address = shown.run("return location.href")
    assert address.startswith(f"{page}#")
    shown.open("about:blank")
    shown.open(address)
    assert shown.until(READY)
    assert shown.run(
        "return [document.getElementById('by-term').value, document.getElementById('by-text').value]"
    ) == [
        "unique2",
        "a & b=1 #",
    ]
    shown.open("about:blank")
    shown.open(f"{page}#objective=unheard-of&term=redundant")
    assert shown.until(READY)
    assert {r["term"] for r in shown.run(TABLE, MAIN)} == {"redundant"}


def test_columns_are_sorted_in_both_directions(shown):
    button = f"{MAIN} thead th:nth-child(6) button"
    head = "return document.querySelector('#sweep0-captured thead th:nth-child(6)').getAttribute('aria-sort')"
    assert shown.run(head) is None
    for order, sign in (("ascending", 1), ("descending", -1)):
        shown.click(button)
        assert shown.run(head) == order
        bits = [sign * float(r["captured"]) for r in shown.run(TABLE, MAIN)]
        assert bits == sorted(bits)
        assert len(set(bits)) == 3
    address = shown.run("return location.href")
    shown.open("about:blank")
    shown.open(address)
    assert shown.until(READY)
    assert shown.run(head) == "descending"


def test_empty_cells_are_sorted_last(shown):
    button = f"{MAIN} thead th:nth-child(9) button"
    for _ in range(2):
        shown.click(button)
        shares = [r["% of truth"] for r in shown.run(TABLE, MAIN)]
        assert "" in shares
        assert "" not in shares[: len(shares) - shares.count("")]


def test_a_link_opens_all_probes(shown):
    assert shown.run("return document.querySelector('details.probes').open") is False
    shown.click("a[href*='probes=1']")
    assert shown.until("return document.querySelector('details.probes').open") is True
    rows = shown.run(TABLE, PROBES)
    assert {r["term"] for r in rows} == {"synergy", "synergy:1"}
    assert {r["probe"] for r in rows} == {"linear", "mlp"}


def test_the_page_can_be_used_by_keyboard(shown):
    focus = "return document.activeElement.tagName + ' ' + document.activeElement.textContent"
    shown.press("\ue004")
    assert shown.run(focus) == "A Skip to the results"
    shown.run("document.querySelector('#sweep0-captured button').focus()")
    shown.press("\ue007")
    assert shown.run("return document.querySelector('#sweep0-captured [aria-sort]').cellIndex") == 0


def test_only_tables_scroll_on_a_phone(shown):
    shown.size(390, 844)
    try:
        wide = shown.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        matrix = shown.run("return document.querySelector('.verdicts').getBoundingClientRect().right")
    finally:
        shown.devtools("Emulation.clearDeviceMetricsOverride")
    assert wide == [390, 390]
    assert matrix <= 390


def test_print_hides_controls_and_long_tables(shown):
    shown.devtools("Emulation.setEmulatedMedia", media="print")
    display = "return getComputedStyle(document.querySelector(arguments[0])).display"
    try:
        for hidden in ("form", "nav", "details.long", "details.probes"):
            assert shown.run(display, hidden) == "none"
        assert shown.run(display, ".verdicts") == "table"
    finally:
        shown.devtools("Emulation.setEmulatedMedia", media="")


def test_the_headline_readout_is_the_default_filter(opened, tmp_path):
    found = drawn(tmp_path)
    more = pd.concat([found.table, found.table.assign(readout="z1")], ignore_index=True)
    opened.open(write_report(dataclasses.replace(found, table=more), tmp_path).as_uri())
    assert opened.until(READY)
    assert status(opened) == "36 of 72 rows"
    opened.run("document.querySelector('form button').click()")
    assert status(opened) == "72 of 72 rows"


def test_many_rows_are_shown_in_parts(opened, tmp_path):
    found = drawn(tmp_path, points=tuple(i / 99 for i in range(100)), seeds=(0,))
    opened.open(write_report(found, tmp_path).as_uri())
    assert opened.until(READY)
    opened.run("document.querySelector('details.long').open = true")
    count = "return document.querySelector('#sweep0-captured').tBodies[0].rows.length"
    assert opened.run(count) == 500
    opened.click("#sweep0-captured-count button")
    assert opened.run(count) == 1000
    opened.click("#sweep0-captured-count button")
    assert opened.run(count) == 1200
    assert opened.run("return document.querySelectorAll('#sweep0-captured-count button').length") == 0
    assert opened.logged() == []


def test_without_scripts_the_main_table_is_there(opened, page):
    opened.open("about:blank")
    opened.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        opened.open(page)
        found = opened.devtools("DOM.getDocument", depth=-1)
        rows = opened.devtools(
            "DOM.querySelectorAll", nodeId=found["root"]["nodeId"], selector=f"{MAIN} tbody tr"
        )
        assert len(rows["nodeIds"]) == 36
    finally:
        opened.devtools("Emulation.setScriptExecutionDisabled", value=False)
