"""Python API: sweeps from Python with the options of the command line, and their results."""

import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, nullcontext
from functools import cached_property, partial
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pidlab import defaults
from pidlab.errors import InvalidRequest, suggest_keywords
from pidlab.registry import look_up

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pidlab.results.folder import Results as FolderResults
    from pidlab.sweeps.axes import AxisValues
    from pidlab.sweeps.run import SweepResult

# A folder as a user gives it.
FolderPath = str | PathLike[str]
# What `save` keeps of a run.
SAVED = ("weights", "representations")
# An objective as a user gives it: a reference, a class, or a loss(z1, z2).
Objective = str | Callable[..., Any]


@suggest_keywords
def sweep(
    *,
    redundant: "AxisValues | None" = None,
    unique: "AxisValues | None" = None,
    unique1: "AxisValues | None" = None,
    unique2: "AxisValues | None" = None,
    synergy: "AxisValues | None" = None,
    vary: "Mapping[str, AxisValues] | None" = None,
    zip: bool = False,
    generator: str = defaults.GENERATOR,
    objectives: Objective | Sequence[Objective] | None = None,
    seeds: int | None = None,
    views: str | None = None,
    steps: int | None = None,
    batch: int | None = None,
    width: int | None = None,
    dim: int | None = None,
    samples: int | None = None,
    recipe: str | None = None,
    optimizer: str | None = None,
    weight_decay: float | None = None,
    schedule: str | None = None,
    warmup: int | None = None,
    clip: float | None = None,
    probes: str | None = None,
    track: int = 0,
    baselines: bool = False,
    out: FolderPath | None = None,
    quick: bool = False,
    device: str = "auto",
    engine: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    threads: int | None = None,
    save: str | Sequence[str] = (),
    retry_failed: bool = False,
    fail_fast: bool = False,
    progress: bool = True,
) -> "Results":
    """Train every objective at every point and measure the bits that its representation captures.

    The function is `pidlab sweep` with the same names, defaults and files: the same request has the same
    folder, and running it again resumes it. An axis is a number (`0.5`), a range (`"0..1"`, `"0..1:5"`), a
    list as text (`"0,0.25,1"`), or a sequence of numbers.

    Args:
        redundant: Bits in both modalities.
        unique: Bits in one modality only; sets both unique terms.
        unique1: Bits in the first modality only.
        unique2: Bits in the second modality only.
        synergy: Bits in neither modality alone.
        vary: Axes of further parameters of the generator or the training, by name.
        zip: Pair the values of the axes instead of combining them.
        generator: Reference to the generator, such as `"atoms(noise=0.1)"`.
        objectives: References, classes or functions loss(z1, z2); the default objectives if None.
        seeds: Number of seeds per point and objective.
        views: View policy: what an augmentation preserves.
        steps: Number of optimizer steps.
        batch: Number of samples in a minibatch.
        width: Number of values in an observation of one modality.
        dim: Width of z1 and z2.
        samples: Size of a finite training set; None draws fresh data in every step.
        recipe: Published training settings, used where the other arguments set nothing: comm, infmasking or
            factorcl.
        optimizer: adam, adamw, or sgd with momentum 0.9.
        weight_decay: Weight decay of the optimizer.
        schedule: Learning rate schedule: constant, or cosine to 0.
        warmup: Number of steps of linear warm-up of the cosine schedule.
        clip: Largest norm of the gradient of a model; no clipping if None.
        probes: Effort of the probes: quick, standard or thorough.
        track: Number of checkpoints during training at which each run is probed.
        baselines: Measure the floor and the ceiling of every objective, too: its own model before training,
            and trained with the labels (columns `floor` and `ceiling`). Objectives of equal architecture
            share them.
        out: Folder of the results; `runs/NAME` by default, with a name made from the request.
        quick: Use fewer points, seeds and steps where these are not set.
        device: auto, cpu or cuda.
        engine: Engine that trains the runs: local (this machine) or dask.
        workers: Number of worker processes with one thread each; 1 trains in this process. Results do not
            depend on it. By default one per core, fewer for short sweeps.
        scheduler: Address or file of a Dask scheduler.
        threads: Number of threads of a process; only 1 is accepted.
        save: Files to keep of every run: `"weights"`, `"representations"`.
        retry_failed: Train failed runs once more.
        fail_fast: Stop after the first cohort in which a run fails.
        progress: Show progress: a bar in terminals and notebooks, lines elsewhere.

    Returns:
        The results. `Results.failures` holds the reasons of runs that failed.

    Raises:
        InvalidRequest: If the request is invalid or the folder cannot be used.

    Example:
        >>> import pidlab
        >>> results = pidlab.sweep(unique="0..1", objectives=["cross", "comm"])  # doctest: +SKIP
        >>> results.plot("capture")  # doctest: +SKIP
    """
    given = {name: value for name, value in locals().items() if not _is_default(name, value)}
    for name, value in given.items():
        if isinstance(_DEFAULTS[name], bool) and not isinstance(value, bool):
            raise InvalidRequest(f"{name} {value!r}: expected True or False")
    from pidlab.sweeps import run_sweep
    from pidlab.sweeps.axes import spread
    from pidlab.sweeps.engines import select_engine
    from pidlab.sweeps.progress import show_progress
    from pidlab.sweeps.request import build_request

    terms = {
        name: given[name]
        for name in ("redundant", "unique", "unique1", "unique2", "synergy")
        if name in given
    }
    axes = [(names, _axis(values)) for names, values in spread(terms.items())]
    if width is not None:
        axes.append((("width",), width))
    axes += [((name,), _axis(values)) for name, values in (vary or {}).items()]
    request = build_request(
        axes,
        generator=generator,
        objectives=_references(objectives),
        zipped=zip,
        device=device,
        remote=scheduler is not None,
        quick=quick,
        seeds=seeds,
        views=views,
        steps=steps,
        batch=batch,
        dim=dim,
        samples=samples,
        recipe=recipe,
        optimizer=optimizer,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup=warmup,
        clip=clip,
        probes=probes,
        track=track,
        baselines=baselines,
    )
    kinds = [save] if isinstance(save, str) else save
    for kind in kinds:
        look_up("file to save", kind, dict.fromkeys(SAVED))
    with show_progress() if progress else nullcontext() as display:
        result = run_sweep(
            request,
            None if out is None else Path(out),
            progress=display,
            command=[f"pidlab.sweep({', '.join(f'{name}={value!r}' for name, value in given.items())})"],
            retry_failed=retry_failed,
            fail_fast=fail_fast,
            engine=select_engine(engine, workers, scheduler, threads),
            save=kinds,
        )
    write_sweep_files(result)
    return load_results(result.directory)


