"""The command ``xcos``: parse, build, call one function, print."""

from xcos.cli.main import main

__all__ = ["main"]
