"""Hooks of mkdocs: figures, study gallery, notebooks, changelog and public names from the repository."""

from __future__ import annotations

import ast
import base64
import json
import posixpath
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from pidlab.defaults import RESULT_VERSION
from pidlab.objectives import objectives
from pidlab.objectives.objective import needs_of
from pidlab.results.leaderboard import leaderboard

ROOT = Path(__file__).resolve().parent.parent
ANSI = re.compile(r"\x1b\[[0-9;]*m")
# Links of the Markdown files into the repository work on a code host; the site has the figures elsewhere.
REPOSITORY_LINK = re.compile(r"\]\((?:\.\./)+((?:figures|studies)/[^)\s#]+|CHANGELOG\.md)")
# Pages that are files of the repository.
COPIES = {"changelog.md": "CHANGELOG.md", "studies.md": "studies/README.md"}

# Figures that no study makes: folder, name, and the page that explains them.
SINGLE = (
    ("tutorial", "captured", "your-own-objective.md"),
    ("three", "captured", "generators.md"),
    ("examination", "known-answers", "probes.md"),
)

# Verdicts on claims, and the kind of block that shows them.
VERDICTS = {"supported": "success", "undecided": "warning", "refuted": "failure"}
# Columns of the leaderboard: label, data, term and probe.
LEADERBOARD = (
    ("R", "together", "redundant", "best"),
    ("U1", "together", "unique1", "best"),
    ("U2", "together", "unique2", "best"),
    ("S", "together", "synergy", "best"),
    ("S, linear", "together", "synergy", "linear"),
    ("R", "alone", "redundant", "best"),
    ("U1", "alone", "unique1", "best"),
    ("U2", "alone", "unique2", "best"),
    ("S", "alone", "synergy", "best"),
    ("S, linear", "alone", "synergy", "linear"),
)
# Objectives that see the labels.
LABELED = {name for name, cls in objectives().items() if "labels" in needs_of(cls)}
# Members to show of classes that have many internal ones; all public members of the others.
MEMBERS = {"Atoms": ["sample", "view"]}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the page of every study under Studies in the navigation."""
    studies = next(section["Studies"] for section in config.nav or [] if "Studies" in section)
    studies += [{path.stem: f"gallery/{path.stem}.md"} for path in sorted((ROOT / "studies").glob("*.toml"))]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add every generated page and every figure to the site."""
    for png in sorted((ROOT / "figures").rglob("*.png")):
        path = png.relative_to(ROOT).as_posix()
        files.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))
    pages = gallery()
    for page, source in COPIES.items():
        pages[page] = (ROOT / source).read_text(encoding="utf-8")
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        files.remove(files.src_uris[f"notebooks/{notebook.name}"])
        text, images = render_notebook(notebook)
        pages[f"notebooks/{notebook.stem}.md"] = text
        for name, content in images.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point figure links at the site's copies and list the public names on the API page."""
    folder = posixpath.dirname(page.file.src_uri)

    def relocate(match: re.Match[str]) -> str:
        pages = {source: page for page, source in COPIES.items()}
        return f"]({posixpath.relpath(pages.get(match[1], match[1]), folder or '.')}"

    markdown = REPOSITORY_LINK.sub(relocate, markdown)
    if "<!-- leaderboard -->" in markdown:
        markdown = markdown.replace("<!-- leaderboard -->", leaderboard_table(ROOT / "figures" / "profiles"))
    return markdown.replace("<!-- public names -->", "\n\n".join(map(reference, public_names())))


def public_names() -> list[str]:
    """Return the path of every public name, read from the source so that torch is not imported."""
    stub = ROOT / "pidlab" / "__init__.pyi"
    source = stub if stub.exists() else stub.with_suffix(".py")
    paths = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.level or f"{node.module}".startswith("pidlab.")):
            continue
        home = f"pidlab.{node.module}" if node.level else f"{node.module}"
        for alias in node.names:
            # A module of the same name hides the function that the package exports.
            hidden = (ROOT / home.replace(".", "/") / f"{alias.name}.py").exists()
            paths.append(f"{home}.{alias.name}.{alias.name}" if hidden else f"{home}.{alias.name}")
    return sorted(paths, key=lambda path: path.rpartition(".")[2].lower())


