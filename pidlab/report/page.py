"""Results and study material in, one self-contained page out."""

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jinja2
from markupsafe import Markup

from pidlab.errors import InvalidRequest
from pidlab.io import atomic_write
from pidlab.report import words
from pidlab.report.grids import (
    Column,
    Grid,
    Points,
    bits,
    captured_grid,
    is_sweep,
    rungs_grid,
    standing_grid,
    truth_grid,
)
from pidlab.results.folder import RECORD, TABLE, Results


def citation() -> str:
    """The text of CITATION.cff."""
    here = Path(__file__)
    carried = here.with_name("CITATION.cff")
    path = carried if carried.is_file() else here.parents[2] / "CITATION.cff"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# A figure of more bytes is shown as the PNG beside it, where there is one.
MOST_BYTES = 1_500_000
# Pixels for a point: on a screen a figure is read from farther than in a paper, where a point is 4/3.
MAGNIFIED = 2.0
# What a figure needs none of: metadata that name other hosts, and anything that runs.
_DROPPED = {f"{{{SVG}}}{name}" for name in ("metadata", "script", "style", "foreignObject", "title")}
_HREFS = ("href", f"{{{XLINK}}}href")

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def inline(path: Path, prefix: str, title: str) -> str:
    """Markup that shows a figure without any other file.

    Args:
        path: its SVG.
        prefix: put before its ids, so that those of several figures stay apart.
        title: what a screen reader says of it.

    Raises:
        InvalidRequest: the file cannot be read, or is no SVG.
    """
    png = path.with_suffix(".png")
    try:
        if path.stat().st_size > MOST_BYTES and png.is_file():
            return _image(png, title)
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise InvalidRequest(f"cannot read the figure {path} ({error.strerror})") from None
    except ElementTree.ParseError as error:
        raise InvalidRequest(f"{path} is no SVG ({error}): draw it again") from None
    if root.tag != f"{{{SVG}}}svg":
        raise InvalidRequest(f"{path} is no SVG: draw it again")
    _clean(root, prefix)
    width = root.attrib.pop("width", "").removesuffix("pt")
    root.attrib.pop("height", None)
    if re.fullmatch(r"[\d.]+", width):
        root.set("style", f"width: {float(width) * MAGNIFIED:.0f}px")
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}title")
    label = ElementTree.Element(f"{{{SVG}}}title", {"id": f"{prefix}title"})
    label.text = title
    root.insert(0, label)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, prefix: str) -> None:
    for child in [child for child in element if child.tag in _DROPPED]:
        element.remove(child)
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, prefix + value)
        elif name in _HREFS:
            if value.startswith("#"):
                element.set(name, f"#{prefix}{value[1:]}")
            elif not value.startswith("data:image/"):
                del element.attrib[name]
        elif name.lower().startswith("on"):
            del element.attrib[name]
        elif "url(" in value:
            element.set(name, re.sub(r"url\(#", f"url(#{prefix}", value))
    for child in element:
        _clean(child, prefix)


