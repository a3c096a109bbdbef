"""The client of the ``keys`` contract: register, look up, rotate, revoke."""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from attrs import field, frozen

from medchain.chain import Chain
from medchain.consensus.engine import Submission
from medchain.errors import Refused
from medchain.keys.party import Party
from medchain.keys.wallet import Signer, Wallet
from medchain.ledger.draft import Signed
from medchain.ledger.keys import KINDS, Keys, PartyRow, Register, Revoke, Rotate
from medchain.ledger.transition import Receipt
from medchain.records import short

__all__ = ["Parties", "Registration"]


@frozen
class Registration:
    """What a chain says about a party.

    Attributes:
        id: the party's id.
        kind: ``authority``, ``organisation``, ``person``, ``pseudonym`` or ``gate``.
        sponsor: id of the party that vouched for it; None for those whom the genesis names.
        since: block time of the registration, ms since the epoch.
        party: the party with its current keys; None once they are revoked.
    """

    id: bytes = field(repr=short)
    kind: str = field()
    sponsor: bytes | None = field(repr=short)
    since: int = field()
    party: Party | None = field()

    @property
    def revoked(self) -> bool:
        """Whether its keys have ended."""
        return self.party is None

    def __str__(self) -> str:
        day = datetime.datetime.fromtimestamp(self.since / 1000, datetime.UTC).date().isoformat()
        sponsor = f" by party:{self.sponsor[:4].hex()}" if self.sponsor is not None else " at genesis"
        return f"party:{self.id[:4].hex()}, {self.kind}, since {day}{sponsor}{', revoked' if self.revoked else ''}"


class Parties:
    """The parties of a chain.

    Args:
        chain: open for writing where parties are registered, rotated or revoked.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def register(self, *newcomers: Signer, by: Signer, kind: str | None = None) -> tuple[Party, ...]:
        """Register parties under the sponsorship of `by`, an authority or an organisation; all sign.

        All go to the chain at once. A party that is registered already with the same keys is left as it is, so a
        notebook cell may run twice.

        Args:
            newcomers: wallets of the parties.
            by: the sponsor's wallet.
            kind: ``organisation``, ``person`` or ``pseudonym``; by default personas are pseudonyms, others persons.

        Raises:
            Refused: by the contract (``not-a-sponsor``, …), or the party is registered with other keys. Those before
                and after it are registered all the same.
        """
        if kind is not None and kind not in KINDS[1:4]:
            raise ValueError(f"kind is one of {', '.join(KINDS[1:4])}, not {kind!r}")
        sent = [(wallet.party, self._submit(wallet, by, kind)) for wallet in newcomers]
        refusals = [refusal for party, submission in sent if (refusal := self._outcome(party, submission))]
        if refusals:
            raise refusals[0]
        return tuple(party for party, _ in sent)

    def _submit(self, newcomer: Signer, sponsor: Signer, kind: str | None) -> Submission | None:
        party = newcomer.party
        if party.id in self._chain.table(Keys.parties):
            return None
        message = Register(kind or _default_kind(newcomer), party.signing_key, party.recipient_key)
        body = self._chain.prepare(Keys, message, [sponsor.party, party])
        return self._chain.submit(Signed.start(body).sign(sponsor, newcomer))

    def _outcome(self, party: Party, submission: Submission | None) -> Refused | None:
        receipt = None if submission is None else submission.receipt()
        if receipt is not None and receipt.ok:
            return None
        if receipt is not None and receipt.code != "already-registered":
            return Refused(f"{party} is not registered", reason=receipt.code, receipt=receipt)
        if self._chain.party(party.id) == party:
            return None
        return Refused(
            f"{party} is registered with other keys, or revoked", reason="already-registered", receipt=receipt
        )

    def get(self, id: bytes) -> Registration:
        """What the chain says about the party `id`; LookupError if it knows none."""
        row = self._chain.table(Keys.parties).get(id)
        if row is None:
            raise LookupError(f"the chain knows no party {id.hex()}")
        return self._registration(id, row)

    def __contains__(self, id: bytes) -> bool:
        return id in self._chain.table(Keys.parties)

    def find(self, *, kind: str | None = None, sponsor: Party | None = None) -> Iterator[Registration]:
        """All parties, or those of a kind, or those that a sponsor vouched for, by id."""
        for id, row in self._chain.table(Keys.parties).items():
            if kind in (None, row.kind) and (sponsor is None or sponsor.id == row.sponsor):
                yield self._registration(id, row)

    def _registration(self, id: bytes, row: PartyRow) -> Registration:
        return Registration(id, row.kind, row.sponsor, row.since, self._chain.party(id))

    def rotate(self, old: Signer, new: Signer) -> Receipt:
        """Replace the keys of a party by those of `new`, a later generation of the same wallet.

        Old signatures keep their meaning for their time; what was sealed to the old key opens with the old key only.

        Raises:
            ValueError: the two wallets are not of one party.
            Refused: by the contract.
        """
        if old.party.id != new.party.id:
            raise ValueError(f"{new.party} is another party than {old.party}: rotation keeps the id")
        message = Rotate(new.party.signing_key, new.party.recipient_key)
        return self._chain.send(Keys, message, by=[old, new])

    def revoke(self, party: Party, *, by: Signer) -> Receipt:
        """End the keys of a party: lost, stolen, left. `by` is the party itself, or its sponsor if that still is one.

        Raises:
            Refused: ``unknown-party``, ``not-yours``; ``in-office``: it is an authority or a member of the gate.
        """
        return self._chain.send(Keys, Revoke(party.id), by=[by])


def _default_kind(wallet: Signer) -> str:
    """A persona appears as a pseudonym, everybody else as a person."""
    pairwise = isinstance(wallet, Wallet) and wallet.derivation.counterparty is not None
    return "pseudonym" if pairwise else "person"
