"""Whatever is altered, swapped or forged is refused, by the documented errors only, and the guilty are named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from attrs import evolve
from sealing.world import ALONE, ASKER, CONTEXT, WALLETS, approve, ask, flips, open_, party, redealt, seal

from medchain import sealing
from medchain.encoding import decode, encode
from medchain.errors import EncodingError, Pending, SealingError, VerificationError
from medchain.keys import Party, RecipientKey, Wallet, recipients
from medchain.sealing import (
    Approval,
    BadDealing,
    BadShare,
    Binding,
    Complaint,
    Part,
    PartKeys,
    Sealed,
    SealedHeader,
    ShareRequest,
    check_evidence,
)
from medchain.sealing import sealer as sealer_module
from medchain.sealing.dealing import deal_shares
from medchain.sealing.holding import ResealedShare, open_envelope, reseal
from medchain.sealing.segments import open_part

REFUSED = (SealingError, EncodingError, VerificationError)
OWNER = WALLETS["owner"]


def own(data: bytes | list[Part] = b"the record") -> tuple[Sealed, ShareRequest, list[Approval]]:
    """A small object of one holder, asked for and approved."""
    sealed = seal(data, ALONE)
    request = ask(sealed)
    return sealed, request, approve(sealed, request, "owner")


def refused(action: Callable[[], object]) -> None:
    with pytest.raises(REFUSED):
        action()


# ---------------------------------------------------------------------------------------------- flipped bytes


def test_every_flipped_byte_of_the_bundle() -> None:
    """Header, dealing, envelope: either the bytes are refused, or the holder refuses, or the asker does."""
    sealed, request, shares = own()

    def use(data: bytes) -> None:
        bundle = SealedHeader.from_bytes(data)
        sealing.approve(bundle, request, to=ASKER.party, context=CONTEXT, by=OWNER)
        open_(Sealed(bundle, sealed.payload), request, shares)

    for altered in flips(bytes(sealed.header)):
        refused(lambda altered=altered: use(altered))


def test_every_flipped_byte_of_a_bundle_whose_hashes_were_made_to_fit() -> None:
    """Somebody who rewrites the dealing for the altered header, or the request for the altered dealing."""
    sealed = seal(text=ALONE)
    header, dealing = sealed.header.header, sealed.header.dealing
    for altered in flips(bytes(header)):

        def use(altered: bytes = altered) -> None:
            other = type(header).from_bytes(altered)
            bundle = SealedHeader(other, evolve(dealing, header=other.hash), sealed.header.envelopes)
            request = ask(Sealed(bundle, b""))
            assert open_(
                Sealed(bundle, sealed.payload), request, approve(Sealed(bundle, b""), request, "owner")
            )

        if altered[header_payload_at(bytes(header))] == bytes(header)[header_payload_at(bytes(header))]:
            refused(use)


def header_payload_at(data: bytes) -> int:
    """Where the one byte stands that may differ: `null` for the payload's hash in blob stores."""
    return data.index(b"gpayload\xf6") + 8


def test_every_flipped_byte_of_a_dealing_that_is_asked_for_as_it_is() -> None:
    sealed = seal(text=ALONE)
    dealing = sealed.header.dealing
    for altered in flips(bytes(dealing)):

        def use(altered: bytes = altered) -> None:
            bundle = SealedHeader(
                sealed.header.header, type(dealing).from_bytes(altered), sealed.header.envelopes
            )
            request = ask(Sealed(bundle, b""))
            open_(Sealed(bundle, sealed.payload), request, approve(Sealed(bundle, b""), request, "owner"))

        refused(use)


def test_every_flipped_byte_of_the_payload() -> None:
    sealed, request, shares = own()
    for altered in flips(sealed.payload):
        refused(lambda altered=altered: open_(Sealed(sealed.header, altered), request, shares))


