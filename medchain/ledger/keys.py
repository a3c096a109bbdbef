"""The system contract ``keys``: who is a party of the chain, and which keys speak for it at what time.

A sponsor (an authority of now, or an organisation) registers a newcomer and signs first; the newcomer signs second with
the key in the message, and key and recipient key must hash to the id that it claims. Rotation is signed by the old key
and then the new one. Rows are never deleted: an old signature keeps its meaning for its time.

Authorities and members of the gate cannot be revoked while they are that, not even by themselves: one of them could
shut the others out otherwise. They rotate their keys, or governance removes them first.
"""

from __future__ import annotations

from attrs import field, frozen

from medchain.errors import EncodingError, VerificationError
from medchain.keys.party import Party
from medchain.keys.signing import check_public_key
from medchain.ledger.contract import NAME, Context, Contract, handles
from medchain.ledger.governance.rows import GATE, GovernanceTables
from medchain.ledger.tables import Rows, Table
from medchain.ledger.transaction import Body, SignerRef
from medchain.records import form, from_value, length, short

__all__ = [
    "KINDS",
    "Keys",
    "PartyRow",
    "RecipientRow",
    "Register",
    "Registered",
    "Revoke",
    "Rotate",
    "SigningRow",
]

KINDS = ("authority", "organisation", "person", "pseudonym", "gate")


@frozen
class Register:
    """Admit a party. Signers: sponsor, newcomer."""

    kind: str = field(validator=form(NAME))
    signing_key: bytes = field(validator=length(32), repr=short)
    recipient_key: bytes = field(validator=length(1216), repr=short)


@frozen
class Rotate:
    """Replace both keys of a party. Signers: the party with its old key, the party with the new one."""

    signing_key: bytes = field(validator=length(32), repr=short)
    recipient_key: bytes = field(validator=length(1216), repr=short)


@frozen
class Revoke:
    """End a party's keys. Signers: the party itself, or its sponsor if that is one still."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class Registered:
    """A party was admitted."""

    party: bytes = field(validator=length(32), repr=short)
    kind: str = field(validator=form(NAME))
    sponsor: bytes = field(validator=length(32), repr=short)


@frozen
class Rotated:
    """A party has new keys."""

    party: bytes = field(validator=length(32), repr=short)
    key: bytes = field(validator=length(16), repr=short)


@frozen
class Revoked:
    """A party's keys have ended."""

    party: bytes = field(validator=length(32), repr=short)


@frozen
class PartyRow:
    """A party: its kind, who vouched for it (None at genesis), its current keys (None once revoked)."""

    kind: str
    sponsor: bytes | None
    since: int
    key: bytes | None
    recipient: bytes | None


def organisation(party: bytes, row: PartyRow) -> bytes:
    """Whose side a party is on: itself if it is an organisation or stands in the genesis, else its sponsor.

    A party's sponsor and kind never change, so neither does this.
    """
    if row.kind == "organisation" or row.sponsor is None:
        return party
    return row.sponsor


@frozen
class SigningRow:
    """A signing key of a party: block times (ms) from which and until which it signs."""

    signing_key: bytes = field(validator=length(32), repr=short)
    since: int = field()
    until: int | None = field()


@frozen
class RecipientRow:
    """A recipient key of a party, with its time."""

    recipient_key: bytes = field(validator=length(1216), repr=short)
    since: int = field()
    until: int | None = field()


