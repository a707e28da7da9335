"""`pidlab`: the commands and their exit codes: 0 done, 1 some runs failed, 2 invalid request."""

import sys
from functools import partial
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from pidlab.cli.benchmark import bench
from pidlab.cli.check import check
from pidlab.cli.data import catalogue, generate, picture, plant, truth
from pidlab.cli.decompose import EPILOG as FILES
from pidlab.cli.decompose import ESTIMATE_EPILOG as ARRAYS
from pidlab.cli.decompose import decompose, estimate
from pidlab.cli.results import export, plot, report, status, table
from pidlab.cli.study import study
from pidlab.cli.sweep import EPILOG, sweep
from pidlab.cli.terminal import code_of, heartbeat, print_error
from pidlab.cli.validation import known_answers, readability
from pidlab.errors import InvalidRequest

# typer bundles its own click; this is the base class of its errors about arguments.
UsageError: Any = typer.BadParameter.__base__


# The command that reports its own progress, and the one with a spinner where stderr is a terminal.
SWEEP, SPINNER = "sweep", "check"


class Commands(TyperGroup):
    """Group of commands; a stop exits with the code of its signal, which typer would replace by 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as stop:
            print_error("stopped")
            raise typer.Exit(code_of(stop)) from None


class Command(TyperCommand):
    """A command that refuses an option that is given twice, and shows that it runs.

    typer would use the last value of the option.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments of the command."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for option in order:
                takes_one = not getattr(option, "is_flag", True) and not option.multiple
                if takes_one and order.count(option) > 1:
                    raise InvalidRequest(f"{option.opts[0]} is given twice: give it once")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; print a line from time to time unless the command itself does."""
        has_progress = self.name == SWEEP and not ctx.params.get("dry_run")
        if has_progress or (self.name == SPINNER and sys.stderr.isatty()):
            return super().invoke(ctx)
        with heartbeat(str(self.name)):
            return super().invoke(ctx)


app = typer.Typer(
    name="pidlab",
    cls=Commands,
    help="Measure, in bits, what a multimodal objective captures on data whose information is known.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
command = partial(app.command, cls=Command)
command(epilog=EPILOG)(sweep)
command()(readability)
command()(status)
command()(plot)
command()(table)
command()(export)
command()(report)
command()(truth)
command(epilog=FILES)(decompose)
command(epilog=ARRAYS)(estimate)
command()(check)
command("list")(catalogue)
command()(generate)
command()(plant)
command()(picture)
command()(bench)
app.add_typer(study, name="study")
command("known-answers", hidden=True)(known_answers)


def _print_version(value: bool) -> None:
    if value:
        import pidlab

        typer.echo(pidlab.__version__)
        raise typer.Exit


@app.callback()
def _pidlab(
    version: bool = typer.Option(
        False, "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
    ),
) -> None:
    """Parse the options of `pidlab` itself."""


def run() -> int:
    """Run the command of the command line and return its exit code."""
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        message = error.format_message()
    except InvalidRequest as error:
        message = str(error)
    else:
        return code if isinstance(code, int) else 0
    if message:
        print_error(f"error: {message}")
    return 2