# Defaults of `sweep`, to record a call without them.
_DEFAULTS = {name: p.default for name, p in inspect.signature(sweep).parameters.items()}


def _is_default(name: str, value: Any) -> bool:
    # Arrays compare by element.
    return value is _DEFAULTS[name] or (
        isinstance(value, bool | int | str | tuple) and value == _DEFAULTS[name]
    )


def load_results(*folders: FolderPath | Sequence[FolderPath]) -> "Results":
    """Load the results of sweeps from their folders.

    Args:
        folders: Folders that `sweep` or `pidlab sweep` wrote, or one list of them; they are shown together.

    Returns:
        The results.

    Raises:
        InvalidRequest: If a folder does not hold a finished sweep, or its files are damaged.

    Example:
        >>> import pidlab
        >>> pidlab.load_results("runs/unique").to_markdown()  # doctest: +SKIP
    """
    from pidlab.results.folder import read_sweep

    paths: list[Path] = []
    for given in folders:
        paths += map(Path, [given] if isinstance(given, str | PathLike) else given)
    if not paths:
        raise InvalidRequest("load_results(): no folder; give at least one folder of a sweep")
    return Results([read_sweep(path) for path in paths])


class Results:
    """Results of one sweep or of several sweeps together.

    Args:
        parts: Results of each folder.
    """

    def __init__(self, parts: "Sequence[FolderResults]") -> None:
        self._parts = list(parts)

    @property
    def folders(self) -> list[Path]:
        """Folders of the sweeps."""
        return [part.directory for part in self._parts]

    @property
    def failures(self) -> dict[str, str]:
        """Reason of every failed run, by run key."""
        return {key: reason for part in self._parts for key, reason in part.failures.items()}

    @cached_property
    def table(self) -> "pd.DataFrame":
        """Rows of results.csv, one per (run, readout, target, probe), in bits."""
        from pidlab.results.folder import merge_results

        return merge_results(self._parts)

    @property
    def axis_groups(self) -> list[list[str]]:
        """Groups of columns whose parameters change together."""
        from pidlab.results.folder import merge_axis_groups

        return merge_axis_groups(self._parts)

    def plot(
        self,
        kind: str = "capture",
        *,
        venue: str = "neurips",
        objectives: Sequence[str] = (),
        terms: Sequence[str] = (),
        at: Mapping[str, Any] | None = None,
        order: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        width: float | None = None,
        font: str = "serif",
        **options: Any,
    ) -> "Figure":
        """Draw a figure; a notebook shows it below the cell.

        Args:
            kind: Kind of figure: capture, profile, leakage, tradeoff, learning or decomposition.
            venue: Page size: neurips, iclr, icml or icml-column.
            objectives: Objectives to show, in this order; all if empty.
            terms: Terms to show, in this order; all if empty.
            at: Values of parameters that select points, such as `{"unique1": 0.5}`.
            order: Objectives to draw first; the others follow.
            labels: Names of objectives by reference, such as `{"comm": "Ours"}`.
            width: Width of the figure in inches; by default that of the venue.
            font: `serif`, as in papers, or `sans`.
            options: Options of the kind, such as `readout="z1"`.

        Returns:
            A matplotlib figure; `figure.savefig("figure.pdf")` writes it.

        Raises:
            InvalidRequest: If the kind or an option does not exist, or there is nothing to draw.
        """
        from pidlab.plots.kinds import KINDS, draw
        from pidlab.plots.style import Page

        if files := look_up("kind of figure", kind, KINDS).files:
            raise InvalidRequest(
                f"kind {kind!r}: is drawn from {' and '.join(files)}, not from a sweep; "
                f"use `pidlab plot DIR --kind {kind}`"
            )
        selection: dict[str, Any] = {"objectives": _listed(objectives), "terms": _listed(terms), "at": at}
        selection |= {"order": _listed(order), "page": Page(width, font, labels or {})}
        figure, _ = draw(kind, self.table, self.axis_groups, venue=venue, **selection, **options)
        # A figure made without pyplot has no notebook display of its own.
        setattr(figure, "_repr_png_", partial(_png, figure))  # noqa: B010
        return figure

    def to_latex(self, **selection: Any) -> str:
        r"""Return the table of captured bits in LaTeX, for the package booktabs.

        Args:
            selection: `readout`, `objectives`, `terms`, `at`, `order` and `labels`, as for `plot`, and
                `baselines=True` for floors and ceilings.

        Raises:
            InvalidRequest: If there is nothing to show.
        """
        return self._formatted("latex", selection)

    def to_markdown(self, **selection: Any) -> str:
        """Return the table of captured bits in Markdown.

        Args:
            selection: `readout`, `objectives`, `terms`, `at`, `order` and `labels`, as for `plot`, and
                `baselines=True` for floors and ceilings.

        Raises:
            InvalidRequest: If there is nothing to show.
        """
        return self._formatted("markdown", selection)

    def report(self, path: FolderPath | None = None, *, title: str = "") -> Path:
        """Write report.html: request, ground truth, figures and numbers in one file.

        Args:
            path: Folder to write the page to; the sweep's own folder by default.
            title: Title of the page.

        Returns:
            The path of the page.

        Raises:
            InvalidRequest: If there are several sweeps and no path, or the folder cannot be written to.
        """
        from pidlab.io import ensure_writable
        from pidlab.report import write_report

        if path is None and len(self._parts) > 1:
            raise InvalidRequest(f"report(): {len(self._parts)} sweeps; give the folder of their page")
        folder = ensure_writable(self.folders[0] if path is None else Path(path))
        return write_report(self._parts[0] if len(self._parts) == 1 else self._parts, folder, title=title)

    def __repr__(self) -> str:
        where = ", ".join(map(str, self.folders))
        return f"Results({self.table['run'].nunique()} runs, {len(self.failures)} failed, in {where})"

    def _repr_html_(self) -> str:
        from pidlab.results.tables import notebook

        where = Path(", ".join(map(str, self.folders)))
        return notebook(self.table, self.axis_groups, where, len(self.failures))

    def _formatted(self, form: str, selection: Mapping[str, Any]) -> str:
        from pidlab.results.tables import captured_table, format_table

        for name in selection:
            look_up("option", name, dict.fromkeys(_SELECTION))
        chosen: dict[str, Any] = dict(selection)
        chosen |= {name: _listed(chosen[name]) for name in ("objectives", "terms", "order") if name in chosen}
        return format_table(captured_table(self.table, self.axis_groups, **chosen), form)


