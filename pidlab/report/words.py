"""What was asked of a sweep, in words, from how it says that it was made."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pidlab.report.grids import plain
from pidlab.results.folder import Results

MOST_VALUES = 12


def heading(found: Results) -> str:
    """A title of one sweep."""
    along = " and ".join(", ".join(direction) for direction in found.axis_groups)
    return f"Captured bits along {along}" if along else "Captured bits"


def command(found: Results) -> str:
    """The command line, or nothing where a sweep was asked for in Python."""
    return shlex.join(map(str, found.record.get("command", ())))


def question(found: Results) -> str:
    """The request of a sweep as a question; nothing for any other."""
    request = found.record.get("request", {})
    if "axes" not in request:
        return ""
    moving = [axis for axis in request.get("axes", ()) if len(axis["values"]) > 1]
    ways = [f"{_together(axis['names'])} {_go(axis)} {_span(axis['values'])}" for axis in moving]
    where = (", while " if request.get("zipped") else " and ").join(ways)
    return (
        "Of the bits that the data hold, how many can be read from the frozen representation of each "
        f"objective{f' where {where}' if where else ''}?"
    )


def asked(found: Results) -> list[tuple[str, str]]:
    """What was asked, item by item."""
    record, request = found.record, found.record.get("request", {})
    training = request.get("training", {})
    if "axes" not in request:
        return [(name.capitalize(), _any(value)) for name, value in request.items()]
    items = [("Generator", str(request.get("generator", "")))]
    for axis in request["axes"]:
        items.append((" = ".join(axis["names"]), _listed(axis["values"])))
    items.append(("Objectives", ", ".join(map(str, request.get("objectives", ())))))
    if seeds := request.get("seeds"):
        first = request.get("first_seed", 0)
        items.append(("Seeds", f"{seeds}, from {first}: each with a world, weights and batches of its own"))
    if training:
        settings = (f"{name} {_setting(name, value)}" for name, value in training.items())
        items.append(("Training", ", ".join(settings)))
    if probes := request.get("probes"):
        items.append(("Probes", f"{probes}{_rows(record.get('probe_rows'))}"))
    if track := request.get("track"):
        items.append(("Tracked", f"{track} steps of the training, by quick probes; in results.csv"))
    if "runs" in record:
        failed = len(found.failures)
        items.append(("Runs", f"{record['runs']}, {failed or 'none'} of them failed"))
    return [(name, text) for name, text in items if text]


def known(found: Results) -> str:
    """How the truth is known, in a sentence."""
    truth = found.record.get("truth")
    if not truth:
        return "How this truth is known was not recorded; pidlab truth says it of a generator."
    if truth["how"] == ["unknown"]:
        return "No truth is known of these data: bits are captured, of how many nobody can say."
    gap = truth["gap"]
    error = "" if gap is None else f"; certified within {gap:.1g} bit" if gap else "; exact"
    return f"Measure: {_together(truth['measure'])}. Known by {_together(truth['how'])}{error}."


def _any(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_any(inner)}" for name, inner in value.items())
    return ", ".join(map(_any, value)) if isinstance(value, list | tuple) else plain(value)


def _rows(rows: Mapping[str, int] | None) -> str:
    if not rows:
        return ""
    return (
        f": fitted on {rows['train']} rows, chosen between on {rows['validation']}, scored on "
        f"{rows['test']} fresh ones"
    )


def _setting(name: str, value: Any) -> str:
    return "fresh each step" if name == "samples" and value is None else plain(value)


def _together(names: Sequence[str]) -> str:
    return " and ".join(names)


def _go(axis: Mapping[str, Any]) -> str:
    words = all(isinstance(value, str) for value in axis["values"])
    many = len(axis["names"]) > 1
    return ("are" if many else "is") if words else ("go" if many else "goes")


def _span(values: Sequence[Any]) -> str:
    if all(isinstance(value, str) for value in values):
        return " or ".join(values)
    return f"from {plain(values[0])} to {plain(values[-1])} ({len(values)} points)"


def _listed(values: Sequence[Any]) -> str:
    if len(values) <= MOST_VALUES:
        return ", ".join(map(plain, values))
    return f"{', '.join(map(plain, values[:3]))}, … {plain(values[-1])} ({len(values)} values)"