def reference(path: str) -> str:
    """Return the block that mkdocstrings replaces by the documentation of a name."""
    members = MEMBERS.get(path.rpartition(".")[2])
    options = f"\n    options:\n      members: {json.dumps(members)}" if members else ""
    return f"::: {path}{options}"


def leaderboard_table(folder: Path) -> str:
    """Return the leaderboard as HTML: a row per objective and view policy, a column per kind of information.

    Args:
        folder: Results of the study `profiles`.
    """
    if not any(folder.glob("*/provenance.json")):
        return "*No results of the study `profiles` are committed yet.*"
    shares = leaderboard(folder)
    cells: dict[tuple[Any, ...], Any] = {
        (row.objective, row.views, row.data, row.term, row.probe): row for row in shares.itertuples()
    }
    names = list(dict.fromkeys(shares["objective"]))
    policies = list(dict.fromkeys(shares["views"]))
    heads = "".join(f'<th scope="col">{label}</th>' for label, *_ in LEADERBOARD)
    counts = {data: sum(column[1] == data for column in LEADERBOARD) for data in ("together", "alone")}
    groups = "".join(f'<th colspan="{count}" scope="colgroup">{data}</th>' for data, count in counts.items())
    options = "".join(f"<option>{policy}</option>" for policy in policies)  # the first one is shown at first
    rows = []
    for name in names:
        for policy in policies:
            found = [cells.get((name, policy, *key)) for _, *key in LEADERBOARD]
            if not any(found):
                continue
            mark = " †" if name in LABELED else ""
            rows.append(
                f'<tr data-views="{policy}"><th scope="row">{name}{mark}</th><td>{policy}</td>'
                + "".join(map(share_cell, found))
                + "</tr>"
            )
    return f"""<form id="leaderboard-filter" onsubmit="return false">
<label>Views <select name="views">{options}<option value="">all</option></select></label>
<label>Objective <input name="words" type="search" size="14"></label>
</form>
<div class="leaderboard"><table id="leaderboard-table" class="shares">
<thead><tr><th colspan="2"></th>{groups}</tr>
<tr><th scope="col">objective</th><th scope="col">views</th>{heads}</tr></thead>
<tbody>
{"".join(f"{row}{chr(10)}" for row in rows)}</tbody>
</table></div>"""


def share_cell(row: Any) -> str:
    """Return a cell with a share, half its interval, and the count of seeds that reach 90 %."""
    if row is None:
        return '<td data-value=""></td>'
    # Adding 0 turns a rounded -0.0 into 0.0.
    share, half = round(row.share, 2) + 0.0, f" ±{row.half_width:.2f}" if row.seeds > 1 else ""
    counted = f"<small>{row.reached}/{row.seeds}</small>"
    return f'<td data-value="{row.share:.4f}">{share:.2f}{half} {counted}</td>'


