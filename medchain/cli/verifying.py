"""``medchain verify``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medchain.cli.leaves import described
from medchain.cli.output import moment, named, plain, print_json, print_lines, printable, read
from medchain.cli.parsing import EPILOG, Formatter

__all__ = ["add_command"]


def add_command(commands: Any) -> None:
    """Add it to the subparsers of the command line."""
    verify = commands.add_parser(
        "verify",
        help="check a proof offline",
        description="Check a proof (C2SP tlog-proof), or evidence of a fork, against a trust file and say what it\n"
        "proves. Needs no chain and no network. The trust file must not come from whoever made the proof.",
        epilog=EPILOG + "\nexample: medchain verify decision.tlog-proof --trust clinic.trust",
        formatter_class=Formatter,
    )
    verify.add_argument("proof", type=Path, metavar="PROOF", help="the proof file")
    verify.add_argument(
        "--trust", type=Path, required=True, metavar="FILE", help="whom to believe: a trust file"
    )
    verify.set_defaults(run=_verify)
    verify.add_argument("--json", action="store_true", help="print one JSON object")


def _verify(options: argparse.Namespace) -> int:
    from medchain.ledger.proof import PROOF_LIMIT, LogProof, read_extra
    from medchain.ledger.trust import Trust
    from medchain.ledger.verify import Absent, Consistency, verify
    from medchain.transparency.evidence import FIRST_LINE

    trust = Trust.load(options.trust)
    data = read(options.proof, PROOF_LIMIT)
    if data.startswith(FIRST_LINE.encode()):
        return _convict(data, trust, options.json)
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
        shown.update(described(found.value))
    if options.json:
        print_json(shown)
    else:
        print(f"verified: {told}")
        lines = {key: value for key, value in shown.items() if key in _SHOWN_KEYS and value is not None}
        print_lines(lines)
        alone = ["alone: no witness watches it"] if found.order_by == found.state_by else []
        print_lines({"order_by": [*found.order_by, *alone], "state_by": list(found.state_by)})
    return 0


def _convict(data: bytes, trust: Any, as_json: bool) -> int:
    """Evidence of a fork: whom it convicts."""
    from medchain.transparency.evidence import Evidence

    evidence = Evidence.parse(data)
    keys = evidence.verify(trust)
    by_log = any(key in trust.log_keys for key in keys)
    shown = {
        "verified": True,
        "what": "fork" if by_log else "contradiction of a witness",
        "log_convicted": by_log,
        "summary": evidence.summary_for(trust),
        "origin": evidence.first.origin,
        "first": {"size": evidence.first.size, "root": evidence.first.root.hex()},
        "second": {"size": evidence.second.size, "root": evidence.second.root.hex()},
        "convicts": [str(key) for key in keys],
    }
    if as_json:
        print_json(shown)
    else:
        print(printable(f"verified: {'a fork' if by_log else 'a false witness'}. {shown['summary']}"))
        print_lines({"convicts": [named(key) for key in keys]})
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