# Options that select the rows of a table, their order and their names.
_SELECTION = ("readout", "objectives", "terms", "at", "order", "labels", "baselines")


def write_sweep_files(result: "SweepResult", *, figure: bool = True) -> None:
    """Write captured.{pdf,svg,png,csv}, loss.svg and report.html of a finished sweep into its folder.

    Args:
        result: The sweep.
        figure: Whether to draw the figures; the page is always written.

    Raises:
        InvalidRequest: If the folder cannot be written to.
    """
    from pidlab.io import write_independently
    from pidlab.report import write_report
    from pidlab.results.folder import Results as FolderResults

    points = result.request.size if result.sampled else 0
    results = FolderResults(result.shown, result.record, result.directory, points)
    failures = _draw_captured(result) | _draw_losses(result) if figure and len(result.shown) else {}
    # A figure that could not be drawn would be that of an older run.
    pictures = () if result.directory / "captured.svg" in failures else None
    losses = () if result.directory / "loss.svg" in failures else None
    page = result.directory / "report.html"
    failures |= write_independently(
        {page: lambda path: write_report(results, path.parent, pictures=pictures, losses=losses)}
    )
    _require_written(result.directory, failures)


def _require_written(directory: Path, failures: Mapping[Path, str]) -> None:
    """Raise an `InvalidRequest` that names the files that could not be written, if there are any."""
    if failures:
        reasons = ", ".join(dict.fromkeys(failures.values()))
        raise InvalidRequest(
            f"{directory}: {', '.join(path.name for path in failures)} not written ({reasons}); all runs and "
            "other files are kept, so fix the cause and rerun the same command"
        )


