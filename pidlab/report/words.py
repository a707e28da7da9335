"""Request, settings and truth of a sweep in words, from its provenance."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from pidlab.results.folder import Results
from pidlab.results.formatting import format_objective, format_parameter, format_value
from pidlab.results.panels import describe_term, symbol_of

# An axis with more values is abbreviated.
MOST_VALUES = 12


def heading(results: Results) -> str:
    """Return the title of a sweep."""
    along = " and ".join(_name(group) for group in results.axis_groups)
    return f"Captured information along {along}" if along else "Captured information"


def _name(group: Sequence[str]) -> str:
    """Return the name of parameters that vary together, in words."""
    if set(group) == {"unique1", "unique2"}:
        return "unique information"
    return ", ".join(
        plain(describe_term(name)) if symbol_of(name) else format_parameter(name) for name in group
    )


def plain(text: str) -> str:
    """Return text without the marks of a formula.

    Example:
        >>> plain("unique information $U_1$")
        'unique information U1'
    """
    return re.sub(r"[${}_\\]", "", text)


def command(results: Results) -> str:
    """Return the command line; empty for a sweep that was run from Python."""
    return shlex.join(map(str, results.record.get("command", ())))


def question(results: Results) -> str:
    """Return the request of a sweep as a question; empty for results of other experiments."""
    request = results.record.get("request", {})
    if "axes" not in request:
        return ""
    varied = [axis for axis in request["axes"] if len(axis["values"]) > 1]
    changes = [f"{_join(axis['names'])} {_verb(axis)} {_span(axis['values'])}" for axis in varied]
    condition = (", while " if request.get("zipped") else " and ").join(changes)
    return (
        "How many bits of the information in the data can be read from the frozen representation of each "
        f"objective{f' when {condition}' if condition else ''}?"
    )


def settings(results: Results) -> list[tuple[str, str]]:
    """Return the settings of a sweep as pairs of a name and a description."""
    record, request = results.record, results.record.get("request", {})
    if "axes" not in request:
        return [(name.capitalize(), _describe(value)) for name, value in request.items()]
    items = [("Generator", str(request.get("generator", "")))]
    items += [(" = ".join(axis["names"]), _list_values(axis["values"])) for axis in request["axes"]]
    items.append(("Objectives", ", ".join(format_objective(str(o)) for o in request.get("objectives", ()))))
    if seeds := request.get("seeds"):
        first = request.get("first_seed", 0)
        items.append(
            ("Seeds", f"{seeds}, starting at {first}; each draws its own world, weights and batches")
        )
    if training := request.get("training", {}):
        items.append(("Training", ", ".join(f"{name} {_setting(name, v)}" for name, v in training.items())))
    if probes := request.get("probes"):
        items.append(("Probes", f"{probes}{_describe_rows(record.get('probe_rows'))}"))
    if track := request.get("track"):
        items.append(("Checkpoints", f"{track} during training, with quick probes"))
    if "runs" in record:
        items.append(("Runs", f"{record['runs']}, of which {len(results.failures) or 'none'} failed"))
    return [(name, text) for name, text in items if text]


def truth(results: Results) -> str:
    """Return a sentence on how the truth is known."""
    record = results.record.get("truth")
    if not record:
        return "The record does not state how the truth is known; `pidlab truth` shows it for a generator."
    if record["how"] == ["unknown"]:
        return "The ground truth of these data is unknown; captured bits have no reference."
    gap = record["gap"]
    error = "" if gap is None else f"; certified within {gap:.1g} bit" if gap else "; exact"
    return f"Measure: {_join(record['measure'])}. Known by {_join(record['how'])}{error}."


def _describe(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_describe(inner)}" for name, inner in value.items())
    return ", ".join(map(_describe, value)) if isinstance(value, list | tuple) else format_value(value)


def _describe_rows(rows: Mapping[str, int] | None) -> str:
    if not rows:
        return ""
    return (
        f": fitted on {rows['train']} rows, selected on {rows['validation']} validation rows, scored on "
        f"{rows['test']} test rows"
    )


def _setting(name: str, value: Any) -> str:
    return "fresh in each step" if name == "samples" and value is None else format_value(value)


def _join(names: Sequence[str]) -> str:
    return " and ".join(names)


def _verb(axis: Mapping[str, Any]) -> str:
    is_text = all(isinstance(value, str) for value in axis["values"])
    plural = len(axis["names"]) > 1
    return ("are" if plural else "is") if is_text else ("vary" if plural else "varies")


def _span(values: Sequence[Any]) -> str:
    if all(isinstance(value, str) for value in values):
        return " or ".join(values)
    return f"from {format_value(values[0])} to {format_value(values[-1])} ({len(values)} points)"


def _list_values(values: Sequence[Any]) -> str:
    if len(values) <= MOST_VALUES:
        return ", ".join(map(format_value, values))
    return f"{', '.join(map(format_value, values[:3]))}, … {format_value(values[-1])} ({len(values)} values)"
