"""Doors of what is useful without a ledger: encoding, trees, keys, policies, sealed objects, FHIR bundles."""

from __future__ import annotations

from pathlib import Path

from fuzz import alone, seeds
from fuzz.decoder import Decoder, Seeds, as_text, by_file, callers_text, fixed, text
from fuzz.mutations import Form

from medchain import encoding, keys, merkle, policy, sealing
from medchain.ehr import Bundle
from medchain.ehr.bundle import read_entry, read_resource
from medchain.errors import (
    EncodingError,
    KeystoreError,
    MalformedProof,
    PolicyError,
    PolicySyntaxError,
    SealingError,
    StorageError,
    VerificationError,
)
from medchain.policy.moments import parse_moment
from medchain.sealing.documents import Dealing, Envelope, Header
from medchain.sealing.evidence import BadDealing, BadShare, check_evidence
from medchain.sealing.holding import Complaint, ResealedShare
from medchain.storage import Place

__all__ = ["DOCUMENTS"]


def tree(name: str) -> Seeds:
    """Ranges and proofs of small trees."""
    return lambda: seeds.trees()[name]


def paper(name: str) -> Seeds:
    """Sealed objects and what goes with them."""
    return lambda: seeds.offchain_papers()[name]


ENCODING = (
    Decoder(
        "encoding.decode",
        encoding.decode,
        (EncodingError,),
        lambda: [*seeds.trees()["map"], *seeds.chained().papers["policy"], encoding.encode(7)],
        write=encoding.encode,
        reaches=("medchain.encoding:decode",),
    ),
)

MERKLE = (
    Decoder(
        "merkle.CompactRange",
        merkle.CompactRange.from_bytes,
        (EncodingError,),
        tree("compact"),
        reaches=("medchain.merkle.compact:CompactRange.from_bytes",),
    ),
    Decoder(
        "merkle.InclusionProof",
        merkle.InclusionProof.from_bytes,
        (EncodingError,),
        tree("inclusion"),
        reaches=("medchain.merkle.proofs:InclusionProof.from_bytes", "medchain.records:decode_record"),
    ),
    Decoder(
        "merkle.InclusionProof.root_from",
        lambda data: merkle.InclusionProof.from_bytes(data).root_from(bytes(32)),
        (EncodingError, MalformedProof),
        tree("inclusion"),
        write=None,
    ),
    Decoder(
        "merkle.ConsistencyProof",
        merkle.ConsistencyProof.from_bytes,
        (EncodingError,),
        tree("consistency"),
        reaches=("medchain.merkle.proofs:ConsistencyProof.from_bytes",),
    ),
    Decoder(
        "merkle.ConsistencyProof.verify",
        alone.consistency,
        (EncodingError, VerificationError),
        tree("consistency"),
        write=None,
    ),
    Decoder(
        "merkle.MapProof",
        merkle.MapProof.from_bytes,
        (EncodingError,),
        tree("map"),
        reaches=("medchain.merkle.mapproof:MapProof.from_bytes",),
    ),
    Decoder(
        "merkle.MapProof.root",
        lambda data: merkle.MapProof.from_bytes(data).root(),
        (EncodingError, MalformedProof),
        tree("map"),
        write=None,
        reaches=("medchain.merkle.mapproof:MapProof.root", "medchain.merkle.mapproof:MapProof._end"),
    ),
)

KEYS = (
    Decoder(
        "keys.Party",
        keys.Party.from_bytes,
        (EncodingError,),
        seeds.parties,
        reaches=("medchain.keys.party:Party.from_bytes",),
    ),
    Decoder(
        "keys.keystore.load",
        by_file(lambda path: keys.keystore.load(path, seeds.PASSWORD)),
        (KeystoreError,),
        lambda: [seeds.keystore_file()],
        Form.BINARY,
        write=None,
        room=5 << 20,
        reaches=("medchain.keys.keystore:load", "medchain.keys.keystore:_parse"),
    ),
    Decoder(
        "keys.keystore.load with a right hash",
        alone.keystore_body,
        (KeystoreError,),
        lambda: [seeds.keystore_file()[:-32]],
        Form.BINARY,
        write=None,
    ),
    Decoder(
        "keys.keystore.load of evil content",
        alone.keystore_content,
        (KeystoreError,),
        alone.keystore_seeds,
        write=None,
        room=16 << 20,
        slow=True,
    ),
    Decoder(
        "keys.recovery.combine",
        alone.mnemonics,
        (KeystoreError,),
        seeds.recovery_words,
        Form.TEXT,
        write=None,
        slow=True,
        reaches=("medchain.keys.recovery:combine",),
    ),
)

