"""The bytes: pinned, so that no format drifts silently, and checked against other implementations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from sealing.make_golden import GOLDEN, PARTS, TEXT
from sealing.world import ASKER, CONTEXT, WALLETS, approve, ask, bind, seal

from medchain import sealing
from medchain.encoding import MAX_VALUES, decode, encode
from medchain.keys.shares import share_leaf
from medchain.merkle import node_hash
from medchain.policy.bound import MAX_GATE
from medchain.policy.model import MAX_CLAUSES, MAX_LIST
from medchain.policy.tree import MAX_POSITIONS
from medchain.records import to_value
from medchain.sealing import Approval, Part, Sealed, ShareRequest
from medchain.sealing import sealer as sealer_module
from medchain.sealing.dealing import deal_shares, leaves
from medchain.sealing.documents import MAX_PARTS
from medchain.sealing.layout import layout_of
from medchain.sealing.multiproof import root_from, sibling_count, siblings, tree_root


def kdf(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(key)


def pinned(monkeypatch: pytest.MonkeyPatch) -> Sealed:
    """An object whose nonce and part keys are 00…, 01…, 02…, so that all but the envelopes is always the same."""
    drawn = iter(range(256))
    with monkeypatch.context() as patch:
        patch.setattr(sealer_module.secrets, "token_bytes", lambda size: bytes([next(drawn)]) * size)
        parts = [Part(PARTS[0], "text/plain", "greeting"), Part(PARTS[1], label="zeros")]
        return sealing.seal(parts, bind(TEXT, "keeper"), context=CONTEXT)


def test_pinned_object(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = pinned(monkeypatch)
    roots = b"".join(deal.root for deals in sealed.header.dealing.clauses for deal in deals)
    assert {
        "header": sealed.header.header_hash.hex(),
        "payload": hashlib.sha256(sealed.payload).hexdigest(),
        "policy": sealed.header.policy_hash.hex(),
        "roots": hashlib.sha256(roots).hexdigest(),
    } == {
        "header": "1ce9c8b19469434a5a65fe0e295dfd12655fff73cf19d5a2c483d37c6f1794c4",
        "payload": "cf4dae18d2cef2c3c582bb8db145355133d4eed59079a47e25acb3e9facc23c0",
        "policy": "8cd3d031957337ea6d22bd8ef66c548f7d2a493f089c5acef7c9bf305cc796da",
        "roots": "97aaa1685ad989c0c844b716a10b9bd5ad25a2022b5af8e90b8ff9dd9e41ee72",
    }


def test_pinned_infos(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = pinned(monkeypatch)
    from medchain.sealing.documents import envelope_info

    bundle = sealed.header
    layout = bundle.dealing.layout("treatment")
    infos = [
        envelope_info(bundle.header, CONTEXT, bundle.policy_hash, "treatment", seat) for seat in layout.seats
    ]
    binding = sealing.Binding(
        None,
        CONTEXT,
        bytes(32),
        bundle.object_id,
        bundle.policy_hash,
        "treatment",
        (0, 2),
        bytes(32),
        "TREAT",
        7,
    )
    infos += [binding.info(seat.positions) for seat in layout.seats]
    assert [seat.positions for seat in layout.seats] == [((0, 0),), ((0, 1, 0),), ((0, 1, 1),), ((1,),)]
    assert (
        hashlib.sha256(b"".join(infos)).hexdigest()
        == "224c8a0703d09aa6f3105952a3f04373f16b5ca7ce4c842539ab49d7b66cab85"
    )


def test_a_part_by_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Key, commitment, segments and dealing written down once more, by other means."""
    sealed = pinned(monkeypatch)
    header = sealed.header.header
    object_id, key = bytes(32), bytes([3]) * 32  # drawn: nonce, manifest, part 1, part 2
    part_header = encode(["medchain/part/v1", object_id, 2, "application/octet-stream", 65_536])
    digest = hashlib.sha256(part_header).digest()
    assert header.parts[2].commitment == kdf(key, object_id, b"commit" + digest)
    cipher = AESGCM(kdf(key, object_id, b"enc" + digest))
    plain = [PARTS[1][:65_536], PARTS[1][65_536:]]
    segments = [
        cipher.encrypt(bytes(10) + bytes([number, number == 1]), data, digest)
        for number, data in enumerate(plain)
    ]
    assert sealed.payload[header.offsets[2] :] == b"".join(segments)
    hashes = [hashlib.sha256(b"\0" + segment).digest() for segment in segments]
    assert header.parts[2].root == node_hash(*hashes)