def test_every_flipped_byte_of_an_approval_and_of_the_share_in_it() -> None:
    sealed, request, (share,) = own()
    for altered in flips(bytes(share)):
        refused(lambda altered=altered: open_(sealed, request, [Approval.from_bytes(altered)]))
    binding, key = request.binding(CONTEXT), ASKER.request_key(request.nonce)
    for altered in flips(share.share):
        with pytest.raises(SealingError) as caught:
            sealing.collect(sealed.header, binding, {OWNER.party.id: altered}, key.decrypt)
        assert caught.value.culprit == OWNER.party.id


def test_every_flipped_byte_of_a_request() -> None:
    sealed, request, _ = own()
    for altered in flips(bytes(request)):
        refused(lambda altered=altered: approve(sealed, ShareRequest.from_bytes(altered), "owner"))


def test_every_flipped_byte_of_a_sealed_file() -> None:
    sealed, request, shares = own()
    for altered in flips(bytes(sealed)):
        refused(lambda altered=altered: open_(Sealed.from_bytes(altered), request, shares))


def test_every_truncation_of_a_sealed_file() -> None:
    data = bytes(seal(text=ALONE))
    for end in [*range(40), *range(40, len(data), 97), len(data) - 1]:
        refused(lambda end=end: Sealed.from_bytes(data[:end]))
    refused(lambda: Sealed.from_bytes(data + b"\0"))


# ------------------------------------------------------------------------------------------- moved ciphertext


SEGMENT = 65_536 + 16


def big() -> tuple[Sealed, ShareRequest, list[Approval], int]:
    sealed, request, shares = own([Part(b"a" * 200_000), Part(b"b" * 200_000)])
    return sealed, request, shares, sealed.header.header.offsets[1]


@pytest.mark.parametrize(
    "change",
    [
        lambda data, at: (
            data[:at]
            + data[at + SEGMENT : at + 2 * SEGMENT]
            + data[at : at + SEGMENT]
            + data[at + 2 * SEGMENT :]
        ),
        lambda data, at: data[:at] + data[at + 200_064 :] + data[at : at + 200_064],
        lambda data, at: data[:-3_456],
        lambda data, at: data[: at + SEGMENT] + data[at : at + SEGMENT] + data[at + 2 * SEGMENT :],
        lambda data, at: data[:at],
    ],
    ids=["segments swapped", "parts swapped", "last segment dropped", "segment doubled", "parts gone"],
)
def test_moved_segments(change: Callable[[bytes, int], bytes]) -> None:
    sealed, request, shares, at = big()
    altered = Sealed(sealed.header, change(sealed.payload, at))

    def use() -> None:
        for part in sealing.open_parts(altered, request, shares, context=CONTEXT, by=ASKER):
            assert part.data

    refused(use)


def test_the_ciphertext_of_another_object_with_the_same_content() -> None:
    sealed, request, shares = own()
    refused(lambda: open_(Sealed(sealed.header, seal(text=ALONE).payload), request, shares))


def test_a_shorter_header_over_the_same_segments() -> None:
    """Dropping the last segment in header and payload alike: the segment before it is not sealed as a last one."""
    sealed = seal(b"x" * 100_000, ALONE)
    header = sealed.header.header
    part = evolve(header.parts[1], length=65_536, segments=1)
    shorter = evolve(header, parts=(header.parts[0], part))
    keys = _keys(sealed, ALONE)
    with pytest.raises(SealingError, match="segment 0 is altered"):
        list(open_part(shorter, 1, keys[1], sealed.read))


def test_a_former_reader_cannot_swap_the_content() -> None:
    """Who has the part key can seal other content under it; the root in the header shows it."""
    from medchain.errors import RootMismatch
    from medchain.sealing.schedule import extract, segment_keys
    from medchain.sealing.segments import seal_part

    sealed, request, shares = own()
    header, keys = sealed.header.header, _keys(sealed, ALONE)
    key, _ = segment_keys(extract(header.object, keys[1]), header.part_hash(1))
    forged, _ = seal_part(key, header.part_hash(1), b"not record")
    assert isinstance(forged, bytes)
    payload = sealed.payload[: header.offsets[1]] + forged
    with pytest.raises(RootMismatch):
        open_(Sealed(sealed.header, payload), request, shares)


