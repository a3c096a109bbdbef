"""What the parsers of all commands share."""

from __future__ import annotations

import argparse
from typing import NoReturn

from medchain.storage.places import without_passwords

__all__ = ["EPILOG", "PLACE", "PLACES", "Formatter", "Parser", "port"]

EPILOG = """\
exit status: 0 it holds; 1 it does not; 2 wrong call or unreadable file; 130 interrupted
"""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help texts as they are written."""


PLACE = "where the chain lies: its folder, or a PostgreSQL schema"
"""Help for an argument that names a chain."""

PLACES = """\
where chains lie:
  clinic.medchain                       a folder, whatever store is in it; a new chain gets LMDB
  sqlite:clinic.medchain, lmdb:…        a folder, and which store
  postgresql://user@host/db?schema=ehr  a schema in PostgreSQL (extra postgres). Its password comes from a file
                                        (~/.pgpass) or the environment (PGPASSWORD): other users see command lines
"""


def port(text: str) -> int:
    """A port to listen on, 0 for any."""
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"a port is a number from 0 to 65535, not {text!r}")
    return int(text)


class Parser(argparse.ArgumentParser):
    """A parser whose messages repeat a wrong call without the passwords in it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with a call, and end with exit status 2."""
        super().error(without_passwords(message))