def gallery() -> dict[str, str]:
    """Return an index and one page per study: question, figures, claims, and the study file."""
    pages = {}
    shown = ["## All figures"]
    index = [
        "# Gallery of studies",
        "Each study is a TOML file in `studies/`. Its results are in `figures/NAME`: figures, the numbers in "
        "them, claims, and provenance. The pages below are generated from these files. To rerun a study, use "
        "`pidlab study run NAME --profile laptop`. Read the [known limits](../limits.md) before you quote a "
        "result.",
        "| study | question | claims | seeds |",
        "|---|---|---|---:|",
    ]
    for path in sorted((ROOT / "studies").glob("*.toml")):
        source = path.read_text(encoding="utf-8")
        study = tomllib.loads(source)
        folder = ROOT / "figures" / path.stem
        if not (folder / "claims.json").exists():
            index.append(f"| [{path.stem}]({path.stem}.md) | {study['title']} | not run | |")
            pages[f"gallery/{path.stem}.md"] = study_page(path.stem, study, folder, source, [], "laptop")
            continue
        claims = json.loads((folder / "claims.json").read_text(encoding="utf-8"))
        record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        profile, version = record["profile"], record["result_version"]
        verdicts = [verdict_of(claim) for claim in claims]
        counts = "<br>".join(f"{verdicts.count(v)}&nbsp;{v}" for v in VERDICTS if v in verdicts)
        seeds = max(claim["seeds"] for claim in claims)
        counts += f"<br>(version {version})" if version != RESULT_VERSION else ""
        index.append(f"| [{path.stem}]({path.stem}.md) | {study['title']} | {counts} | {seeds} |")
        page = study_page(path.stem, study, folder, source, claims, profile)
        pages[f"gallery/{path.stem}.md"] = note_version(page, version)
        shown += pictures(path.stem, study, folder, profile)
    shown += ["## Figures of single commands", *single_pictures()]
    table = "\n".join(index[2:])
    pages["gallery/index.md"] = "\n\n".join([*index[:2], table, *shown]) + "\n"
    return pages


def pictures(name: str, study: dict[str, Any], folder: Path, profile: str) -> list[str]:
    """Return the committed figures of a study as Markdown, with links to its page and with its command."""
    stems = [figure["name"] for figure in study.get("figure", [])]
    return [
        f"### {name}",
        *(
            f"[![{name}: {stem}](../figures/{name}/{stem}.png)]({name}.md#{stem})"
            for stem in stems
            if (folder / f"{stem}.png").exists()
        ),
        f"[study]({name}.md) · [claims]({name}.md#claims) · `pidlab study run {name} --profile {profile}`",
    ]


def single_pictures() -> list[str]:
    """Return the committed figures of single commands as Markdown."""
    parts = []
    for name, stem, page in SINGLE:
        record = json.loads((ROOT / "figures" / name / "provenance.json").read_text(encoding="utf-8"))
        # Records of `known-answers` state no command.
        command = shlex.join(record.get("command") or ["pidlab", "known-answers"])
        parts.append(f"[![{name}: {stem}](../figures/{name}/{stem}.png)](../{page})")
        parts.append(f"[page](../{page}) · `{command}`")
    return parts


def note_version(page: str, version: int) -> str:
    """Add a note below the title of a page whose results are of an older result version."""
    if version == RESULT_VERSION:
        return page
    title, _, rest = page.partition("\n")
    note = (
        f"These results are of version {version}; this pidlab computes version {RESULT_VERSION}. Defaults "
        "and probes changed since: `comm` had a head without batch normalization, `cross` had MLP heads, "
        "and structured probes could be headlines (see the changelog). Findings below are about version "
        f"{version}."
    )
    return f'{title}\n\n!!! warning "Older results"\n\n{indent(note)}\n{rest}'


def study_page(
    name: str, study: dict[str, Any], folder: Path, source: str, claims: list[dict[str, Any]], profile: str
) -> str:
    """Return the Markdown page of one study."""
    parts = [f"# {study['title']}", study["about"].strip()]
    parts.append("Sources: " + "; ".join(study.get("sources", ["none"])) + ".")
    parts.append(f"```bash\npidlab study run {name} --profile {profile}\npidlab study check {name}\n```")
    if not claims:
        parts.append("No results of this study are committed yet.")
    for figure in study.get("figure", []):
        stem = figure["name"]
        if not (folder / f"{stem}.png").exists():
            continue
        title = f"`{stem}`: kind `{figure['kind']}`"
        if figure.get("sweeps"):
            title += ", " + ", ".join(f"`{sweep}`" for sweep in figure["sweeps"])
        parts.append(f"## {stem}")
        parts.append(f"![{title}](../figures/{name}/{stem}.png)")
        parts.append(f"*{title}. The numbers are in `figures/{name}/{stem}.csv`.*")
    if claims:
        parts.append("## Claims")
        parts.append(
            f"Profile `{profile}`. [Verdicts](../studies.md#claims) test the difference of both sides. "
            "A claim about several points shows the point with the smallest margin at which the term has "
            "information."
        )
    # A claim without a sweep is about the only experiment.
    wording = {(claim["claim"], claim.get("sweep")): claim for claim in study.get("claim", [])}
    for claim in claims:
        key = claim["claim"], claim["sweep"]
        parts.append(show_claim(claim, wording.get(key, wording.get((key[0], None), claim))))
    parts.append("## Study file")
    parts.append(f'??? note "studies/{name}.toml"\n\n' + indent(f"```toml\n{source.rstrip()}\n```"))
    return "\n\n".join(parts) + "\n"


