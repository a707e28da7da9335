"""`pidlab`: the commands and their exit codes: 0 done, 1 some runs failed, 2 invalid request."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

from pidlab.cli.bench import bench
from pidlab.cli.check import check
from pidlab.cli.data import catalogue, generate, picture, truth
from pidlab.cli.decompose import EPILOG as FILES
from pidlab.cli.decompose import ESTIMATE_EPILOG as ARRAYS
from pidlab.cli.decompose import decompose, estimate
from pidlab.cli.results import export, plot, report, status, table
from pidlab.cli.study import study
from pidlab.cli.sweep import EPILOG, sweep
from pidlab.cli.terminal import code_of, stoppable
from pidlab.cli.validation import known_answers, readability
from pidlab.errors import InvalidRequest

# typer bundles its own click; this is the base class of its errors about arguments.
UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """The group of commands; it reports a stop and exits with the signal's code, which typer does not."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            typer.echo("stopped", err=True)
            raise typer.Exit(code_of(stop)) from None


app = typer.Typer(
    name="pidlab",
    cls=Commands,
    help="Measure, in bits, what a multimodal objective captures on data whose information is known.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command(epilog=EPILOG)(sweep)
app.command()(readability)
app.command()(status)
app.command()(plot)
app.command()(table)
app.command()(export)
app.command()(report)
app.command()(truth)
app.command(epilog=FILES)(decompose)
app.command(epilog=ARRAYS)(estimate)
app.command()(check)
app.command("list")(catalogue)
app.command()(generate)
app.command()(picture)
app.command()(bench)
app.add_typer(study, name="study")
app.command("known-answers", hidden=True)(known_answers)


@app.callback()
def _pidlab(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    if version:
        import pidlab

        typer.echo(pidlab.__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line and exit."""
    try:
        with stoppable():
            code = app(standalone_mode=False)
    except UsageError as error:
        code = _report_error(error.format_message())
    except InvalidRequest as error:
        code = _report_error(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _report_error(message: str) -> int:
    if message:
        typer.echo(f"error: {' '.join(message.split())}", err=True)
    return 2