POLICY = (
    Decoder(
        "policy.Policy.parse",
        text(policy.Policy.parse),
        (PolicySyntaxError,),
        fixed(*seeds.POLICIES),
        Form.TEXT,
        write=as_text,
        canonical=False,
        reaches=("medchain.policy.model:Policy.parse", "medchain.policy.language:parse"),
    ),
    Decoder(
        "policy.BoundPolicy",
        policy.BoundPolicy.from_bytes,
        (EncodingError,),
        lambda: seeds.chained().papers["policy"],
        reaches=(
            "medchain.policy.bound:BoundPolicy.from_bytes",
            "medchain.policy.bound:BoundPolicy.__from_value__",
            "medchain.policy.bound:BoundClause.__from_value__",
        ),
    ),
    Decoder(
        "policy.moments.parse_moment",
        text(parse_moment),
        (PolicyError,),
        fixed("2026-06-30", "1970-01-01T00:00Z", "9999-12-31T23:59:59.999Z"),
        Form.TEXT,
        write=None,
        reaches=("medchain.policy.moments:parse_moment",),
    ),
)

STORAGE = (
    Decoder(
        "storage.Place",
        callers_text(Place.parse),
        (EncodingError,),
        fixed(
            "postgresql://me:secret@[::1]:5432,h/db?schema=ehr&host=%2Frun",
            "sqlite:clinic.medchain",
            "clinic.medchain/store/data.mdb",
        ),
        Form.TEXT,
        write=None,
        reaches=("medchain.storage.places:Place.parse",),
    ),
)