def _draw_captured(result: "SweepResult") -> dict[Path, str]:
    """Write the figure of a sweep; return the reasons for files that were not written."""
    from pidlab.io import write_csv, write_independently
    from pidlab.plots.capture import capture_figure
    from pidlab.plots.style import FORMATS, save, style

    paths = [result.directory / f"captured.{suffix}" for suffix in (*FORMATS, "csv")]
    drawn: list[tuple[Figure, pd.DataFrame]] = []

    def draw(_: Path) -> None:
        drawn.append(capture_figure(result.shown, result.request.axis_groups))

    if failed := write_independently({paths[0]: draw}):
        return dict.fromkeys(paths, failed[paths[0]])
    figure, numbers = drawn[0]
    if result.sampled:
        note = f"{result.sampled:,} of {result.request.size:,} points; results.csv has all"
        with style("neurips"):
            figure.suptitle("; ".join(filter(None, [figure.get_suptitle(), note])), fontsize="medium")

    pictures = dict.fromkeys(paths[:-1], partial(save, figure))
    return write_independently({**pictures, paths[-1]: partial(write_csv, numbers)})


def _draw_losses(result: "SweepResult") -> dict[Path, str]:
    """Write the training losses at the last point of a sweep; return the reason if they were not written.

    Sweeps that are too large to show all their points have no figure of losses.
    """
    from pidlab.io import write_independently
    from pidlab.plots.loss import loss_figure
    from pidlab.plots.style import save
    from pidlab.results.means import find_axis_groups, list_points, point_columns, rows_at
    from pidlab.sweeps.run import read_losses
    from pidlab.sweeps.store import Store

    path, stored = result.directory / "loss.svg", result.directory / "results.sqlite"
    if result.sampled or not stored.is_file():
        return {}
    with closing(Store(stored, reading=True)) as store:
        losses = read_losses(store)
    losses = losses[losses["run"].isin(result.shown["run"])]
    if losses.empty:
        return {}
    groups = find_axis_groups(losses, result.request.axis_groups)

    def draw(place: Path) -> None:
        last = list_points(losses, point_columns(losses, groups))[-1]
        save(loss_figure(rows_at(losses, last), groups)[0], place)

    return write_independently({path: draw})


def write_readability_files(table: "pd.DataFrame", directory: Path) -> None:
    """Write readability.{pdf,svg,png} from the rows of readability.csv.

    Args:
        table: Rows that `run_readability` returned.
        directory: Folder to write to.

    Raises:
        InvalidRequest: If the folder cannot be written to.
    """
    from pidlab.io import write_independently
    from pidlab.plots.readability import readability_figure
    from pidlab.plots.style import FORMATS, save

    if table.empty:
        return
    figure, _ = readability_figure(table)
    paths = [directory / f"readability.{suffix}" for suffix in FORMATS]
    _require_written(directory, write_independently(dict.fromkeys(paths, partial(save, figure))))


def _axis(values: "AxisValues") -> "AxisValues":
    """Return numbers as the command line reads them: as floats."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return [_axis(value) for value in values]
    is_number = isinstance(values, Real) and not isinstance(values, bool)
    return float(values) if is_number else values


def _references(objectives: Objective | Sequence[Objective] | None) -> list[str] | None:
    """Return references to objectives; None for the default objectives."""
    if objectives is None:
        return None
    listed = (
        objectives if isinstance(objectives, Sequence) and not isinstance(objectives, str) else [objectives]
    )
    from pidlab.objectives.load import reference_of

    return [reference_of(objective) for objective in listed]


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
