"""Report page: results and the claims of a study as one self-contained HTML file."""

import base64
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from pidlab.io import atomic_write
from pidlab.plots.kinds import KINDS, caption
from pidlab.report import words
from pidlab.report.grids import (
    DECIMALS,
    Column,
    Grid,
    Points,
    captured_grid,
    is_sweep,
    probes_grid,
    raw_grid,
    truth_grid,
    verdicts,
)
from pidlab.report.svg import inline
from pidlab.results.folder import RECORD, TABLE, Results
from pidlab.results.formatting import format_bits

PAGE = "report.html"
# Other files that a sweep leaves in its folder, in the order of their links.
FILES = (
    TABLE,
    f"{TABLE}.gz",
    "captured.pdf",
    "captured.svg",
    "captured.png",
    "captured.csv",
    "loss.svg",
    RECORD,
    "results.sqlite",
)
LOSS_CAPTION = (
    "Training loss by objective at the last point of the sweep, in the unit of each loss. Thin lines are "
    "single seeds, thick lines their means. The command pidlab plot DIR --kind loss draws other points, too."
)


@dataclass(frozen=True)
class Claim:
    """A claim of a study with its outcome.

    Args:
        claim: The claim, as written in the study.
        source: Source of the claim.
        met: Whether it holds; None if it could not be evaluated.
        left: Left side of the comparison in bits, at the deciding point.
        right: Right side of the comparison in bits, at the deciding point.
        by: Margin in bits by which it is met (positive) or missed (negative).
        note: Further remarks, such as the deciding point.
    """

    claim: str
    source: str = ""
    met: bool | None = None
    left: float | None = None
    right: float | None = None
    by: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Args:
        path: SVG file; files of the same name in other formats are linked.
        caption: What it shows, with method and number of seeds.
        title: Text for screen readers; by default the name of the file.
        linked: Whether the page links the files.
    """

    path: Path
    caption: str = ""
    title: str = ""
    linked: bool = True


def write_report(
    found: Results | Sequence[Results] | Mapping[str, Results],
    directory: Path,
    *,
    title: str = "",
    about: str = "",
    sources: Sequence[str] = (),
    claims: Sequence[Claim] = (),
    pictures: Sequence[Picture] | None = None,
    losses: Sequence[Picture] | None = None,
    labels: Mapping[str, str] | None = None,
) -> Path:
    """Write report.html, a page that needs no other file.

    The same results give the same bytes, in any folder.

    Args:
        found: Results of one sweep, of several, or of several by name. Without names, folders name them.
        directory: Folder of the page; links in the page are relative to it.
        title: Title of the page; by default the varied parameters.
        about: Introduction; an empty line separates paragraphs.
        sources: Sources of a study.
        claims: Claims of a study with their outcomes.
        pictures: Figures to show; by default captured.svg of each sweep, if it exists.
        losses: Figures of training losses; by default loss.svg of each sweep, if it exists.
        labels: Names of objectives, by reference.

    Returns:
        Path of the page.

    Raises:
        InvalidRequest: If a figure cannot be read.
        OSError: If the folder cannot be written to.
    """
    sweeps = _name_sweeps(found)
    shown = (
        _pictures(sweeps, "captured.svg", _caption, "Captured against true information")
        if pictures is None
        else list(pictures)
    )
    curves = (
        _pictures(sweeps, "loss.svg", lambda _: LOSS_CAPTION, "Training loss")
        if losses is None
        else list(losses)
    )
    style, script = _asset("style.css"), _asset("script.js")
    text = _template().render(
        title=title or _title(sweeps),
        about=[part for part in about.split("\n\n") if part.strip()],
        sources=sources,
        claims=[(claim, *map(_optional_bits, (claim.left, claim.right, claim.by))) for claim in claims],
        met=sum(claim.met is True for claim in claims),
        figures=[_figure(i, picture, directory) for i, picture in enumerate(shown)],
        losses=[_figure(i, picture, directory) for i, picture in enumerate(curves, len(shown))],
        sweeps=[_sweep(i, name, sweep, directory, labels) for i, (name, sweep) in enumerate(sweeps.items())],
        citation=bibtex(),
        style=Markup(style),
        script=Markup(script),
        # The content security policy of the page allows this script only.
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    page = directory / PAGE
    with atomic_write(page) as file:
        file.write(text)
    return page


def _name_sweeps(found: Results | Sequence[Results] | Mapping[str, Results]) -> dict[str, Results]:
    if isinstance(found, Mapping):
        return dict(found)
    if isinstance(found, Results):
        return {"": found}
    named: dict[str, Results] = {}
    for results in found:
        name = results.directory.resolve().name
        named[name if name not in named else f"{name} ({len(named) + 1})"] = results
    return named


def _title(sweeps: Mapping[str, Results]) -> str:
    if len(sweeps) == 1:
        return words.heading(*sweeps.values())
    return f"Captured information in {len(sweeps)} sweeps"


def _pictures(
    sweeps: Mapping[str, Results], file: str, caption: Callable[[Results], str], title: str
) -> list[Picture]:
    paths = {name: sweep.directory / file for name, sweep in sweeps.items()}
    # The figure in the folder of a sweep without results shows older results.
    return [
        Picture(path, caption(sweeps[name]), f"{title}{f' of {name}' if name else ''}")
        for name, path in paths.items()
        if len(sweeps[name].table) and path.is_file()
    ]


def _caption(results: Results) -> str:
    """Return the caption of the figure of a sweep, from the numbers in captured.csv."""
    try:
        about = caption("capture", pd.read_csv(results.directory / "captured.csv"))
    except (OSError, ValueError, KeyError):  # no file of numbers, or not one of a figure
        about = KINDS["capture"].about
    return with_views(about, results)


def with_views(about: str, results: Results) -> str:
    """Return a caption that names the view policy of a sweep, if it has only one.

    Args:
        about: The caption.
        results: The sweep.
    """
    views = results.record.get("request", {}).get("training", {}).get("views")
    return f"{about} Views: {views}." if views else about


def _figure(number: int, picture: Picture, directory: Path) -> dict[str, Any]:
    title = picture.title or picture.path.stem
    files = [picture.path.with_suffix(f".{suffix}") for suffix in ("pdf", "svg", "png", "csv")]
    return {
        "title": title,
        "caption": picture.caption,
        "markup": Markup(inline(picture.path, f"f{number}-", title)),
        "files": _links(files, directory) if picture.linked else [],
    }


def _sweep(
    number: int, name: str, results: Results, directory: Path, labels: Mapping[str, str] | None
) -> dict[str, Any]:
    prefix, record = f"sweep{number}-", results.record
    points = Points(results, labels) if is_sweep(results) else None
    captured = f"{prefix}captured"
    return {
        "id": prefix.rstrip("-"),
        "name": name,
        "empty": results.table.empty,
        "command": words.command(results),
        "question": words.question(results),
        "settings": words.settings(results),
        "how": words.truth(results) if points else "",
        "truth": points and truth_grid(results, points, f"{prefix}truth"),
        "verdicts": points and verdicts(results, points),
        "captured": captured_grid(results, points, captured) if points else raw_grid(results, captured),
        "probes": points and probes_grid(results, points, f"{prefix}probes"),
        "failures": _failures(results),
        "provenance": _provenance(record),
        "seconds": _seconds(f"{prefix}seconds", record),
        "files": _links([results.directory / file for file in FILES], directory),
    }


def _failures(results: Results) -> list[dict[str, Any]]:
    """Return reasons of failures with their objective, the number of runs, and one run."""
    if "failures" in results.record:
        return results.record["failures"]
    grouped: dict[str, list[str]] = {}
    for run, reason in results.failures.items():
        grouped.setdefault(reason, []).append(run)
    return [{"objective": "", "reason": why, "runs": len(r), "run": r[0]} for why, r in grouped.items()]


def _provenance(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    versions = (f"{name} {version}" for name, version in record.get("versions", {}).items())
    git = record.get("git") or {}
    commit = f"{git['commit']}{' with changes' if git.get('modified') else ''}" if git else ""
    items = [
        ("Versions", ", ".join(versions)),
        ("Result version", record.get("result_version")),
        ("Platform", record.get("platform")),
        ("Device", record.get("device")),
        ("Threads", record.get("threads")),
        ("Commit", commit),
    ]
    return [(name, str(value)) for name, value in items if value]


def _seconds(id_: str, record: Mapping[str, Any]) -> Grid | None:
    """Return wall time by objective and activity; None if it was not recorded."""
    if not record.get("seconds"):
        return None
    rows: dict[str, dict[str, float]] = {}
    programs: dict[str, list[str]] = {}
    for cohort in record.get("cohorts", ()):
        seconds = rows.setdefault(cohort["objective"], {})
        programs.setdefault(cohort["objective"], []).append(cohort["program"])
        for activity, spent in cohort["seconds"].items():
            seconds[activity] = seconds.get(activity, 0.0) + spent
    rows["all"] = record["seconds"]
    activities = list(dict.fromkeys(activity for spent in rows.values() for activity in spent))
    cells = [
        [
            name,
            ", ".join(dict.fromkeys(programs.get(name, ()))),
            *(f"{spent[activity]:.1f}" if activity in spent else "" for activity in activities),
        ]
        for name, spent in rows.items()
    ]
    heads = [Column("objective", "text"), Column("program", "text"), *map(Column, activities)]
    return Grid(id_, "Wall time in seconds by objective and activity", heads, cells)


def _links(paths: Sequence[Path], directory: Path) -> list[tuple[str, str]]:
    """Return the names and relative addresses of the files that exist."""
    start = directory.resolve()
    return [
        (path.name, Path(os.path.relpath(path.resolve(), start)).as_posix())
        for path in paths
        if path.is_file()
    ]


def _optional_bits(value: float | None) -> str:
    return "" if value is None else format_bits(value, DECIMALS)


def bibtex() -> str:
    """Return the BibTeX entry of pidlab, made from CITATION.cff."""
    text = citation().partition("references:")[0]
    fields = dict(re.findall(r'^([a-z-]+): "?(.*?)"?$', text, re.MULTILINE))
    authors = " and ".join(f"{{{name}}}" for name in re.findall(r"- name: (.+)", text))
    entries = {
        "author": authors,
        "title": f"{{{fields.get('title', 'pidlab')}}}",
        "year": fields.get("date-released", "")[:4],
        "version": fields.get("version", ""),
    }
    lines = [f"  {name} = {{{value}}}" for name, value in entries.items() if value]
    return "@software{pidlab,\n" + ",\n".join(lines) + "\n}"


def citation() -> str:
    """Return the text of CITATION.cff."""
    here = Path(__file__)
    packaged = here.with_name("CITATION.cff")
    path = packaged if packaged.is_file() else here.parents[2] / "CITATION.cff"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_asset("template.html"))
