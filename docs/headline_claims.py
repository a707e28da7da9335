"""Hook of mkdocs: the table of headline claims, from study files and their committed verdicts.

A headline claim is a claim of a study that has a name. Sentences of the documentation refer to it by a
comment with its verdict, such as `<!-- supported: unique/comm-synergy comm-redundant -->`.
tests/docs/test_headline_claims.py checks them.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pidlab.defaults import RESULT_VERSION, Training
from pidlab.studies.claims import Claim, parse_claim

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
MARKER = "<!-- headline claims -->"
# The comment of a sentence; the link leads to the first of its claims.
COMMENT = re.compile(r"<!-- (supported|undecided|refuted): ([\w-]+)/([\w-]+)[^>]*-->")
HEADER = (
    "| claim | verdict | seeds | views | probe | study, sweep | data and training |",
    "|---|---|---:|---|---|---|---|",
)
# Settings of a sweep that are shown if it sets them; views and steps are always shown.
SHOWN = ("batch", "dim", "hidden", "layers", "rate", "optimizer")


@dataclass(frozen=True)
class Headline:
    """A named claim of a study with its committed result.

    Args:
        study: Name of the study.
        stated: The claim in the study file.
        record: The provenance of the study's results, empty if it was not run.
        result: The stored result of the claim, empty if there is none.
    """

    study: str
    stated: dict[str, Any]
    record: dict[str, Any]
    result: dict[str, Any]

    @property
    def reference(self) -> str:
        """Reference of the documentation to the claim."""
        return f"{self.study}/{self.stated['name']}"

    @property
    def verdict(self) -> str:
        """supported, undecided, refuted or not run."""
        return self.result.get("verdict", "not run")

    @property
    def version(self) -> int | None:
        """Result version."""
        return self.record.get("result_version")

    @property
    def seeds(self) -> int:
        """Number of seeds, 0 if there is no result."""
        return self.result.get("seeds") or 0

    @cached_property
    def claim(self) -> Claim:
        """The parsed claim."""
        return parse_claim(self.stated["claim"])

    @cached_property
    def experiment(self) -> dict[str, Any]:
        """Specification of the experiment, empty if the study was not run."""
        return self.record.get("asked", {}).get(self.result.get("sweep"), {})

    def selected(self, column: str) -> list[str]:
        """Return the values of a column that the claim selects."""
        pairs = [*self.claim.at, *(pair for call in self.claim.calls for pair in call.rows)]
        return list(dict.fromkeys(str(value) for name, value in pairs if name == column))

    def row(self) -> str:
        """Return the row of the table."""
        settings = self.experiment.get("settings", {})
        axes = {",".join(names): text for names, text in self.experiment.get("axes", [])}
        # Claims about losses and estimates have no views or probe.
        probed = any(call.function in ("captured", "floor", "reached") for call in self.claim.calls)
        views = self.selected("views") or [axes.get("views") or settings.get("views", "")]
        parts = [f"`{self.experiment['generator']}`"] if "generator" in self.experiment else []
        parts += [f"{names.replace(',', ', ')} = {text}" for names, text in axes.items() if names != "views"]
        if self.experiment:
            parts.append(f"{settings.get('steps', Training.steps)} steps")
        parts += [f"{name} {settings[name]}" for name in SHOWN if name in settings]
        sweep = self.result.get("sweep", self.stated.get("sweep"))
        older = "" if self.version in (None, RESULT_VERSION) else f" (version {self.version})"
        cells = [
            f'<a id="{self.reference.replace("/", "-")}"></a>`{self.stated["claim"]}`',
            self.verdict + older,
            str(self.seeds or ""),
            ", ".join(f"`{view}`" for view in views if view) if probed else "",
            ", ".join(self.selected("probe") or ["best"]) if probed else "",
            f"[{self.study}](gallery/{self.study}.md)" + (f", `{sweep}`" if sweep else ""),
            "; ".join(parts),
        ]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def headline_claims(root: Path = ROOT) -> dict[str, Headline]:
    """Return the named claims of all studies by reference, in the order of the studies' names.

    Args:
        root: Folder with `studies` and `figures`.
    """
    found: dict[str, Headline] = {}
    for path in sorted((root / "studies").glob("*.toml")):
        study = tomllib.loads(path.read_text(encoding="utf-8"))
        folder = root / "figures" / path.stem
        record = read_json(folder / "provenance.json", {})
        # A claim that names no experiment is about the only one.
        results = {(one["claim"], one["sweep"]): one for one in read_json(folder / "claims.json", [])}
        results |= {(claim, None): one for (claim, _), one in results.items()}
        for stated in study.get("claim", []):
            if "name" in stated:
                result = results.get((stated["claim"], stated.get("sweep")), {})
                headline = Headline(path.stem, stated, record, result)
                found[headline.reference] = headline
    return found


def read_json(path: Path, default: Any) -> Any:
    """Return the content of a JSON file, or a default if it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else default


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert the table of headline claims, and show comments of sentences as links to its rows."""
    markdown = COMMENT.sub(r"<sup>[\1](claims.md#\2-\3)</sup>", markdown)
    if MARKER not in markdown:
        return markdown
    # Studies that were not run have no verdicts yet.
    rows = [headline.row() for headline in headline_claims().values() if headline.result]
    return markdown.replace(MARKER, "\n".join([*HEADER, *rows]))
