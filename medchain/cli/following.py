"""``medchain follow``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchain.cli.output import counted, named, print_json, print_lines
from medchain.cli.parsing import EPILOG, Formatter

if TYPE_CHECKING:
    from medchain.transparency import PublishedLog

__all__ = ["add_command"]


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    follow = commands.add_parser(
        "follow",
        help="keep a verified copy of a published log",
        description="Fetch what a published log (C2SP tlog-tiles) has grown by, check every hash, signature and rule\n"
        "of form, and add it to a copy. A log that has forked, or shows less than before, is not followed any\n"
        "more; the evidence that convicts it is kept beside the copy. Once, or every N seconds with --every.\n"
        "With --audit also read the copy again and report: who vouches, entries by contract and outcome,\n"
        "gaps in time, refusals, emergency uses. Entries are not executed: that takes the contracts, by\n"
        "PublishedLog in a program.",
        epilog=f"{EPILOG}\nexamples: medchain follow https://log.clinic.example/ copy --trust readers.trust\n"
        "          medchain follow /var/www/log copy --trust readers.trust --audit --json\n"
        "evidence of a fork: medchain verify copy/fork-….txt --trust readers.trust",
        formatter_class=Formatter,
    )
    follow.add_argument("source", metavar="SOURCE", help="where the log is published: a URL, or a directory")
    follow.add_argument("copy", metavar="COPY", help="where the copy lies, or shall lie: a folder")
    follow.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="whom to believe: a trust file"
    )
    follow.add_argument(
        "--every", type=float, metavar="N", help="go on, updating every N seconds, until interrupted"
    )
    follow.add_argument("--audit", action="store_true", help="report on the whole copy")
    follow.add_argument(
        "--json", action="store_true", help="print one JSON object, or with --every one each time"
    )
    follow.set_defaults(run=_follow)


def _follow(options: argparse.Namespace) -> int:
    from medchain.transparency import PublishedLog

    if options.every is not None and options.audit:
        raise ValueError("--audit reports once; --every goes on")
    with PublishedLog(options.source, options.trust, options.copy) as log, _evidence_named(log):
        if options.every is not None:
            return _go_on(log, options)
        with counted("follow") as progress:
            update = log.update(progress)
        if options.audit:
            return _audit(log, options.json)
        _show(_described(log, update), options.json)
    return 0


@contextlib.contextmanager
def _evidence_named(log: PublishedLog) -> Iterator[None]:
    """Say where the evidence is, if there is a fork."""
    from medchain.errors import Forked

    try:
        yield
    except Forked:
        if log.evidence_file is not None:
            print(f"medchain: the evidence is in {log.evidence_file}", file=sys.stderr)
        raise


def _go_on(log: PublishedLog, options: argparse.Namespace) -> int:
    """Update until interrupted; what stops it for good is raised."""

    def trouble(error: Exception) -> None:
        print(f"medchain: {type(error).__name__}: {error}", file=sys.stderr, flush=True)

    def told(update: Any) -> None:
        _show(_described(log, update), options.json)
        sys.stdout.flush()

    with log.follow(told, every=options.every, on_trouble=trouble) as following:
        while not following.wait(1.0):
            pass
    if following.error is not None:
        raise following.error
    return 0


def _audit(log: PublishedLog, as_json: bool) -> int:
    with counted("audit") as progress:
        report = log.audit(progress)
    if as_json:
        print_json(report.to_json())
    else:
        print(report)
    return 0


def _described(log: PublishedLog, update: Any) -> dict[str, Any]:
    vouchers = log.trust.verify(update.checkpoint)
    return {
        "followed": log.source.name,
        "origin": update.checkpoint.origin,
        "size": update.checkpoint.size,
        "root": update.checkpoint.root.hex(),
        "new_leaves": update.added,
        "signed_by": list(vouchers.log),
        "witnesses": list(vouchers.witnesses),
    }


def _show(shown: dict[str, Any], as_json: bool) -> None:
    keys: dict[str, Any] = {
        name: [(str if as_json else named)(key) for key in shown[name]] for name in ("signed_by", "witnesses")
    }
    if as_json:
        print_json(shown | keys)
    else:
        print_lines({key: value for key, value in (shown | keys).items() if value != []}, "")