class Keys(Contract):
    """Parties and their keys."""

    name = "keys"
    version = 1
    events = (Registered, Rotated, Revoked)
    codes = (
        "not-a-sponsor",
        "already-registered",
        "unknown-kind",
        "bad-key",
        "unknown-party",
        "not-yours",
        "in-office",
        "wrong-signers",
    )

    parties = Table(PartyRow, public=True)
    signing = Table(SigningRow, public=True)
    recipients = Table(RecipientRow, public=True)

    @handles(Register)
    def register(self, context: Context, message: Register) -> None:
        """Admit a party under a sponsor."""
        context.require(len(context.signers) == 2, "wrong-signers")
        context.require(self._sponsors(context, context.signers[0]), "not-a-sponsor")
        context.require(message.kind in KINDS[1:4], "unknown-kind")
        party = _party(message, context)
        context.require(party.id == context.signers[1], "wrong-signers")
        context.require(party.id not in self.parties, "already-registered")
        self.admit(party, message.kind, context.signers[0], context.time)
        context.emit(Registered(party.id, message.kind, context.signers[0]))

    @handles(Rotate)
    def rotate(self, context: Context, message: Rotate) -> None:
        """Give a party new keys; the old ones sign nothing from now on."""
        context.require(
            len(context.signers) == 2 and context.signers[0] == context.signers[1], "wrong-signers"
        )
        party = _party(message, context)
        row = self.parties[context.signers[0]]
        context.require(
            (context.signers[0], party.key_id) not in self.signing
            and (context.signers[0], party.recipient_id) not in self.recipients,
            "already-registered",
        )
        self._end(context.signers[0], row, context.time)
        new = Party(message.signing_key, message.recipient_key, context.signers[0])
        self.admit(new, row.kind, row.sponsor, context.time, since=row.since)
        context.emit(Rotated(new.id, new.key_id))

    @handles(Revoke)
    def revoke(self, context: Context, message: Revoke) -> None:
        """End a party's keys: lost, stolen, left."""
        row = self.parties.get(message.party)
        if row is None or row.key is None:
            context.refuse("unknown-party")
        signer = context.signers[0]
        theirs = signer == row.sponsor and self._sponsors(context, signer)
        context.require(signer == message.party or theirs, "not-yours")
        context.require(message.party not in context.read(GovernanceTables.authorities), "in-office")
        gate = context.read(GovernanceTables.gate).get(GATE)
        context.require(gate is None or message.party not in gate.members, "in-office")
        self._end(message.party, row, context.time)
        self.parties[message.party] = PartyRow(row.kind, row.sponsor, row.since, None, None)
        context.emit(Revoked(message.party))

    def _sponsors(self, context: Context, party: bytes) -> bool:
        """Whether a party registers others: an organisation, or an authority as long as it is one."""
        row = self.parties.get(party)
        organisation = row is not None and row.kind == "organisation"
        return organisation or party in context.read(GovernanceTables.authorities)

    def admit(
        self, party: Party, kind: str, sponsor: bytes | None, now: int, since: int | None = None
    ) -> None:
        """Write the rows of a party's current keys."""
        row = PartyRow(kind, sponsor, now if since is None else since, party.key_id, party.recipient_id)
        self.parties[party.id] = row
        self.signing[party.id, party.key_id] = SigningRow(party.signing_key, now, None)
        self.recipients[party.id, party.recipient_id] = RecipientRow(party.recipient_key, now, None)

    def _end(self, party: bytes, row: PartyRow, now: int) -> None:
        if row.key is None or row.recipient is None:
            return
        signing, recipient = self.signing[party, row.key], self.recipients[party, row.recipient]
        self.signing[party, row.key] = SigningRow(signing.signing_key, signing.since, now)
        self.recipients[party, row.recipient] = RecipientRow(recipient.recipient_key, recipient.since, now)


def _party(message: Register | Rotate, context: Context) -> Party:
    """The party that the keys in a message make; refused if the signing key is no sound point."""
    try:
        check_public_key(message.signing_key)
        return Party.of(message.signing_key, message.recipient_key)
    except (EncodingError, VerificationError, ValueError):
        context.refuse("bad-key")


def current_party(rows: Rows, party: bytes) -> Party | None:
    """A party with its current keys as the state has them, or None if unknown or revoked."""
    row = Keys.parties.view(rows).get(party)
    if row is None or row.key is None or row.recipient is None:
        return None
    signing = Keys.signing.view(rows)[party, row.key]
    recipient = Keys.recipients.view(rows)[party, row.recipient]
    return Party(signing.signing_key, recipient.recipient_key, party)


def signing_keys(rows: Rows, body: Body) -> list[bytes | None]:
    """The public key of each signer of a body, None where the state has no live one.

    The key of a newcomer, and the new key in a rotation, is the one in the message. It signs second: the first signer
    is always known to the state, so that strangers can neither grow the log nor leave rows behind.
    """
    table = Keys.signing.view(rows)
    keys: list[bytes | None] = []
    for place, signer in enumerate(body.signers):
        row = table.get((signer.party, signer.key))
        if row is not None:
            keys.append(row.signing_key if row.until is None else None)
        else:
            keys.append(_brought_key(body, signer) if place == 1 else None)
    return keys


def _brought_key(body: Body, signer: SignerRef) -> bytes | None:
    """The key that a registration or rotation brings along for its second signer, if it is that signer's."""
    kind = {"register": Register, "rotate": Rotate}.get(body.message_name)
    if body.contract != Keys.name or kind is None:
        return None
    try:
        message: Register | Rotate = from_value(kind, body.message[1])
        brought = Party.of(message.signing_key, message.recipient_key)
    except (EncodingError, ValueError):
        return None
    owner = brought.id if kind is Register else body.signers[0].party
    return brought.signing_key if (owner, brought.key_id) == (signer.party, signer.key) else None
