"""Release kits: what an asker opens on its own device, and what a server or somebody on the way can do to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
from access.devices import CONTENT, Server, flips
from attrs import evolve

import medchain as mc
from medchain.access.kit import KitShare, ReleaseKit
from medchain.errors import (
    BlobMissing,
    EncodingError,
    Erased,
    Pending,
    Refused,
    RootMismatch,
    SealingError,
    VerificationError,
)
from medchain.ledger.draft import Attachment, Signed
from medchain.merkle import Head
from medchain.sealing import Part, check_evidence
from medchain.sealing.holding import ResealedShare

REFUSED = (VerificationError, EncodingError, SealingError)
Change = Callable[[ReleaseKit], ReleaseKit]


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


@pytest.fixture(scope="module")
def kit(server: Server) -> ReleaseKit:
    return server.kit(server.decided())


def opened(kit: ReleaseKit, server: Server, name: str = "dr_lee") -> bytes:
    received = ReleaseKit.from_bytes(bytes(kit))
    return received.open(server.wallets[name], trust=server.chain.trust).raw


def test_it_opens_on_the_askers_device(server: Server, kit: ReleaseKit) -> None:
    assert opened(kit, server) == b"".join(CONTENT)
    device = server.device("dr_lee")
    found = device.open(bytes(kit))
    assert [part.label for part in found.parts] == ["one", "two", "three"]
    assert found.request.asker == device.wallet.party.id
    assert device.seen is not None
    assert mc.verify(server.chain.prove(found.decision), mc.Decision, trust=device.trust)
    for secret in CONTENT:
        assert secret not in bytes(kit)
        assert secret.decode() not in repr(found) + repr(kit)


def test_it_opens_the_decided_parts_and_carries_no_others(server: Server) -> None:
    request = server.ask(server.add(), parts=(1, 2))
    server.access.approve(request, by=server.patient, parts=(2,))
    server.access.approve(request, by=server.wallets["dr_wu"])
    kit = server.kit(request)
    assert opened(kit, server) == CONTENT[1]
    assert kit.segments is not None
    assert len(kit.segments) == 2  # the manifest and one part


def test_large_payloads_stay_where_they_lie(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medchain.access.kit.INLINE_LIMIT", 100)
    kit = server.kit(server.decided())
    assert kit.segments is None
    object_id, hash, size = kit.payload
    dr_lee, trust = server.wallets["dr_lee"], server.chain.trust
    with pytest.raises(ValueError, match="say by read="):
        kit.open(dr_lee, trust=trust)

    def read(offset: int, length: int) -> bytes:
        return server.chain.blobs.read(object_id, hash, offset, length)

    assert kit.open(dr_lee, trust=trust, read=read).raw == b"".join(CONTENT)
    with pytest.raises(SealingError):
        kit.open(dr_lee, trust=trust, read=lambda offset, length: bytes(length))
    assert size == len(server.chain.blobs.get(object_id, hash, limit=1 << 20))


def test_an_ungated_clause(server: Server) -> None:
    record = server.access.record(server.add())
    request = server.access.request(record, "own", purpose="PATRQT", by=server.patient)
    server.access.approve(request, by=server.patient)
    kit = server.access.release(request, to=server.patient.party, since=None)
    assert kit.gate == ()
    assert opened(kit, server, "patient") == b"".join(CONTENT)


def test_the_server_gives_none_before_the_decision(server: Server) -> None:
    request, dr_lee = server.ask(server.add()), server.wallets["dr_lee"].party
    with pytest.raises(Pending) as waiting:
        server.access.release(request, to=dr_lee, since=None)
    assert server.patient.party.id in waiting.value.waiting_for
    server.access.decline(request, by=server.patient)
    with pytest.raises(Refused):
        server.access.release(request, to=dr_lee, since=None)
    with pytest.raises(Refused, match="only the asker"):
        server.access.release(server.decided(), to=server.wallets["mallory"].party, since=None)


def test_erased_before_and_after(server: Server) -> None:
    request = server.decided()
    kit = server.kit(request)
    server.access.erase(server.access.status(request).request.record, by=[server.patient])
    with pytest.raises(Erased):
        server.access.release(request, to=server.wallets["dr_lee"].party, since=None)
    # A kit given before opens still, for it holds everything; not for a device that has seen the erasure.
    assert opened(kit, server) == b"".join(CONTENT)
    with pytest.raises(VerificationError, match="rolled back"):
        kit.open(server.wallets["dr_lee"], trust=server.chain.trust, since=server.chain.checkpoint())


def test_kits_for_somebody_else(server: Server, kit: ReleaseKit) -> None:
    for name in ("mallory", "patient", "dr_wu", "keeper"):
        with pytest.raises(VerificationError, match="another asker"):
            opened(kit, server, name)
    with pytest.raises(VerificationError):
        kit.open(server.wallets["dr_lee"], trust=Server().chain.trust)


def test_the_device_pins_what_it_has_seen(server: Server) -> None:
    request = server.decided()
    dr_lee, trust = server.wallets["dr_lee"], server.chain.trust
    seen = server.chain.checkpoint()
    old = server.kit(request)
    server.add()
    grown = server.access.release(request, to=dr_lee.party, since=seen)
    assert grown.open(dr_lee, trust=trust).raw  # made in this process: it knows what was seen
    received = ReleaseKit.from_bytes(bytes(grown))
    assert received.open(dr_lee, trust=trust, since=seen)
    with pytest.raises(VerificationError, match="say by since="):
        received.open(dr_lee, trust=trust)
    with pytest.raises(VerificationError, match="rolled back"):
        old.open(dr_lee, trust=trust, since=received.seen)
    with pytest.raises(RootMismatch):
        received.open(dr_lee, trust=trust, since=Head(seen.size, bytes(32)))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda kit: evolve(kit, shares=kit.shares[:1]), SealingError),
        (lambda kit: evolve(kit, shares=kit.shares[::-1]), SealingError),
        (lambda kit: evolve(kit, shares=(kit.shares[0], kit.shares[0])), SealingError),
        (lambda kit: evolve(kit, gate=()), SealingError),
        (lambda kit: evolve(kit, gate=(KitShare(bytes(32), kit.gate[0].share),)), SealingError),
        (lambda kit: evolve(kit, gate=(KitShare(kit.gate[0].holder, kit.shares[0].share),)), SealingError),
        (lambda kit: evolve(kit, segments=()), SealingError),
        (lambda kit: evolve(kit, segments=tuple(map(bytes, map(len, kit.segments or ())))), SealingError),
        (lambda kit: evolve(kit, live=kit.record.row), VerificationError),
        (lambda kit: evolve(kit, live=kit.decision), VerificationError),
        (lambda kit: evolve(kit, decision=kit.request.entry), VerificationError),
        (lambda kit: evolve(kit, request=evolve(kit.request, approvals=())), VerificationError),
        (
            lambda kit: evolve(kit, request=evolve(kit.request, approvals=kit.request.approvals[::-1])),
            VerificationError,
        ),
    ],
)
def test_altered_kits(server: Server, kit: ReleaseKit, change: Change, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        opened(change(kit), server)


@pytest.mark.parametrize(
    "field", ["decision", "live", "record", "request", "bundle", "shares", "gate", "segments"]
)
def test_pieces_of_another_kit(server: Server, kit: ReleaseKit, field: str) -> None:
    other = server.kit(server.decided())
    with pytest.raises(REFUSED):
        opened(evolve(kit, **{field: getattr(other, field)}), server)


def test_a_bad_share_convicts_its_sender(server: Server) -> None:
    """A holder approves with a share that is none; the asker finds out who, and can prove it."""
    request = server.ask(server.add())
    server.access.approve(request, by=server.wallets["dr_wu"])
    good = server.draft(request).review(server.chain.trust).sign(server.patient)
    share = ResealedShare.from_bytes(good.attachments[0].data)
    bad = Attachment(
        good.attachments[0].object,
        bytes(evolve(share, sealed=share.sealed[:-1] + bytes([share.sealed[-1] ^ 1]))),
    )
    fields = good.content.message[1] | {"share": hashlib.sha256(bad.data).digest()}
    body = evolve(good.content, message=["approve", fields])
    server.submit(bytes(Signed.start(body, (bad,)).sign(server.patient)))
    with pytest.raises(SealingError) as found:
        opened(server.kit(request), server)
    assert found.value.culprit == server.patient.party.id
    conviction = check_evidence(bytes(found.value.evidence))
    assert conviction.approver == server.patient.party.id
    assert conviction.share == fields["share"]


def test_nobody_is_blamed_for_what_the_server_may_have_done(server: Server, kit: ReleaseKit) -> None:
    def altered(share: KitShare) -> KitShare:
        return evolve(share, share=share.share[:-1] + bytes([share.share[-1] ^ 1]))

    for change in (
        evolve(kit, gate=tuple(map(altered, kit.gate))),
        evolve(kit, shares=tuple(map(altered, kit.shares))),
    ):
        with pytest.raises(SealingError) as found:
            opened(change, server)
        assert found.value.culprit is None
        assert found.value.evidence is None


def test_a_stripped_attachment_is_missed_by_the_server(server: Server) -> None:
    request = server.ask(server.add())
    server.access.approve(request, by=server.wallets["dr_wu"])
    signed = server.draft(request).review(server.chain.trust).sign(server.patient)
    server.submit(bytes(evolve(signed, attachments=())))
    with pytest.raises(BlobMissing):
        server.kit(request)


def test_bytes_of_a_kit(kit: ReleaseKit) -> None:
    assert ReleaseKit.from_bytes(bytes(kit)) == kit
    for broken in (b"", bytes(kit)[:-1], bytes(kit) + b"\0"):
        with pytest.raises(EncodingError):
            ReleaseKit.from_bytes(broken)
    with pytest.raises(ValueError, match="format version 2"):
        evolve(kit, version=2)


@pytest.mark.parametrize("step", [31, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_byte(step: int) -> None:
    server = Server(
        "own for TREAT: owner\nrecovery lost for PATRQT: dr_wu and guardian, wait 14 days, ungated"
    )
    record = server.access.add([Part(b"x")], server.bound, by=[server.hospital, server.patient])
    request = server.access.request(record, "own", purpose="TREAT", by=server.wallets["dr_lee"])
    server.access.approve(request, by=server.patient)
    kit = server.kit(request.id)
    for altered in flips(bytes(kit), step):
        with pytest.raises(REFUSED):
            opened(ReleaseKit.from_bytes(altered), server)