def test_a_key_that_the_header_does_not_commit_to() -> None:
    """An invisible salamander needs two keys for one ciphertext; the commitment admits one, before any decryption."""
    sealed = seal(text=ALONE)
    keys = PartKeys(sealed.header.object_id, {**_keys(sealed, ALONE), 1: bytes(32)})
    (part,) = sealing.open_segments(sealed.header, keys, sealed.read)
    with pytest.raises(SealingError, match="not the one that the header commits to"):
        _ = part.data


def _keys(sealed: Sealed, text: str) -> PartKeys:
    request = ask(sealed)
    (share,) = approve(sealed, request, "owner")
    key = ASKER.request_key(request.nonce)
    return sealing.collect(
        sealed.header, request.binding(CONTEXT), {OWNER.party.id: share.share}, key.decrypt
    )


# ------------------------------------------------------------------------------------------ shares from elsewhere


def test_shares_for_another_request_asker_object_or_clause() -> None:
    text = "one for A: owner\ntwo for A: owner"
    sealed, other = seal(text=text), seal(text=text)
    request = ask(sealed, clause="one")
    elsewhere = [
        ask(sealed, clause="one"),
        ask(sealed, clause="two"),
        ask(other, clause="one"),
    ]
    for another in elsewhere:
        shares = approve(sealed if another.object == sealed.header.object_id else other, another, "owner")
        with pytest.raises(SealingError, match="answers another request"):
            open_(sealed, request, shares)
        with pytest.raises(VerificationError):  # relabelled: the signature says what it was for
            open_(sealed, request, [evolve(shares[0], request=request.binding(CONTEXT).request)])
    with pytest.raises(SealingError, match="another wallet"):
        open_(sealed, request, approve(sealed, request, "owner"), by=WALLETS["auditor"])


@pytest.mark.parametrize(
    "field", ["request", "object", "policy", "clause", "parts", "asker_key", "purpose", "expiry"]
)
def test_a_share_opens_under_its_own_binding_only(field: str) -> None:
    """Each field by itself, at the level of the bytes: an honest decrypter refuses."""
    text = "one for A, B: owner\ntwo for A, B: owner"
    sealed = seal([Part(b"1"), Part(b"2")], text)
    request = ask(sealed, clause="one", parts=[1])
    (share,) = approve(sealed, request, "owner")
    changes = {
        "request": bytes(32),
        "object": bytes(32),
        "policy": bytes(32),
        "clause": "two",
        "parts": (0, 2),
        "asker_key": bytes(32),
        "purpose": "B",
        "expiry": 1,
    }
    binding = evolve(request.binding(CONTEXT), **{field: changes[field]})
    key = ASKER.request_key(request.nonce)
    with pytest.raises(SealingError):
        sealing.collect(sealed.header, binding, {OWNER.party.id: share.share}, key.decrypt)


def test_a_foreign_share_and_a_swapped_one() -> None:
    sealed = seal()
    request = ask(sealed)
    owner, wu = approve(sealed, request, "owner", "dr_wu")
    with pytest.raises(VerificationError):
        open_(sealed, request, [evolve(owner, share=wu.share), evolve(wu, share=owner.share)])
    with pytest.raises(SealingError, match="foreign"):
        open_(sealed, request, [owner, evolve(wu, holder=party("auditor"))])
    with pytest.raises(SealingError, match="foreign"):
        sealing.collect(
            sealed.header, request.binding(CONTEXT), {party("auditor").id: owner.share}, ASKER.decrypt
        )
    swapped = {party("owner").id: wu.share, party("dr_wu").id: owner.share}
    key = ASKER.request_key(request.nonce)
    with pytest.raises(SealingError, match="share of owner") as caught:
        sealing.collect(sealed.header, request.binding(CONTEXT), swapped, key.decrypt)
    assert caught.value.culprit == party("owner").id


def test_an_approval_in_the_name_of_another() -> None:
    """A holder's id with keys of one's own proves nothing."""
    sealed = seal()
    request = ask(sealed)
    owner, wu = approve(sealed, request, "owner", "dr_wu")
    thief = Wallet.generate()
    claimed = Party(thief.party.signing_key, thief.party.recipient_key, party("owner").id)
    with pytest.raises(SealingError, match="nothing ties"):
        open_(sealed, request, [evolve(owner, holder=claimed), wu])


