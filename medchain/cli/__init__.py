"""The command line: check proofs, read chains again, look inside.

Exit status: 0 it holds, 1 it does not (the reason is on standard error), 2 the call is wrong or a file cannot be read,
130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medchain.cli import snapshots
from medchain.cli.output import counted, moment, plain, print_json, print_lines, read, require
from medchain.cli.parsing import EPILOG, PLACE, PLACES, Formatter, Parser
from medchain.errors import MalformedProof, MedchainError
from medchain.storage.places import Place

__all__ = ["main"]

NOTE_SIGNATURE = "\n\n— ".encode()
"""What every signed note has in it, a damaged one too."""


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
    except (ImportError, OSError, LookupError, TypeError, ValueError) as error:  # an extra may be missing
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

    verify = commands.add_parser(
        "verify",
        help="check a proof offline",
        description="Check a proof (C2SP tlog-proof) against a trust file and say what it proves. Needs no chain and\n"
        "no network. The trust file must not come from whoever made the proof.",
        epilog=EPILOG + "\nexample: medchain verify decision.tlog-proof --trust clinic.trust",
        formatter_class=Formatter,
    )
    verify.add_argument("proof", type=Path, metavar="PROOF", help="the proof file")
    verify.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="whom to believe: a trust file"
    )
    verify.set_defaults(run=_verify)

    audit = commands.add_parser(
        "audit",
        help="read a whole chain again from its genesis, and the sealed data that it names",
        description="Execute every entry of a chain again and compare every hash, signature, outcome and row.\n"
        "With --blobs also look for all sealed data that its records name, store by store: what is missing,\n"
        "damaged, or erased and still there. Needs no keys and changes nothing.",
        epilog=f"{PLACES}\n{EPILOG}\nexamples: medchain audit clinic.medchain --trust clinic.trust\n"
        "          medchain audit clinic.medchain --blobs --blobs /mnt/b/blobs --blobs s3://bucket/clinic\n"
        "keys for an object store come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,\n"
        "AWS_REGION, AWS_ENDPOINT_URL",
        formatter_class=Formatter,
    )
    audit.add_argument("chain", metavar="CHAIN", help=PLACE)
    audit.add_argument(
        "--trust", type=Path, metavar="FILE", help="also check that it is the chain that this file trusts"
    )
    audit.add_argument(
        "--blobs",
        nargs="?",
        const="",
        action="append",
        default=[],
        metavar="PLACE",
        help="also audit the sealed data in this folder, or in this bucket, like s3://bucket/prefix; may be given "
        "several times; without PLACE in the chain's own folder",
    )
    audit.set_defaults(run=_audit)

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
    for command in (verify, audit, inspect):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    snapshots.add_commands(commands)
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a number of entries is 0 or more")
    return number


def _verify(options: argparse.Namespace) -> int:
    from medchain.ledger.proof import PROOF_LIMIT, LogProof, read_extra
    from medchain.ledger.trust import Trust
    from medchain.ledger.verify import Absent, Consistency, verify

    trust = Trust.load(options.trust)
    data = read(options.proof, PROOF_LIMIT)
    kind = _kind_of(read_extra(LogProof.parse(data).extra))
    found: Any = verify(data, kind, trust=trust)
    shown = {
        "verified": True,
        "origin": found.origin,
        "what": "no row" if kind is Absent else kind.__name__.lower(),
        "index": found.as_of.index,
        "height": found.as_of.height,
        "time": moment(found.as_of.time),
        "checkpoint": {"size": found.as_of.head.size, "root": found.as_of.head.root.hex()},
        "latest": found.as_of.latest,
        "order_by": list(found.order_by),
        "state_by": list(found.state_by),
    }
    told = f"{shown['what']} of {found.origin}, {found.as_of}"
    if kind is Consistency:
        old, new = found.value.old, found.value.new
        shown |= {each: {"size": at.size, "root": at.root.hex()} for each, at in (("old", old), ("new", new))}
        told = f"{found.origin} has only grown from size {old.size} to size {new.size}"
    elif found.place is not None:
        shown["place"] = {"contract": found.place[0], "table": found.place[1], "key": plain(found.place[2])}
        shown["row"] = None if kind is Absent else plain(found.value.value)
    else:
        shown.update(_described(found.value))
    if options.json:
        print_json(shown)
    else:
        print(f"verified: {told}")
        lines = {key: value for key, value in shown.items() if key in _SHOWN_KEYS and value is not None}
        print_lines(lines)
        alone = ["alone: no witness watches it"] if found.order_by == found.state_by else []
        print_lines({"order_by": [*found.order_by, *alone], "state_by": list(found.state_by)})
    return 0


def _kind_of(extra: Any) -> type[Any]:
    """What a proof with this extra line claims to prove."""
    from medchain.ledger.entry import Entry, Header, Kind
    from medchain.ledger.proof import ConsistencyExtra, EntryExtra
    from medchain.ledger.verify import Absent, Consistency, Row

    if isinstance(extra, ConsistencyExtra):
        return Consistency
    if isinstance(extra, EntryExtra):
        return Header if extra.leaf[:1] == bytes([Kind.HEADER]) else Entry
    return Absent if extra.row is None else Row


_SHOWN_KEYS = frozenset(
    [
        "old",
        "new",
        "place",
        "row",
        "kind",
        "contract",
        "message",
        "signers",
        "outcome",
        "events",
        "state_root",
    ]
)


def _described(leaf: Any) -> dict[str, Any]:
    """What there is to say about an entry or a header."""
    from medchain.ledger.entry import Header, Kind
    from medchain.ledger.transaction import Transaction

    if isinstance(leaf, Header):
        return {"kind": "header", "state_root": leaf.state_root.hex()}
    described: dict[str, Any] = {"kind": leaf.kind.name.lower()}
    if leaf.kind is Kind.TRANSACTION:
        body = Transaction.from_bytes(leaf.content).body
        described |= {"contract": f"{body.contract}/{body.version}", "message": body.message_name}
        described["signers"] = [signer.party.hex() for signer in body.signers]
    described["outcome"] = leaf.outcome.code
    described["events"] = [_event(event) for event in leaf.outcome.events]
    return described


def _event(event: Any) -> dict[str, Any]:
    """An event and its fields. A log may put anything in their place, or call one of them as we call the event."""
    name, fields = {"event": f"{event.contract}.{event.name}"}, plain(event.value)
    return name | (fields if isinstance(fields, dict) else {"value": fields}) | name


# audit


def _audit(options: argparse.Namespace) -> int:
    from medchain.chain import Chain
    from medchain.errors import UntrustedSigner
    from medchain.ledger.trust import Trust

    trust = Trust.load(options.trust) if options.trust else None
    place = Place.parse(options.chain)
    require(place.folder)
    stores = [_blob_store(each or _own_blobs(place)) for each in options.blobs]
    with Chain.open(options.chain, blobs=stores[0] if stores else None) as chain:
        with counted("audit") as progress:
            report = chain.audit(progress)
        if trust is not None:
            if trust.chain != chain.id:
                raise UntrustedSigner("this is not the chain that the trust file names")
            trust.verify(chain.checkpoint())
        sealed = _audit_blobs(chain, stores) if stores else None
    holds = sealed is None or sealed.holds
    if options.json:
        outcomes = [
            {"contract": of, "code": code, "entries": count} for (of, code), count in report.outcomes.items()
        ]
        print_json(
            {
                "holds": holds,
                "origin": report.origin,
                "chain": report.chain.hex(),
                "size": report.head.size,
                "root": report.head.root.hex(),
                "height": report.height,
                "rows": report.rows,
                "outcomes": outcomes,
                **({} if sealed is None else {"blobs": _described_blobs(sealed)}),
            }
        )
    else:
        print(report)
        if trust is not None:
            print(f"  the last checkpoint is signed by {', '.join(map(str, trust.log_keys))}")
        if sealed is not None:
            print(sealed)
    if sealed is not None and not sealed.holds:
        print(f"medchain: {sealed.summary}", file=sys.stderr)
        return 1
    return 0


def _own_blobs(place: Place) -> str:
    if place.folder is None:
        raise ValueError(f"{place} is no folder: say where the sealed data is, --blobs PLACE")
    return str(place.folder / "blobs")


def _blob_store(place: str) -> Any:
    """The blob store at a place; one that does not answer is a finding, and not the end."""
    from functools import partial

    from medchain.errors import StorageError
    from medchain.storage import FileBlobs, LateBlobs, ObjectBlobs

    if "://" not in place:
        return FileBlobs(place, read_only=True)
    store = LateBlobs(partial(ObjectBlobs.at, place, read_only=True), place)
    with contextlib.suppress(StorageError):
        _ = store.store  # now, so that a call that is wrong ends before the long work
    return store


def _audit_blobs(chain: Any, stores: Sequence[Any]) -> Any:
    from medchain.access import audit_blobs

    with counted("audit of sealed data") as progress:
        return audit_blobs(chain, progress, stores=stores)


def _described_blobs(report: Any) -> dict[str, Any]:
    """A report on sealed data for JSON."""
    import attrs

    shown: dict[str, Any] = plain(attrs.asdict(report))
    lost = [finding.lost for finding in report.findings]
    findings = [{**finding, "lost": gone} for finding, gone in zip(shown["findings"], lost, strict=True)]
    return {"holds": report.holds, **shown, "findings": findings}


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
            shown["entries"] = [{"index": index, "height": e.height, **_described(e)} for index, e in last]
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
    if b"\nlog " in b"\n" + data:
        trust = Trust.parse(data)
        return {
            "file": "trust file",
            "origin": trust.origin,
            "log_keys": [str(key) for key in trust.log_keys],
            "chain": trust.chain.hex(),
            "tag": trust.tag.hex(),
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


# printing
