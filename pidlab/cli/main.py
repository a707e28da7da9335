"""`pidlab`: one line for what went wrong, 0 done, 1 some runs failed, 2 the request was wrong."""

import sys

import click
import typer

from pidlab.cli.bench import bench
from pidlab.cli.catalogue import catalogue
from pidlab.cli.sweep import sweep
from pidlab.cli.truth import truth
from pidlab.errors import InvalidRequest

app = typer.Typer(
    name="pidlab",
    help="What a multimodal objective captures, in bits, on data whose information is known.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(sweep)
app.command()(truth)
app.command("list")(catalogue)
app.command()(bench)


@app.callback()
def _pidlab(
    version: bool = typer.Option(False, "--version", help="Print the version and leave.", is_eager=True),
) -> None:
    if version:
        import pidlab

        typer.echo(pidlab.__version__)
        raise typer.Exit


def main() -> None:
    """Entry point."""
    try:
        code = app(standalone_mode=False)
    except (InvalidRequest, click.ClickException) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        if message:
            typer.echo(f"error: {' '.join(message.split())}", err=True)
        code = 2
    except (KeyboardInterrupt, click.Abort):
        typer.echo("stopped: finished cohorts are kept; the same command goes on from there", err=True)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