def show_claim(claim: dict[str, Any], wording: dict[str, Any]) -> str:
    """Return the verdict on one claim as Markdown.

    Args:
        claim: The stored verdict (claims.json).
        wording: The claim in the study file, whose source and finding are shown.
    """
    values = claim["why"]
    if claim["left"] is not None and claim["right"] is not None:
        values = f"{claim['left']:.3f} against {claim['right']:.3f}"
    if claim["at"]:
        values += " at " + ", ".join(f"{name}={shown(value)}" for name, value in claim["at"].items())
    seeds = f"{claim['seeds']} seed" + ("s" if claim["seeds"] != 1 else "")
    if claim["low"] is not None and claim["high"] is not None:
        seeds += f", 95 % interval of the margin {claim['low']:.3f} to {claim['high']:.3f}"
    verdict = verdict_of(claim)
    kind, title = VERDICTS[verdict], verdict.capitalize()
    body = [f"```text\n{claim['claim']}\n```", f"Sweep `{claim['sweep']}`: {values} ({seeds})."]
    if wording.get("finding") and not claim["met"]:
        body.append(f"Finding: {wording['finding']}.")
    body.append(f"Source: {wording['source']}.")
    return f'!!! {kind} "{title}"\n\n' + indent("\n\n".join(body))


def verdict_of(claim: dict[str, Any]) -> str:
    """Return the verdict on a claim; records without one say only whether it is met and in doubt."""
    decided = "supported" if claim["met"] else "refuted"
    return claim.get("verdict") or ("undecided" if claim["doubt"] else decided)


def shown(value: object) -> str:
    """Return a value of an axis as text, with numbers in their shortest form."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def render_notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by file name."""
    text, images = [f"*This page is the notebook `docs/notebooks/{path.name}`, with its outputs.*"], {}
    for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"]):
        source = joined(cell["source"])
        if cell["cell_type"] == "markdown":
            text.append(source)
            continue
        text.append(f"```python\n{source}\n```")
        for position, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if output["output_type"] == "stream" and output["name"] == "stdout":
                text.append(as_text(output["text"]))
            elif "image/png" in data:
                name = f"{path.stem}-{number}-{position}.png"
                images[name] = base64.b64decode(joined(data["image/png"]))
                text.append(f"![Output of the cell above]({name})")
            elif "text/html" in data:
                # Blank lines would end the HTML block.
                html = re.sub(r"\n\s*\n", "\n", joined(data["text/html"]))
                # The theme styles tables without a class.
                html = html.replace('<table border="1" class="dataframe">', "<table>")
                text.append(re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL))
            elif "text/plain" in data:
                text.append(as_text(data["text/plain"]))
    # The title must come first for the page to have one.
    if text[1].startswith("# "):
        title, _, rest = text[1].partition("\n")
        text[:2] = [title, text[0], rest.strip()]
    return "\n\n".join(text) + "\n", images


def as_text(output: str | list[str]) -> str:
    """Return printed output as a block without terminal colors."""
    return f"```text\n{ANSI.sub('', joined(output)).rstrip()}\n```"


def joined(source: str | list[str]) -> str:
    """Return a multi-line string of the notebook format as one string."""
    return source if isinstance(source, str) else "".join(source)


def indent(text: str) -> str:
    """Return text indented by four spaces, for the body of an admonition."""
    return "\n".join(f"    {line}" if line else "" for line in text.split("\n"))
