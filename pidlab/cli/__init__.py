"""The command line."""

from pidlab.cli.main import main

__all__ = ["main"]