def test_an_envelope_of_another_holder_clause_or_object() -> None:
    text = "one for A: owner and dr_wu\ntwo for A: owner and dr_wu"
    sealed, other = seal(text=text), seal(text=text)
    mine = sealed.header
    swaps = [
        (mine.envelopes[1], *mine.envelopes[1:]),
        (mine.envelopes[2], *mine.envelopes[1:]),
        (other.header.envelopes[0], *mine.envelopes[1:]),
    ]
    for envelopes in swaps:
        with pytest.raises(SealingError, match="not the one that the dealing names"):
            SealedHeader(mine.header, mine.dealing, envelopes)
        hashes = iter(envelopes)
        clauses = tuple(
            tuple(evolve(deal, envelope=next(hashes).hash) for deal in deals)
            for deals in mine.dealing.clauses
        )
        bundle = SealedHeader(mine.header, evolve(mine.dealing, clauses=clauses), envelopes)
        with pytest.raises(SealingError) as caught:
            open_envelope(bundle, "one", OWNER, context=CONTEXT)
        assert isinstance(caught.value.evidence, Complaint)
        assert caught.value.culprit is None
        assert Complaint.from_bytes(bytes(caught.value.evidence)) == caught.value.evidence


# ------------------------------------------------------------------------------------------------ cheating dealers


def cheat(monkeypatch: pytest.MonkeyPatch, name: str, at: int, clause: str = "treatment") -> Sealed:
    """An object whose dealer changes one byte of what `name` gets, and commits to it so."""

    def deal(header, policy_hash, layout, keys):  # type: ignore[no-untyped-def]
        dealt = deal_shares(header, policy_hash, layout, keys)
        for seat, blocks in dealt.items():
            if seat.holder == party(name).id and layout.clause.name == clause:
                dealt[seat] = blocks[:at] + bytes([blocks[at] ^ 1]) + blocks[at + 1 :]
        return dealt

    with monkeypatch.context() as patch:
        patch.setattr(sealer_module, "deal_shares", deal)
        return seal(text="treatment for TREAT: owner and 1 of (dr_wu, guardian)\nother for TREAT: guardian")


@pytest.mark.parametrize(
    ("name", "at", "clause", "reason"),
    [
        ("owner", 64, "treatment", "combine to another key"),
        ("owner", 64 + 32, "treatment", "is not the one that follows"),
        ("guardian", 64, "treatment", "commitment for guardian under treatment"),
        ("guardian", 0, "other", "commitment for guardian under other"),
    ],
    ids=["wrong share", "wrong salt", "share of an absent holder", "another clause"],
)
def test_a_cheating_dealer_is_convicted(
    monkeypatch: pytest.MonkeyPatch, name: str, at: int, clause: str, reason: str
) -> None:
    sealed = cheat(monkeypatch, name, at, clause)
    request = ask(sealed)
    shares = approve(sealed, request, "owner", "dr_wu")
    with pytest.raises(SealingError, match=reason) as caught:
        open_(sealed, request, shares)
    evidence = caught.value.evidence
    assert isinstance(evidence, BadDealing)
    conviction = check_evidence(bytes(evidence))
    assert conviction.approver is None
    assert conviction.dealing == sealed.header.dealing_hash
    assert conviction == check_evidence(BadDealing.from_bytes(bytes(evidence)))


