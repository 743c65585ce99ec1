"""The command line: `nanodex --help`."""

from nanodex.cli.app import app, main

__all__ = ["app", "main"]
