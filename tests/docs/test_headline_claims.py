"""Statements of README and docs about objectives rest on headline claims of studies.

A sentence that states what an objective captures is followed by a comment with the verdict and the
references of its claims: `<!-- supported: unique/comm-synergy comm-redundant -->`. A comment is about all
sentences of its paragraph, list item or table row since the comment before. `<!-- no result -->` marks
definitions, questions and quoted statements.
"""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from pidlab.defaults import RESULT_VERSION
from pidlab.objectives import objectives
from pidlab.results.folder import read_results
from pidlab.results.tables import captured_table, format_table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMENT = re.compile(r"<!-- (supported|undecided|refuted|no result)(?:: ([^>]*?))? -->")
CODE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"\n\s*\n|\n(?=\s*(?:[-*] |\d+\. |\||#|>))")
SENTENCE = re.compile(r"(?<=[.:])\s+(?=[A-Z*`])")
NAMES = "|".join(re.escape(name) for name in objectives() if name not in ("untrained", "supervised"))
OBJECTIVE = re.compile(
    r"\b(?:CLIP|SimCLR|Cross\+Self|SupCon|FactorCL|CoMM|InfMasking|COrAL|DisentangledSSL|Symile|SynIB)\b"
    rf"|`(?:{NAMES})(?:\([^`]*\))?`(?!\]\(#)"  # generators have links
)
VERB = r"\b(?:captures?|reads?|holds?|keeps?|finds?|learns?|loses?|reach(?:es)?)\b"
RESULT = re.compile(VERB + r"|\d\.\d+ (?:± \d\.\d+ )?(?:of \d )?bits?\b")
TERM = re.compile(r"\b(?:redundan\w+|unique|uniqueness|synerg\w+|XOR|bits?|[RS]|U[12]?|w[12s])\b")
NUMBER = re.compile(r"(?<![\d.± -])\d\.\d\d\b")
FEWEST_SEEDS = 10


def load():
    spec = importlib.util.spec_from_file_location("headline_claims", ROOT / "docs" / "headline_claims.py")
    module = sys.modules["headline_claims"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = load()
HEADLINES = HOOK.headline_claims()


def covered(text):
    """Yield the sentences before each comment, its verdict and its references; at the end None and []."""
    for block in BLOCK.split(CODE.sub("", text)):
        parts = COMMENT.split(" ".join(block.split()))
        for before, kind, references in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
            yield before, kind, expand(references or "")
        yield parts[-1], None, []


def expand(references):
    """Return whole references; a name without a study belongs to the study before it."""
    whole = []
    for reference in references.split():
        study, _, name = reference.rpartition("/")
        whole.append(f"{study or whole[-1].partition('/')[0]}/{name}")
    return whole


def statements(text):
    """Return the sentences that state what an objective captures and are not followed by a comment."""
    return [
        sentence
        for before, kind, _ in covered(text)
        if kind is None and OBJECTIVE.search(before)
        for sentence in SENTENCE.split(before)
        if RESULT.search(sentence) and TERM.search(sentence)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_statement_about_an_objective_names_its_claim(page):
    assert statements(page.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "CoMM captures the synergy.",
        "- Under `task` views `factorcl-ssl` holds 0.89 of 1 unique bit.",
        "| `comm(head='mlp')` | reads 0.25 bits |",
        "Cross+Self is a baseline. A linear probe reads no synergy.",
    ],
)
def test_statements_without_a_claim_are_found(text):
    assert statements(text)
    assert not statements(f"{text} <!-- supported: unique/comm-synergy -->")


REFERENCES = [
    pytest.param(page, before, kind, references, id=f"{page.name}-{number}")
    for page in PAGES
    for number, (before, kind, references) in enumerate(covered(page.read_text()))
    if kind not in (None, "no result")
]


@pytest.mark.parametrize(("page", "before", "kind", "references"), REFERENCES)
def test_references_have_the_stated_verdict_enough_seeds_and_the_stated_numbers(
    page, before, kind, references
):
    assert references
    numbers = set()
    for reference in references:
        assert reference in HEADLINES, f"{reference}: no claim of a study has this name"
        headline = HEADLINES[reference]
        assert (headline.verdict, headline.version) == (kind, RESULT_VERSION), reference
        if headline.seeds < FEWEST_SEEDS:
            assert f"{headline.seeds} seeds" in page.read_text(), f"{reference}: state the number of seeds"
        numbers |= values(headline)
    stated = [(number, abs(float(number))) for number in NUMBER.findall(before)]
    assert [n for n, value in stated if not any(abs(value - known) <= 0.00501 for known in numbers)] == []


def values(headline):
    """Return both sides of a claim at every point, with and without the constants of the claim."""
    constants = {0.0, *(float(number) for number in re.findall(r"[-+] (\d\.?\d*)", headline.stated["claim"]))}
    sides = {point[side] for point in headline.result["points"] for side in ("left", "right")}
    return {abs(side - constant) for side in sides for constant in constants}


def test_the_table_of_the_default_comparison_is_that_of_the_study():
    results = read_results(ROOT / "figures" / "unique" / "noise")
    table = captured_table(results.table, results.axis_groups, at={"unique1": 1.0, "unique2": 1.0})
    made = [row.split() for row in format_table(table, "markdown").splitlines()]
    page = [row.split() for row in (ROOT / "docs" / "objectives.md").read_text().splitlines()]
    assert all(row in page for row in made if not row[0].startswith("|:"))


def test_comments_do_not_start_a_line():
    """A comment at the start of a line would end the paragraph."""
    assert [
        page.name for page in PAGES if re.search(rf"^\s*{COMMENT.pattern}", page.read_text(), re.MULTILINE)
    ] == []


def test_every_row_of_the_table_has_its_setting():
    rows = [headline.row() for headline in HEADLINES.values() if headline.study == "suppression"]
    assert rows
    assert all("| `task` | best |" in row or "| `noise` | best |" in row for row in rows)
    assert all("| 10 |" in row and row.endswith("synergy = 1; 600 steps |") for row in rows)
    assert len({row.split("</a>")[0] for row in rows}) == len(rows)


def test_the_page_shows_the_table():
    page = (ROOT / "docs" / "claims.md").read_text()
    shown = HOOK.on_page_markdown(page, None, None, None)
    assert HOOK.MARKER not in shown
    sentence = "CoMM captures it. <!-- supported: unique/comm-synergy comm-redundant -->"
    linked = HOOK.on_page_markdown(sentence, None, None, None)
    assert linked == "CoMM captures it. <sup>[supported](claims.md#unique-comm-synergy)</sup>"
    for reference, headline in HEADLINES.items():
        assert (f'<a id="{reference.replace("/", "-")}"></a>' in shown) == bool(headline.result)