def test_an_honest_dealer_is_not_convicted() -> None:
    sealed = seal()
    request = ask(sealed)
    key = ASKER.request_key(request.nonce)
    disclosed = []
    for share in approve(sealed, request, "owner", "dr_wu"):
        from medchain.sealing.evidence import disclose
        from medchain.sealing.openings import unseal

        seat = sealed.header.dealing.layout("treatment").seat(share.holder.id)
        assert seat is not None
        opened = unseal(
            sealed.header.header,
            sealed.header.dealing,
            request.binding(CONTEXT),
            seat,
            share.share,
            key.decrypt,
        )
        disclosed.append(disclose(opened))
    evidence = BadDealing(sealed.header.header, sealed.header.dealing, "treatment", tuple(disclosed))
    with pytest.raises(VerificationError, match="consistent"):
        check_evidence(evidence)
    with pytest.raises(VerificationError, match="consistent"):
        check_evidence(evolve(evidence, disclosed=evidence.disclosed[:1]))
    forged = evolve(evidence.disclosed[0], plain=bytes(len(evidence.disclosed[0].plain)))
    with pytest.raises(VerificationError, match="proves nothing"):
        check_evidence(evolve(evidence, disclosed=(forged, evidence.disclosed[1])))
    with pytest.raises(VerificationError, match="another header"):
        check_evidence(evolve(evidence, header=seal().header.header))
    with pytest.raises(EncodingError):
        check_evidence(b"\xa0")


# ---------------------------------------------------------------------------------------------- cheating approvers


def lie(sealed: Sealed, request: ShareRequest, name: str, at: int) -> Approval:
    """An approval by a holder who changes one byte of its shares after having checked them."""
    from medchain.sealing.binding import approval_message

    wallet = WALLETS[name]
    held = open_envelope(sealed.header, request.clause, wallet, context=CONTEXT)
    blocks = held.blocks[:at] + bytes([held.blocks[at] ^ 1]) + held.blocks[at + 1 :]
    binding = request.binding(CONTEXT)
    share = reseal(evolve(held, blocks=blocks), binding, None, request.recipient_key)
    message = approval_message(binding, sealed.header.dealing_hash, wallet.party.id, False, share)
    return Approval(binding.request, wallet.party, False, share, wallet.sign(message))


@pytest.mark.parametrize("at", [0, 32, 64, 127])
def test_a_cheating_approver_is_convicted(at: int) -> None:
    sealed = seal()
    request = ask(sealed)
    shares = [*approve(sealed, request, "owner"), lie(sealed, request, "dr_wu", at)]
    with pytest.raises(SealingError, match="share of dr_wu") as caught:
        open_(sealed, request, shares)
    assert caught.value.culprit == party("dr_wu").id
    evidence = caught.value.evidence
    assert isinstance(evidence, BadShare)
    conviction = check_evidence(bytes(evidence), signer=party("dr_wu"))
    assert conviction.approver == party("dr_wu").id
    assert conviction.share is None
    with pytest.raises(VerificationError, match="must be given"):
        check_evidence(evidence)
    with pytest.raises(VerificationError, match="must be given"):
        check_evidence(evidence, signer=party("owner"))


@pytest.mark.parametrize("make", [lambda share: b"junk", lambda share: share[:-1]], ids=["junk", "cut short"])
def test_a_share_that_is_none_convicts_too(make: Callable[[bytes], bytes]) -> None:
    """On a chain the logged approval names the share's hash, so the evidence carries no signature of its own."""
    sealed, request, (share,) = own()
    key = ASKER.request_key(request.nonce)
    blobs = {OWNER.party.id: make(share.share)}
    with pytest.raises(SealingError) as caught:
        sealing.collect(sealed.header, request.binding(CONTEXT), blobs, key.decrypt, seed=key.seed)
    conviction = check_evidence(bytes(caught.value.evidence))
    assert conviction.approver == OWNER.party.id
    assert conviction.share is not None


def test_a_share_without_the_siblings_or_for_other_parts() -> None:
    sealed, request, _ = own([Part(b"1"), Part(b"2")])
    binding = request.binding(CONTEXT)
    held = open_envelope(sealed.header, request.clause, OWNER, context=CONTEXT)
    part = binding.with_parts((0, 1))
    plain = held.blocks[: 2 * 64]
    wrong = recipients.seal(request.recipient_key, plain, part.info(held.seat.positions))
    key = ASKER.request_key(request.nonce)
    with pytest.raises(SealingError, match="one share for each part"):
        sealing.collect(
            sealed.header, binding, {OWNER.party.id: bytes(ResealedShare((0, 1), wrong))}, key.decrypt
        )
    beyond = bytes(ResealedShare((0, 7), wrong))
    with pytest.raises(SealingError, match="not asked for"):
        sealing.collect(sealed.header, binding, {OWNER.party.id: beyond}, key.decrypt)


