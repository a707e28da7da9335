"""`pidlab estimate`: captured bits of a user's own representations."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pidlab.cli.options import AsJson
from pidlab.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy as np

# Of floats, beyond which they are no longer whole numbers one by one.
LARGEST = 2**53
READOUTS = ("z1", "z2", "z12")
EPILOG = (
    "FILE.npz holds z1 (n, d1), z2 (n, d2) and y (n,) or (n, k), whole numbers, one target per column; "
    "z12 (n, d) is z1 and z2 side by side unless given. With z1_test, z2_test, y_test (and z12_test) only "
    "those rows are scored; without, five folds are cross-fitted."
)


def estimate(
    file: Annotated[Path, typer.Argument(metavar="FILE.npz", help="Representations and targets.")],
    seed: Annotated[int, typer.Option(help="Seeds the folds and the probes.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Estimate, in bits, what probes read about targets from your own frozen representations.

    There is no truth to compare with. Scores are held-out log-ratios to the frequencies of y in the file.
    """
    from pidlab.analysis.estimate import estimate as estimated

    if seed < 0:
        raise InvalidRequest(f"--seed {seed}: expected 0 or more")
    arrays = _load(file)
    readouts, y = _rows(arrays, "")
    test = _rows(arrays, "_test") if any(name.endswith("_test") for name in arrays) else None
    if test and ("z12" in arrays) != ("z12_test" in arrays):
        raise InvalidRequest("z12 and z12_test: expected both in the file, or neither")
    found = estimated(readouts, y, test, seed)
    for line in found.warnings:
        typer.echo(f"warning: {line}", err=True)
    if as_json:
        typer.echo(json.dumps(found.rows, indent=2))
        return
    _show(file, found.rows, len(y))


def _load(file: Path) -> dict[str, "np.ndarray"]:
    import zipfile
    import zlib

    import numpy as np

    if file.is_file() and not zipfile.is_zipfile(file):
        raise InvalidRequest(f"{file} is no .npz archive: save z1, z2 and y with numpy.savez")
    try:
        with np.load(file, allow_pickle=False) as archive:
            held = {name: archive[name] for name in archive.files}
            return {name: array for name, array in held.items() if isinstance(array, np.ndarray)}
    except OSError as error:
        raise InvalidRequest(f"{file}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        if "pickle" in str(error).lower():
            raise InvalidRequest(
                f"{file} holds pickled objects, which are never loaded: save plain arrays of numbers"
            ) from None
        raise InvalidRequest(f"{file} cannot be read as arrays ({error})") from None


def _rows(arrays: dict[str, "np.ndarray"], suffix: str) -> tuple[dict[str, "np.ndarray"], "np.ndarray"]:
    """Readouts by name, and the targets one per column."""
    import numpy as np

    for name in ("z1", "z2", "y"):
        if name + suffix not in arrays:
            held = ", ".join(sorted(arrays)) or "nothing"
            raise InvalidRequest(f"no {name + suffix!r} in the file: it holds {held}")
    y = arrays[f"y{suffix}"]
    if (
        y.ndim not in (1, 2)
        or y.dtype.kind not in "biuf"
        or (y.dtype.kind == "f" and not np.all((y == np.round(y)) & (np.abs(y) <= LARGEST)))
    ):
        raise InvalidRequest(
            f"y{suffix} has shape {y.shape} of {y.dtype}: expected whole numbers, (n,) or (n, targets)"
        )
    readouts = {name: arrays[name + suffix] for name in READOUTS if name + suffix in arrays}
    sound = all(readouts[z].ndim == 2 and readouts[z].dtype.kind in "biuf" for z in ("z1", "z2"))
    if "z12" not in readouts and sound:
        if len(readouts["z1"]) != len(readouts["z2"]):
            raise InvalidRequest(
                f"z1{suffix} has {len(readouts['z1'])} rows but z2{suffix} has {len(readouts['z2'])}"
            )
        readouts["z12"] = np.concatenate([readouts["z1"], readouts["z2"]], axis=1)
    return readouts, (y if y.ndim == 2 else y[:, None]).astype(np.int64)


def _show(file: Path, rows: list[dict[str, Any]], n: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"{file.name}, {n} rows: estimated bits that probes read; no truth is known",
        title_justify="left",
    )
    for column in ("target", "readout", "probe", "bits", "95 % of the score", "converged", "headline"):
        table.add_column(column, justify="right" if column in ("bits", "target") else "left")
    for row in rows:
        table.add_row(
            str(row["target"]),
            row["readout"],
            row["probe"],
            f"{row['captured']:.3f}",
            f"{row['low']:.3f} .. {row['high']:.3f}",
            "yes" if row["converged"] else "no",
            "*" if row["headline"] else "",
            style="bold" if row["headline"] else "",
        )
    Console().print(table)
    typer.echo(
        "Held-out log-ratios to y's own frequencies: what these probes read, not the information itself."
    )
