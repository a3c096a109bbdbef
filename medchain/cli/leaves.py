"""What there is to say about an entry or a header."""

from __future__ import annotations

from typing import Any

from medchain.cli.output import plain

__all__ = ["described"]


def described(leaf: Any) -> dict[str, Any]:
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