def test_an_honest_approver_is_not_framed() -> None:
    sealed, request, (share,) = own()
    key = ASKER.request_key(request.nonce)
    header, dealing, binding = sealed.header.header, sealed.header.dealing, request.binding(CONTEXT)
    honest = BadShare(header, dealing, binding, OWNER.party.id, False, share.share, key.seed, share.signature)

    def accuse(evidence: BadShare) -> None:
        check_evidence(evidence, signer=OWNER.party)

    with pytest.raises(VerificationError, match="in order"):
        accuse(honest)
    with pytest.raises(VerificationError, match="not the one of the request"):
        accuse(evolve(honest, seed=bytes(32)))
    other = RecipientKey(bytes(32))
    from medchain.sealing.binding import asker_key_hash

    with pytest.raises(VerificationError, match="not a signature"):
        accuse(
            evolve(honest, seed=bytes(32), binding=evolve(binding, asker_key=asker_key_hash(other.public)))
        )
    with pytest.raises(VerificationError, match="not a signature"):
        accuse(evolve(honest, share=b"junk"))
    deal = evolve(dealing.clauses[0][0], root=bytes(32))
    with pytest.raises(VerificationError, match="not a signature"):
        accuse(evolve(honest, dealing=evolve(dealing, clauses=((deal,),))))
    with pytest.raises(VerificationError):
        accuse(evolve(honest, binding=evolve(binding, clause="nothing")))
    with pytest.raises(VerificationError):
        accuse(evolve(honest, binding=evolve(binding, parts=(0, 9))))
    with pytest.raises(VerificationError):
        accuse(evolve(honest, gate=True))


# ----------------------------------------------------------------------------------------------------- odd documents


@pytest.mark.parametrize("key", ["version", "parts", "segment", "object", "chain", "payload"])
@pytest.mark.parametrize("value", [None, 2, -1, b"", b"\0" * 33, "x", [], {}, [[]], True])
def test_odd_headers(key: str, value: object) -> None:
    from medchain.sealing import Header

    header = seal(text=ALONE).header.header
    plain = decode(bytes(header))
    assert isinstance(plain, dict)
    if value is None and key in ("chain", "payload"):
        return
    with pytest.raises(EncodingError):
        Header.from_bytes(encode({**plain, key: value}))  # type: ignore[dict-item]


def test_documents_by_hash_from_a_lying_store() -> None:
    bundle = seal(text=ALONE).header
    blobs = {hashlib.sha256(data).digest(): data for data in bundle.documents()}
    assert SealedHeader.load(bundle.header_hash, bundle.dealing_hash, blobs.__getitem__) == bundle
    other = seal(text=ALONE).header.documents()
    for number, hash in enumerate(blobs):
        lying = {**blobs, hash: other[number]}
        with pytest.raises(SealingError, match="another or altered"):
            SealedHeader.load(bundle.header_hash, bundle.dealing_hash, lying.__getitem__)


def test_a_dealing_of_another_header() -> None:
    one, two = seal(text=ALONE).header, seal(text=ALONE).header
    with pytest.raises(SealingError, match="another header"):
        redealt(seal(text=ALONE), lambda _: SealedHeader(one.header, two.dealing, two.envelopes))


def test_a_request_that_is_about_another_chain() -> None:
    sealed, request, (share,) = own()
    binding = evolve(request.binding(CONTEXT), chain=bytes(32), context=None)
    with pytest.raises(SealingError, match="another chain"):
        sealing.collect(sealed.header, binding, {OWNER.party.id: share.share}, ASKER.decrypt)
    with pytest.raises(ValueError, match="off chain a context"):
        evolve(binding, chain=None)
    assert isinstance(binding, Binding)


def test_pending_is_not_a_sealing_error() -> None:
    """Too few shares are no offence: a program waits for `waiting_for`."""
    assert not issubclass(Pending, SealingError)
