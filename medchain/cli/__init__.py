"""The command line: check proofs, read chains again, look inside, publish and follow logs.

Exit status: 0 it holds, 1 it does not (the reason is on standard error), 2 the call is wrong or a file cannot be read,
130 interrupted.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from medchain.cli import (
    auditing,
    completion,
    following,
    inspecting,
    publishing,
    snapshots,
    verifying,
    witnessing,
)
from medchain.cli.parsing import EPILOG, Formatter, Parser
from medchain.errors import MedchainError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no "…" shows "?" in its place
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        result: int = options.run(options)
        sys.stdout.flush()
        return result
    except MedchainError as error:
        print(f"medchain: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ImportError, OSError, LookupError, OverflowError, TypeError, ValueError) as error:
        # ImportError: an extra may be missing
        print(f"medchain: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("medchain: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    from medchain import __version__

    parser = Parser(
        prog="medchain", description=__doc__.partition("\n")[0], epilog=EPILOG, formatter_class=Formatter
    )
    parser.add_argument("--version", action="version", version=f"medchain {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for each in (verifying, auditing, inspecting, publishing, following, witnessing, completion):
        each.add_command(commands)
    snapshots.add_commands(commands)
    return parser