def test_a_dealing_by_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = pinned(monkeypatch).header
    policy_hash, object_id = bundle.policy_hash, bundle.object_id
    keys = {index: bytes([index + 1]) * 32 for index in range(3)}
    layout = layout_of(bundle.policy, "treatment")
    dealt = deal_shares(bundle.header, policy_hash, layout, keys)

    def draw(part: int, label: str, path: list[int], index: int) -> bytes:
        info = encode([label, object_id, policy_hash, "treatment", path, index])
        return kdf(keys[part], object_id, info)

    for part in keys:
        tree = draw(part, "medchain/share-draw/v1", [], 0)
        owner = draw(part, "medchain/share-draw/v1", [0], 0)
        assert dealt[layout.seats[0]][64 * part :][:32] == owner
        assert dealt[layout.seats[0]][64 * part :][32:64] == draw(part, "medchain/share-salt/v1", [0, 0], 0)
        from medchain.keys import shares

        pair = shares.split(tree, 2, 2, [owner])[1]
        assert dealt[layout.seats[1]][64 * part :][:32] == pair == dealt[layout.seats[2]][64 * part :][:32]
        assert dealt[layout.seats[3]][64 * part :][:32] == shares.split(keys[part], 2, 2, [tree])[1]


def test_leaves_are_those_of_the_keys_package() -> None:
    header = seal(text="t for T: 2 of (owner and a, a, owner and dr_wu)").header
    seat = header.dealing.layout("t").seats[1]
    assert len(seat.positions) == 2
    parts = [0, 1, 30, 300, 65_000]
    blocks = bytes(index % 251 for index in range(64 * 2 * len(parts)))
    context = encode([header.object_id, header.policy_hash, "t"])
    expected = []
    for number, part in enumerate(parts):
        for place, path in enumerate(seat.positions):
            block = blocks[64 * (2 * number + place) :][:64]
            expected.append(share_leaf(context, path, part, block[32:], block[:32]))
    assert leaves(header.header, header.policy_hash, "t", seat, parts, blocks) == expected


def count(value: Any) -> int:
    """The values in a value, keys counted."""
    if isinstance(value, list):
        return 1 + sum(map(count, value))
    return 1 + sum(1 + count(item) for item in value.values()) if isinstance(value, dict) else 1


def test_the_largest_object_has_fewer_values_than_readers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """All parts, all positions of a policy, a gate of full size for each clause, and the segments of a kit."""
    bundle = pinned(monkeypatch).header
    plain = to_value(bundle)
    part, deal, envelope = (
        count(each)
        for each in (plain["header"]["parts"][0], plain["dealing"]["clauses"][0][0], plain["envelopes"][0])
    )
    seats = MAX_POSITIONS + MAX_CLAUSES * MAX_GATE
    clauses = MAX_CLAUSES * (count(plain["dealing"]["policy"]["clauses"][0]) + 5 * MAX_LIST)
    trees = 2 * MAX_POSITIONS * count({"k": 1, "of": [b""]})
    segments = MAX_PARTS
    most = MAX_PARTS * part + seats * (deal + envelope) + clauses + trees + segments
    assert 900_000 < most < MAX_VALUES - 10_000
    header = evolve(bundle.header, parts=(bundle.header.parts[1],) * MAX_PARTS)
    assert len(sealing.documents.Header.from_bytes(bytes(header)).parts) == MAX_PARTS


def naive_root(hashes: Sequence[bytes]) -> bytes:
    """RFC 9162, section 2.1.1, word for word."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while 2 * split < len(hashes):
        split *= 2
    return node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


@given(st.integers(1, 70), st.data())
def test_many_leaves_at_once(size: int, data: st.DataObject) -> None:
    hashes = [hashlib.sha256(bytes([index])).digest() for index in range(size)]
    wanted = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1)))
    others = siblings(hashes, wanted)
    assert tree_root(hashes) == naive_root(hashes)
    assert len(others) == sibling_count(size, wanted)
    assert root_from(size, {index: hashes[index] for index in wanted}, others) == tree_root(hashes)
    if len(wanted) == size:
        assert others == []


@pytest.mark.parametrize("path", sorted(GOLDEN.iterdir()), ids=lambda path: path.name)
def test_what_earlier_versions_sealed_still_opens(path: Path) -> None:
    value = decode(path.read_bytes())
    assert isinstance(value, dict)
    sealed = Sealed.from_bytes(value["sealed"])
    request = ShareRequest.from_bytes(value["request"])
    shares = [Approval.from_bytes(share) for share in value["shares"]]
    assert sealing.open(sealed, request, shares, context=CONTEXT, by=ASKER) == PARTS[0]
    fresh = ask(sealed)
    opened = sealing.open_parts(
        sealed, fresh, approve(sealed, fresh, "owner", "dr_wu", "keeper"), context=CONTEXT, by=ASKER
    )
    assert [(part.label, part.media_type, part.data) for part in opened] == [
        ("greeting", "text/plain", PARTS[0]),
        ("zeros", "application/octet-stream", PARTS[1]),
    ]
    assert bytes(Sealed.from_bytes(bytes(sealed))) == value["sealed"]
    assert WALLETS
