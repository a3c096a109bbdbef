"""What the parsers of all commands share."""

from __future__ import annotations

import argparse

__all__ = ["EPILOG", "Formatter"]

EPILOG = """\
exit status: 0 it holds; 1 it does not; 2 wrong call or unreadable file; 130 interrupted
"""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help texts as they are written."""


# verify
