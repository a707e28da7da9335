"""The table of the page Leaderboard in a headless Chromium: filters and sorting."""

import importlib.util
from pathlib import Path

import browser
import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(browser.MISSING, reason="needs chromium and chromedriver"),
    pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs"),
]

VISIBLE = (
    "return [...document.querySelectorAll('.shares tbody tr')].filter(r => !r.hidden).map(r => r.innerText)"
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    folder = tmp_path_factory.mktemp("page")
    table = hooks.leaderboard_table(ROOT / "figures" / "profiles")
    script = (ROOT / "docs" / "assets" / "leaderboard.js").read_text()
    # As in the site: the heading has an id from its text, and `document$` calls back when a page is loaded.
    (folder / "page.html").write_text(
        f'<meta charset="utf-8"><h1 id="leaderboard">Leaderboard</h1>{table}'
        f"<script>const document$ = {{ subscribe: call => call() }};\n{script}</script>"
    )
    with browser.browser(folder / "profile") as session:
        session.open((folder / "page.html").as_uri())
        yield session


def test_the_first_policy_is_shown_and_words_filter(opened):
    rows = opened.run(VISIBLE)
    assert len(rows) == 23
    assert all("noise" in row for row in rows)
    opened.type("#leaderboard-filter [name=words]", "factorcl")
    assert [row.split()[0] for row in opened.run(VISIBLE)] == ["factorcl-ssl", "factorcl-sup"]
    assert opened.logged() == []


def test_heads_sort_and_empty_cells_come_last(opened):
    opened.run("document.querySelector('#leaderboard-filter').reset()")
    opened.run("document.querySelector('[name=words]').dispatchEvent(new Event('input'))")
    opened.click(".shares thead tr:last-child th:nth-child(7) button")  # synergy by a linear probe
    assert [row.split()[0] for row in opened.run(VISIBLE)][:2] == ["supervised", "infmasking"]
    opened.click(".shares thead tr:last-child th:nth-child(7) button")
    assert [row.split()[0] for row in opened.run(VISIBLE)][-2:] == ["infmasking", "supervised"]