def _image(path: Path, title: str) -> str:
    image = ElementTree.Element("img", {"alt": title})
    image.set("src", "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())
    return ElementTree.tostring(image, encoding="unicode", method="html")


PAGE = "report.html"
# What else a sweep leaves in its folder, in the order in which it is offered.
FILES = (
    TABLE,
    f"{TABLE}.gz",
    "captured.pdf",
    "captured.svg",
    "captured.png",
    "captured.csv",
    RECORD,
    "results.sqlite",
)
CAPTION = (
    "Bits read by the headline probes against the bits that the data hold. Means over seeds, with 95 % "
    "t-intervals over them where there are several; dots are single seeds; grey is the truth, and where they "
    "were asked for the untrained floor and the supervised ceiling."
)


@dataclass(frozen=True)
class Claim:
    """What a study says, and whether its numbers agree.

    Args:
        claim: as the study file has it.
        source: who says so.
        met: whether it holds; None where that could not be evaluated.
        left: what stands left of the comparison, in bits (at the point that decides).
        right: what stands right of it, in bits.
        by: by how much it is met (above 0) or missed (below 0), in bits.
        note: what else there is to say: the point that decides, whether the interval leaves doubt.
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
    """A figure to show.

    Args:
        path: its SVG, with other formats of the same name beside it.
        caption: what it shows, with method and n.
        title: what a screen reader calls it; the file's name by default.
    """

    path: Path
    caption: str = ""
    title: str = ""


def write_report(
    found: Results | Sequence[Results] | Mapping[str, Results],
    directory: Path,
    *,
    title: str = "",
    about: str = "",
    sources: Sequence[str] = (),
    claims: Sequence[Claim] = (),
    pictures: Sequence[Picture] | None = None,
) -> Path:
    """Writes report.html: what was asked, the truth, figures and numbers in one file that needs no other.

    The same results give the same bytes, wherever they stand.

    Args:
        found: one sweep, several, or several by name; others are called after their folders.
        directory: where the page is written; its links lead from there to the sweeps' files.
        title: of the page; otherwise what the sweep is along.
        about: a paragraph on the question.
        sources: what a study rests on.
        claims: a study's claims and their outcomes.
        pictures: figures to show; otherwise each sweep's captured.svg, where it has one.

    Returns:
        The page.

    Raises:
        InvalidRequest: a figure that cannot be read.
        OSError: the directory cannot be written to.
    """
    sweeps = _named(found)
    shown = _pictures(sweeps) if pictures is None else list(pictures)
    style, script = _asset("style.css"), _asset("script.js")
    text = _template().render(
        title=title or _title(sweeps),
        about=[part for part in about.split("\n\n") if part.strip()],
        sources=sources,
        claims=[(claim, *map(_maybe, (claim.left, claim.right, claim.by))) for claim in claims],
        met=sum(claim.met is True for claim in claims),
        figures=[_figure(i, picture, directory) for i, picture in enumerate(shown)],
        sweeps=[_sweep(i, name, sweep, directory) for i, (name, sweep) in enumerate(sweeps.items())],
        citation=citation(),
        style=Markup(style),
        script=Markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    page = directory / PAGE
    with atomic_write(page) as file:
        file.write(text)
    return page


def _named(found: Results | Sequence[Results] | Mapping[str, Results]) -> dict[str, Results]:
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
    return f"Captured bits of {len(sweeps)} sweeps"


def _pictures(sweeps: Mapping[str, Results]) -> list[Picture]:
    paths = {name: sweep.directory / "captured.svg" for name, sweep in sweeps.items()}
    # One that a sweep without a sound run found there is of older results.
    return [
        Picture(path, CAPTION, f"Captured against true bits{f' of {name}' if name else ''}")
        for name, path in paths.items()
        if len(sweeps[name].table) and path.is_file()
    ]


def _figure(number: int, picture: Picture, directory: Path) -> dict[str, Any]:
    title = picture.title or picture.path.stem
    others = [picture.path.with_suffix(f".{suffix}") for suffix in ("pdf", "svg", "png", "csv")]
    return {
        "title": title,
        "caption": picture.caption,
        "markup": Markup(inline(picture.path, f"figure{number}-", title)),
        "files": _links(others, directory),
    }


def _sweep(number: int, name: str, found: Results, directory: Path) -> dict[str, Any]:
    prefix, record = f"sweep{number}-", found.record
    points = Points(found) if is_sweep(found) else None
    return {
        "id": prefix.rstrip("-"),
        "name": name,
        "empty": found.table.empty,
        "command": words.command(found),
        "question": words.question(found),
        "asked": words.asked(found),
        "known": words.known(found) if points else "",
        "truth": points and truth_grid(found, points, f"{prefix}truth"),
        "captured": (
            captured_grid(found, points, f"{prefix}captured")
            if points
            else standing_grid(found, f"{prefix}captured")
        ),
        "rungs": points and rungs_grid(found, points, f"{prefix}rungs"),
        "failures": _failures(found),
        "provenance": _provenance(record),
        "seconds": _seconds(f"{prefix}seconds", record),
        "files": _links([found.directory / file for file in FILES], directory),
    }


def _failures(found: Results) -> list[dict[str, Any]]:
    """Reasons with their objective, how many runs, and one of them."""
    if "failures" in found.record:
        return found.record["failures"]
    grouped: dict[str, list[str]] = {}
    for run, why in found.failures.items():
        grouped.setdefault(why, []).append(run)
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
    """Wall time by objective and activity, and of all of it; None where it was not recorded."""
    if not record.get("seconds"):
        return None
    rows: dict[str, dict[str, float]] = {}
    programs: dict[str, list[str]] = {}
    for cohort in record.get("cohorts", ()):
        mine = rows.setdefault(cohort["objective"], {})
        programs.setdefault(cohort["objective"], []).append(cohort["program"])
        for activity, spent in cohort["seconds"].items():
            mine[activity] = mine.get(activity, 0.0) + spent
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
    return Grid(id_, "Seconds by objective and activity", heads, cells)


def _links(paths: Sequence[Path], directory: Path) -> list[tuple[str, str]]:
    """Names and relative addresses of those files that exist."""
    start = directory.resolve()
    return [
        (path.name, Path(os.path.relpath(path.resolve(), start)).as_posix())
        for path in paths
        if path.is_file()
    ]


def _maybe(value: float | None) -> str:
    return "" if value is None else bits(value)


def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_asset("template.html"))