SEALING = (
    Decoder(
        "sealing.Header",
        Header.from_bytes,
        (EncodingError,),
        paper("header"),
        reaches=("medchain.sealing.documents:Header.from_bytes",),
    ),
    Decoder(
        "sealing.Dealing",
        Dealing.from_bytes,
        (EncodingError,),
        paper("dealing"),
        reaches=("medchain.sealing.documents:Dealing.from_bytes",),
    ),
    Decoder(
        "sealing.Envelope",
        Envelope.from_bytes,
        (EncodingError,),
        paper("envelope"),
        reaches=("medchain.sealing.documents:Envelope.from_bytes",),
    ),
    Decoder(
        "sealing.SealedHeader",
        sealing.SealedHeader.from_bytes,
        (EncodingError, SealingError),
        paper("bundle"),
        reaches=("medchain.sealing.documents:SealedHeader.from_bytes",),
    ),
    Decoder(
        "sealing.SealedHeader.load of an evil header",
        alone.loaded_header,
        (EncodingError, SealingError),
        lambda: [bytes(seeds.chained().bundle.header)],
        write=None,
        reaches=("medchain.sealing.documents:SealedHeader.load",),
    ),
    Decoder(
        "sealing.SealedHeader.load of an evil dealing",
        alone.loaded_dealing,
        (EncodingError, SealingError),
        lambda: [bytes(seeds.chained().bundle.dealing)],
        write=None,
    ),
    Decoder(
        "sealing.Sealed",
        sealing.Sealed.from_bytes,
        (EncodingError, SealingError),
        paper("sealed"),
        Form.BINARY,
        reaches=("medchain.sealing.offchain:Sealed.from_bytes", "medchain.sealing.offchain:bundle_span"),
    ),
    Decoder(
        "sealing.read_header",
        by_file(sealing.read_header),
        (EncodingError, SealingError, StorageError),
        paper("sealed"),
        Form.BINARY,
        write=None,
        reaches=("medchain.sealing.files:read_header", "medchain.sealing.files:_read_header"),
    ),
    Decoder(
        "sealing.ShareRequest",
        sealing.ShareRequest.from_bytes,
        (EncodingError,),
        paper("request"),
        reaches=("medchain.sealing.offchain:ShareRequest.from_bytes",),
    ),
    Decoder(
        "sealing.Approval",
        sealing.Approval.from_bytes,
        (EncodingError,),
        paper("approval"),
        reaches=("medchain.sealing.offchain:Approval.from_bytes",),
    ),
    Decoder(
        "sealing.ResealedShare",
        ResealedShare.from_bytes,
        (EncodingError,),
        paper("share"),
        reaches=("medchain.sealing.holding:ResealedShare.from_bytes",),
    ),
    Decoder(
        "sealing.Complaint",
        Complaint.from_bytes,
        (EncodingError,),
        paper("complaint"),
        reaches=("medchain.sealing.holding:Complaint.from_bytes",),
    ),
    Decoder(
        "sealing.BadShare",
        BadShare.from_bytes,
        (EncodingError,),
        paper("bad-share"),
        reaches=("medchain.sealing.evidence:BadShare.from_bytes",),
    ),
    Decoder(
        "sealing.BadDealing",
        BadDealing.from_bytes,
        (EncodingError,),
        paper("bad-dealing"),
        reaches=("medchain.sealing.evidence:BadDealing.from_bytes",),
    ),
    Decoder(
        "sealing.check_evidence against an approver",
        check_evidence,
        (EncodingError, VerificationError),
        lambda: seeds.offchain_papers()["bad-share"][:1],
        write=None,
        reaches=("medchain.sealing.evidence:check_evidence", "medchain.sealing.evidence:_parse"),
    ),
    Decoder(
        "sealing.check_evidence against a dealer",
        check_evidence,
        (EncodingError, VerificationError),
        paper("bad-dealing"),
        write=None,
        accepts=False,
    ),
    Decoder(
        "sealing.open of an evil manifest",
        alone.manifest,
        (SealingError,),
        lambda: [encoding.encode(["one", "two", "three"])],
        write=encoding.encode,
        reaches=("medchain.sealing.opening:_labels",),
    ),
    Decoder(
        "sealing.collect of an evil share",
        alone.share_document,
        (SealingError,),
        alone.share_document_seeds,
        write=None,
        reaches=("medchain.sealing.openings:unseal",),
    ),
    Decoder(
        "sealing.collect of an evil share's content",
        alone.share_content,
        (SealingError,),
        alone.share_seeds,
        Form.BINARY,
        write=None,
        reaches=("medchain.sealing.openings:check_opened",),
    ),
    Decoder(
        "sealing.open_envelope of evil content",
        alone.envelope_content,
        (SealingError,),
        alone.envelope_seeds,
        Form.BINARY,
        reaches=("medchain.sealing.holding:open_envelope",),
    ),
)

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "bundle.json"
BUNDLE = """{"resourceType": "Bundle", "type": "collection", "total": 1.50, "entry": [
  {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient", "id": "17", "name": [{"family": "Ä\\u00e9"}]}} ,
  {"request": {"method": "GET"}},
  {"resource":{"resourceType":"Observation","valueQuantity":{"value":1.20e-3}}}], "x": null}
"""
ENTRY = '{"resource": {"resourceType": "Patient", "id": "1", "n": [1.5, -2e9]}},\n'

EHR = (
    Decoder(
        "ehr.Bundle",
        Bundle.from_bytes,
        (EncodingError,),
        lambda: [BUNDLE.encode(), SAMPLE.read_bytes()],
        Form.JSON,
        reaches=(
            "medchain.ehr.bundle:Bundle.from_bytes",
            "medchain.ehr.spans:read_text",
            "medchain.ehr.spans:Spans.value",
        ),
    ),
    Decoder(
        "ehr.Bundle.read",
        by_file(Bundle.read),
        (EncodingError,),
        fixed(BUNDLE),
        Form.JSON,
        write=None,
        room=3 << 20,
        reaches=("medchain.ehr.bundle:Bundle.read",),
    ),
    Decoder(
        "ehr.Bundle.resources",
        lambda data: list(Bundle.from_bytes(data).resources),
        (EncodingError,),
        fixed(BUNDLE),
        Form.JSON,
        write=None,
    ),
    Decoder(
        "ehr.read_entry",
        read_entry,
        (EncodingError,),
        fixed(ENTRY),
        Form.JSON,
        write=None,
        reaches=("medchain.ehr.bundle:read_entry",),
    ),
    Decoder("ehr.read_resource", read_resource, (EncodingError,), fixed(ENTRY), Form.JSON, write=None),
)

DOCUMENTS = (*ENCODING, *MERKLE, *KEYS, *POLICY, *STORAGE, *SEALING, *EHR)
