"""``medchain audit``."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medchain.cli.output import counted, plain, print_json, require
from medchain.cli.parsing import EPILOG, PLACE, PLACES, Formatter
from medchain.storage.places import Place

__all__ = ["add_command"]


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
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
    audit.add_argument("--json", action="store_true", help="print one JSON object")


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
