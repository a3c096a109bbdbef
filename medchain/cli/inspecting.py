"""``medchain inspect``."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from medchain.cli.leaves import described
from medchain.cli.output import moment, print_json, print_lines, read, require
from medchain.cli.parsing import EPILOG, PLACES, Formatter
from medchain.errors import MalformedProof
from medchain.storage.places import Place

NOTE_SIGNATURE = "\n\n— ".encode()
"""What every signed note has in it, a damaged one too."""

__all__ = ["add_command"]


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    inspect = commands.add_parser(
        "inspect",
        help="look into a chain, a proof, a checkpoint or a trust file",
        description="Show what a file or a chain says. Nothing is verified: use verify or audit for that.",
        epilog=f"{PLACES}\n{EPILOG}\nexample: medchain inspect clinic.medchain --entries 5",
        formatter_class=Formatter,
    )
    inspect.add_argument("place", metavar="PLACE", help="where a chain lies, or a file")
    inspect.add_argument(
        "--entries", type=_count, default=0, metavar="N", help="also show the last N entries of a chain"
    )
    inspect.set_defaults(run=_inspect)
    inspect.add_argument("--json", action="store_true", help="print one JSON object")


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a number of entries is 0 or more")
    return number


def _inspect(options: argparse.Namespace) -> int:
    path = Place.parse(options.place).folder
    require(path)
    shown = _inspect_file(path) if path is not None and path.is_file() else _inspect_chain(options)
    if options.json:
        print_json(shown)
    else:
        print_lines(shown, indent="")
    return 0


def _inspect_chain(options: argparse.Namespace) -> dict[str, Any]:
    from medchain.chain import Chain

    with Chain.open(options.place) as chain:
        header = chain.header()
        shown: dict[str, Any] = {
            "chain": chain.origin,
            "id": chain.id.hex(),
            "founded": moment(chain.genesis.time),
            "height": header.height,
            "leaves": chain.head.size,
            "root": chain.head.root.hex(),
            "last_block": moment(header.time),
            "log_key": str(chain.trust.log_keys[0]),
            "gate": [party.id.hex() for party in chain.gate.parties] if chain.gate else [],
            "contracts": sorted(header.contracts),
        }
        if options.entries:
            last = list(itertools.islice(_entries_backwards(chain), options.entries))[::-1]
            shown["entries"] = [{"index": index, "height": e.height, **described(e)} for index, e in last]
        return shown


def _entries_backwards(chain: Any) -> Iterator[tuple[int, Any]]:
    """Entries with their log index, the last one first; headers, any number of them, are passed over."""
    from medchain.ledger.entry import Entry

    for index in range(chain.head.size - 1, -1, -1):
        found = chain.entry(index)
        if isinstance(found, Entry):
            yield index, found


def _inspect_file(path: Path) -> dict[str, Any]:
    from medchain.ledger.checkpoint import Checkpoint
    from medchain.ledger.proof import PROOF_LIMIT, ConsistencyExtra, LogProof, StateExtra, read_extra
    from medchain.ledger.trust import Trust
    from medchain.transparency.evidence import FIRST_LINE, Evidence

    data = read(path, PROOF_LIMIT)
    if data.startswith(b"c2sp.org/tlog-proof@"):
        proof = LogProof.parse(data)
        extra = read_extra(proof.extra)
        about = "entry"
        if isinstance(extra, StateExtra):
            about = f"row of {extra.contract}.{extra.table}"
        elif isinstance(extra, ConsistencyExtra):
            about = f"growth since size {proof.inclusion.index + 1}"
        return {
            "file": "tlog-proof (not verified)",
            "about": about,
            "index": proof.inclusion.index,
            **_checkpoint(proof.checkpoint),
        }
    if data.startswith(FIRST_LINE.encode()):
        evidence = Evidence.parse(data)
        first, second = evidence.first, evidence.second
        return {
            "file": "evidence of a fork (not verified)",
            "origin": first.origin,
            "first": {"size": first.size, "root": first.root.hex()},
            "second": {"size": second.size, "root": second.root.hex()},
        }
    if b"\nlog " in b"\n" + data:
        trust = Trust.parse(data)
        return {
            "file": "trust file",
            "origin": trust.origin,
            "log_keys": [str(key) for key in trust.log_keys],
            "chain": trust.chain.hex(),
            "tag": trust.tag.hex(),
            "witnesses": [str(witness.key) for witness in trust.quorum.witnesses],
            "quorum": trust.quorum.name,
            "names": {party.hex(): name for party, name in trust.names.items()},
        }
    try:
        return {"file": "checkpoint (not verified)", **_checkpoint(Checkpoint.parse(data))}
    except MalformedProof as error:
        if NOTE_SIGNATURE in data:
            raise
        raise MalformedProof(f"{path} is neither proof, checkpoint, trust file nor chain") from error


def _checkpoint(checkpoint: Any) -> dict[str, Any]:
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "signatures": [line.name for line in checkpoint.note.signatures],
    }
