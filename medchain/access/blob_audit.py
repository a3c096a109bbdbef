"""Auditing sealed data without a key: does every store hold, whole, what the records on the chain name?

Records, approvals and erasures come from the chain's state, which `Chain.audit` checks. From a record's hashes follow
header and dealing, from these envelopes and payload, and from the roots in the header each part of the ciphertext. The
stores are only read: what one lacks is not put back, so that an audit shows what there is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from attrs import define, frozen

from medchain.access.blob_report import AuditedStore, BlobReport, Copy, Finding, Flaw
from medchain.access.contract import AccessContract
from medchain.access.rows import RecordRow
from medchain.chain import Chain
from medchain.errors import BlobDamaged, BlobMissing, EncodingError, InvalidBlock, StorageError
from medchain.ledger.audit import Progress
from medchain.sealing.checking import check_payload
from medchain.sealing.documents import Dealing, Header
from medchain.storage.blobs import BlobStore
from medchain.storage.replicated import ReplicatedBlobs

__all__ = ["audit_blobs"]

DOCUMENT_LIMIT = 64 << 20

D = TypeVar("D", Header, Dealing)
T = TypeVar("T")
Wrong = tuple[str, tuple[int, ...]]
"""A flaw, and the parts that it concerns."""


def audit_blobs(
    chain: Chain, progress: Progress | None = None, *, stores: Sequence[BlobStore] | None = None
) -> BlobReport:
    """Look in every store for everything that the chain's records name, and compare every hash.

    Nothing is repaired and nothing is raised for what is found: see ``report.holds`` and ``report.findings``. A store
    that does not answer is named in the report, and the others are audited.

    Args:
        chain: open for reading will do; records that are added meanwhile are left out.
        progress: called as ``progress(bytes read, bytes in all)``; the second is None until it is known.
        stores: which ones; by default the chain's own, the members of a `ReplicatedBlobs` one by one.

    Raises:
        InvalidBlock: the chain's rows contradict one another.
    """
    return _Audit(chain, _members([chain.blobs] if stores is None else stores), progress).run()


def _members(stores: Iterable[BlobStore]) -> list[BlobStore]:
    """Stores one by one: those that are made of several would repair what they read."""
    found: list[BlobStore] = []
    for store in stores:
        found += _members(store.stores) if isinstance(store, ReplicatedBlobs) else [store]
    return found


@define(eq=False)
class _Place:
    """A store in the course of the audit; `error` once it does not answer."""

    position: int
    store: BlobStore
    error: str | None = None
    good: int = 0
    findings: int = 0

    def ask(self, question: Callable[[BlobStore], T]) -> T | None:
        """What the store answers; None, and a note, if it does not. BlobMissing and BlobDamaged are answers."""
        if self.error is not None:
            return None
        try:
            return question(self.store)
        except (BlobMissing, BlobDamaged):
            raise
        except StorageError as error:
            self.error = str(error)
            return None

    @functools.cached_property
    def remains(self) -> frozenset[bytes]:
        """Erased objects under which something lies."""
        return frozenset(self.store.remains())


@frozen
class _Share:
    """A re-sealed share that an approval names."""

    request: bytes
    holder: bytes
    blob: bytes


class _Audit:
    """All records against all stores: first the documents of each, then the payloads, whose sizes are known by then."""

    def __init__(self, chain: Chain, stores: Sequence[BlobStore], progress: Progress | None) -> None:
        self.chain = chain
        self.places = [_Place(position, store) for position, store in enumerate(stores)]
        self._progress = progress
        self._records = chain.table(AccessContract.records)
        self._read = 0
        self._total: int | None = None

    def run(self) -> BlobReport:
        for place in self.places:
            place.ask(
                lambda store: store.list(bytes(32))
            )  # does it answer? there may be no record to ask about
        ids = list(self._records)
        shares = self._shares()
        findings: list[Finding] = []
        payloads: dict[bytes, int] = {}
        erased = 0
        for id in ids:
            one = self._visit(id, functools.partial(_Record.check_documents, shares=shares.get(id, ())))
            findings += one.findings
            erased += one.row.erased is not None
            if one.payload:
                payloads[id] = one.payload
        self._total = self._read + sum(payloads.values()) * len(self.answering)
        for id in payloads:
            findings += self._visit(id, _Record.check_payload).findings
        return BlobReport(
            origin=self.chain.origin,
            chain=self.chain.id,
            records=len(ids),
            erased=erased,
            size=self._read,
            stores=tuple(
                AuditedStore(repr(place.store).strip("<>"), place.error, place.good, place.findings)
                for place in self.places
            ),
            findings=tuple(sorted(findings, key=lambda finding: finding.record)),
        )

    @property
    def answering(self) -> list[_Place]:
        """The stores that have not failed yet."""
        return [place for place in self.places if place.error is None]

    def count(self, size: int) -> None:
        """Note that bytes were read."""
        self._read += size
        if self._progress is not None:
            self._progress(self._read, self._total)

    def _visit(self, id: bytes, check: Callable[[_Record], None]) -> _Record:
        """Check a record as its row stands; if it was erased in the meantime, once more as what it is now."""
        one = _Record(self, id, self._records[id])
        check(one) if one.row.erased is None else one.check_erasure()
        if one.findings and one.row.erased is None:
            now = self._records[id]
            if now.erased is not None:
                one = _Record(self, id, now)
                one.check_erasure()
        return one

    def _shares(self) -> dict[bytes, list[_Share]]:
        """The re-sealed shares that approvals name, by record."""
        requests = self.chain.table(AccessContract.requests)
        shares: dict[bytes, list[_Share]] = {}
        for (request, holder), approval in list(self.chain.table(AccessContract.approvals).items()):
            row = requests.get(request)
            if row is None:
                raise InvalidBlock(
                    f"an approval names request {request.hex()}, which the chain does not have"
                )
            shares.setdefault(row.record, []).append(_Share(request, holder, approval.share))
        return shares


class _Record:
    """One record, and what is found out about it."""

    def __init__(self, audit: _Audit, id: bytes, row: RecordRow) -> None:
        self._audit = audit
        self._id = id
        self.row = row
        self._places = audit.answering
        self.findings: list[Finding] = []
        self.payload = 0
        """Bytes of its payload, once that is known."""

    # What is checked

    def check_erasure(self) -> None:
        """A record that is erased is erased in every store."""

        def look(place: _Place) -> Wrong | None:
            if not place.store.erased(self.row.object):
                return (Flaw.STILL_THERE if place.store.list(self.row.object) else Flaw.NO_TOMBSTONE), ()
            return (Flaw.STILL_THERE, ()) if self.row.object in place.remains else None

        self._compare("object", None, look)

    def check_documents(self, shares: Iterable[_Share]) -> None:
        """Header, dealing, envelopes and shares of a record are in every store, and are what the chain names."""
        self._places = self._compare("object", None, self._there)
        header = self._document(Header, "header", self.row.header)
        dealing = self._document(Dealing, "dealing", self.row.dealing)
        if header is not None:
            self.payload = header.offsets[-1]
        if dealing is not None:
            for clause, deals in zip(dealing.policy.clauses, dealing.clauses, strict=True):
                for deal in deals:
                    gate = " of the gate" if deal.gate else ""
                    self._blob(f"envelope of {_party(deal.holder)}{gate} under {clause.name}", deal.envelope)
        for share in shares:
            self._blob(f"share by {_party(share.holder)} for request {share.request.hex()[:12]}…", share.blob)

    def check_payload(self) -> None:
        """The ciphertext of every part is in every store, and has the root that the header names."""
        self._places = [place for place in self._places if self._ask(place, self._there) is None]
        header = self._header()
        if header is None or header.payload is None:  # it was there when the documents were checked
            self._blob("header", self.row.header)
            return
        payload, size = header.payload, header.offsets[-1]

        def look(place: _Place) -> Wrong | None:
            stored = place.store.size(self.row.object, payload)
            read = functools.partial(place.store.read, self.row.object, payload)
            found = check_payload(header, read, self._audit.count)
            if found.digest == payload and stored == size:
                return (Flaw.CONTRADICTORY, found.damaged) if found.damaged else None
            return Flaw.DAMAGED, found.damaged

        self._compare("payload", payload, look)

    def _header(self) -> Header | None:
        """The header, already checked, from any store that gives it."""
        for place in self._places:
            try:
                return Header.from_bytes(
                    place.store.get(self.row.object, self.row.header, limit=DOCUMENT_LIMIT)
                )
            except StorageError:
                continue
        return None

    def _there(self, place: _Place) -> Wrong | None:
        """What is wrong with the object as a whole; where it is, its blobs are looked at one by one."""
        if place.store.erased(self.row.object):
            return Flaw.NOT_ORDERED, ()
        return None if place.store.list(self.row.object) else (Flaw.MISSING, ())

    # How

    def _document(self, kind: type[D], what: str, digest: bytes) -> D | None:
        """A document that the chain names, from a store that has it; None if none has, or if it does not fit."""
        good = self._blob(what, digest)
        for place in good:
            try:
                document = kind.from_bytes(place.store.get(self.row.object, digest, limit=DOCUMENT_LIMIT))
            except StorageError:
                continue  # it was there a moment ago
            except EncodingError:
                document = None
            if document is not None and self._fits(document):
                return document
            self._note(what, digest, [(each, (Flaw.CONTRADICTORY, ())) for each in good], [])
            break
        return None

    def _fits(self, document: Header | Dealing) -> bool:
        """Whether a document says of the record what the chain says of it."""
        if isinstance(document, Header):
            place = document.object, document.chain
            return place == (self.row.object, self._audit.chain.id) and document.payload is not None
        return (document.header, document.policy.hash) == (self.row.header, self.row.policy)

    def _blob(self, what: str, digest: bytes) -> list[_Place]:
        """Compare the hash of a blob in every store; gives the stores where it is right."""

        def look(place: _Place) -> None:
            self._audit.count(place.store.check(self.row.object, digest))

        return self._compare(what, digest, look)

    def _compare(self, what: str, blob: bytes | None, look: Callable[[_Place], Wrong | None]) -> list[_Place]:
        """Look into every store, note a finding if one is not as it should be, and give those that are."""
        good: list[_Place] = []
        poor: list[tuple[_Place, Wrong]] = []
        for place in self._places:
            wrong = self._ask(place, look)
            if place.error is not None:
                continue
            if wrong is not None:
                poor.append((place, wrong))
                continue
            good.append(place)
            place.good += blob is not None
        if poor:
            self._note(what, blob, poor, good)
        return good

    def _note(
        self, what: str, blob: bytes | None, poor: Sequence[tuple[_Place, Wrong]], good: Iterable[_Place]
    ) -> None:
        """Add a finding."""
        copies = tuple(Copy(place.position, *wrong) for place, wrong in poor)
        positions = tuple(place.position for place in good)
        self.findings.append(Finding(self._id, self.row.object, what, blob, copies, positions))
        for place, _ in poor:
            place.findings += 1

    def _ask(self, place: _Place, look: Callable[[_Place], Wrong | None]) -> Wrong | None:
        """What is wrong in a store; None also if it does not answer, which is noted."""
        try:
            return place.ask(lambda _: look(place))
        except BlobMissing:
            return Flaw.MISSING, ()
        except BlobDamaged:
            return Flaw.DAMAGED, ()


def _party(id: bytes) -> str:
    return f"party:{id[:4].hex()}"
