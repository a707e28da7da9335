"""What every experiment of a study is: keys, columns, and what runs it.

A new kind is a module with one class that derives from `Experiment` and has a `kind`, the name of its table
in a study's file; `Study` (`pidlab.studies.file`) gets a field of that name and `KINDS` the class. Nothing
imports torch before `prepare`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
from pydantic import Field

from pidlab.errors import nearest
from pidlab.references import parse
from pidlab.studies.settings import Profile, Strict

if TYPE_CHECKING:
    from pidlab.sweeps.engine import Progress

# Names of columns, each with its values where they are known.
Columns = dict[str, Sequence[Any] | None]
# Columns of any table that hold words.
WORDS = ("objective", "readout", "term", "quantity", "probe", "representation", "views", "case", "level")


@dataclass(frozen=True)
class Outcome:
    """What an experiment gave.

    Args:
        table: tidy, as claims and figures read it.
        directions: columns of the parameters that move together.
        failures: why runs failed, by objective.
        runs: how many there are.
        request: what was asked, for provenance.
        stated: what else its record says, such as how the truth is known (`sweeps.provenance.outcome`).
    """

    table: pd.DataFrame
    directions: Sequence[Sequence[str]] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    runs: int = 0
    request: Mapping[str, Any] = field(default_factory=dict)
    stated: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ready:
    """An experiment that can be run: nothing about it is wrong.

    Args:
        run: runs it in a folder in which it goes on where it stopped.
        columns: values that columns of its table will have, beyond what the file says.
    """

    run: Callable[[Path, "Progress | None"], Outcome]
    columns: Columns = field(default_factory=dict)


class Experiment(Strict):
    """A kind of experiment."""

    kind: ClassVar[str]

    name: str = Field(
        "main", pattern=r"^[\w-]+$", description="Of the experiment; claims and figures use it."
    )

    def asked(self, profile: Profile) -> dict[str, Any]:
        """Everything that its results depend on in a profile; JSON.

        Raises:
            InvalidRequest: keys that do not go together.
        """
        raise NotImplementedError

    def columns(self, asked: Mapping[str, Any]) -> Columns:
        """The columns of its table, with their values where the file says them, else None."""
        raise NotImplementedError

    def prepare(self, asked: Mapping[str, Any], tuned: Mapping[str, str], device: str) -> Ready:
        """Makes sure that it can run, and how.

        Args:
            asked: what `asked` gave.
            tuned: objectives in place of others.
            device: device type.

        Raises:
            InvalidRequest: anything in it does not exist or cannot be.
        """
        raise NotImplementedError


def misses(name: str, value: float | str, columns: Columns) -> str | None:
    """What is wrong with a claim that chooses rows by this column and value; None: nothing known."""
    if name not in columns:
        # Of a generator's own parameter that has a term's name, only the results say the column.
        return None if "." in name else f"no column {name!r} in the results: {nearest(name, columns)}"
    known = columns[name]
    if known is None:
        return None
    if name == "objective" and isinstance(value, str):
        value = str(parse(value))
    near = [v for v in known if v == value or (not isinstance(v, str) and _close(v, value))]
    if near:
        return None
    return f"{name} = {value!r} is not computed, only {', '.join(map(str, known[:20]))}"


def no_numbers(column: str, columns: Columns) -> str | None:
    """What is wrong with a claim that reads numbers from this column; None: nothing known."""
    if "." in column:  # as for rows
        return None
    known = {
        name: values
        for name, values in columns.items()
        if name not in WORDS and not any(isinstance(value, str) for value in values or ())
    }
    return None if column in known else f"value has no column={column!r} of numbers: {nearest(column, known)}"


def _close(one: Any, other: Any) -> bool:
    return not isinstance(other, str) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
