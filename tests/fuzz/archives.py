"""Doors of what a chain keeps beside its log: nodes of the state map, snapshots, pins, sealed data; and of audits.

A store that holds what no chain has written, and a log that signs whatever snapshot is put before it, as in `logs.py`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

from attrs import evolve
from fuzz import seeds
from fuzz.decoder import Read
from fuzz.logs import LOG_KEY, last_header, stored
from ledger.counting import Add, Put
from ledger.world import CONTRACTS, World, content, copy

import medchain as mc
from medchain._opening import load_tip
from medchain.access.blob_audit import audit_blobs
from medchain.access.contract import AccessContract
from medchain.encoding import decode, encode
from medchain.errors import EncodingError, InvalidBlock
from medchain.ledger.archive import Archive
from medchain.ledger.audit import audit
from medchain.ledger.entry import Header, parse_leaf
from medchain.ledger.layout import pin_key, row_map_key
from medchain.ledger.note import Note, NoteSigner, VerifierKey
from medchain.ledger.registry import Registry
from medchain.ledger.restoring import restore
from medchain.ledger.snapshot import FIRST_LINE, VERSION, SnapshotHead, SnapshotReader, write_snapshot
from medchain.ledger.state import NO_ROWS, Overlay
from medchain.ledger.tables import Table, TableView
from medchain.merkle import EMPTY_MAP, Head, SparseMap, leaf_hash, node_hash
from medchain.merkle.mapproof import map_leaf
from medchain.merkle.packed import Load, PackedMap, node_key
from medchain.records import encode_record
from medchain.storage.blobs import MemoryBlobs
from medchain.storage.memory import MemoryStore
from medchain.storage.objects import ObjectBlobs

# Nodes of the state map.


def _row(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


@functools.cache
def _nodes() -> tuple[bytes, dict[bytes, bytes]]:
    """The root of a map of two floors, and its nodes by their keys."""
    update = PackedMap.empty(lambda keys: [None for _ in keys]).updated_hashed(
        {_row(number): bytes([1] * 32) for number in range(200)}, 0
    )
    return update.map.root, dict(update.nodes)


def _load(nodes: dict[bytes, bytes]) -> Load:
    return lambda keys: [nodes.get(key) for key in keys]


def map_root(data: bytes) -> Any:
    """The root node of a stored state map, of which somebody has signed whatever root it makes."""
    return _use({**_nodes()[1], node_key(0, b""): data}, _root_of(data))


def map_node(data: bytes) -> Any:
    """A node below the root, which the root knows the hash of."""
    root, nodes = _nodes()
    return _use({**nodes, node_key(0, b"\0"): data}, root)


def map_node_seeds(path: bytes) -> Callable[[], Sequence[bytes]]:
    """A node as it is written; at the root also that of a map of few rows, and of none."""
    few = [b"\x01\0" + b"".join(key + bytes([1] * 32) for key in sorted(map(_row, range(3)))), b"\x01\0"]
    return lambda: [_nodes()[1][node_key(0, path)], *(few if path == b"" else [])]


def _use(nodes: dict[bytes, bytes], root: bytes) -> Any:
    """Prove rows and change some in a map, old nodes touched; then in the map after that."""
    found = PackedMap.at(0, root, _load(nodes))
    asked = [EMPTY_MAP, *map(_row, range(3))]
    for key in asked:
        found.prove_hashed(key).verify_hashed(key, found.get_hashed(key), root=root)
    found.since(-1)
    changes: dict[bytes, bytes | None] = {asked[0]: bytes([2] * 32), asked[1]: None}
    update = found.updated_hashed(changes, 1, bar=0, touch=4)
    again = PackedMap.at(1, update.map.root, _load(nodes | dict(update.nodes)))
    assert again.get_hashed(asked[0]) == bytes([2] * 32)
    assert again.get_hashed(asked[1]) is None
    return len(again)


def _root_of(node: bytes) -> bytes:
    """The root of a map with this root node, as an evil log would sign it."""
    if node[:2] == b"\x02\0":
        present, children = int.from_bytes(node[2:4], "big"), node[4:]
        level: list[tuple[bytes, int]] = []
        for nibble in range(16):
            if present >> 15 - nibble & 1:
                level.append((children[:32].ljust(32, b"\0"), int.from_bytes(children[48:56], "big")))
                children = children[56:]
            else:
                level.append((EMPTY_MAP, 0))
        while len(level) > 1:
            level = [_joined(*level[at : at + 2]) for at in range(0, len(level), 2)]
        return level[0][0]
    if node[:2] != b"\x01\0":
        return EMPTY_MAP
    rows = {
        node[at : at + 32]: node[at + 32 : at + 64] for at in range(2, min(len(node), 2 + 64 * 32) - 63, 64)
    }
    if len(rows) == 1:
        return map_leaf(*next(iter(rows.items())))
    return SparseMap.from_hashed(rows).root if EMPTY_MAP not in rows.values() else EMPTY_MAP


def _joined(left: tuple[bytes, int], right: tuple[bytes, int]) -> tuple[bytes, int]:
    rows = left[1] + right[1]
    if rows > 1:
        return node_hash(left[0], right[0]), rows
    return (left if left[1] else right) if rows else (EMPTY_MAP, 0)


# Snapshots.


def snapshot(data: bytes) -> Any:
    """A snapshot file, from anybody."""
    with SnapshotReader(BytesIO(data), seeds.chained().trust) as reader:
        return len(list(reader.rows()))


def snapshot_head(data: bytes) -> Any:
    """What a snapshot says of itself, in a right frame and before right rows."""
    _, rows = _parts()
    return snapshot(_framed(data) + rows)


def snapshot_head_seeds() -> tuple[bytes, ...]:
    """The head of a snapshot."""
    return (_parts()[0],)


def _parts() -> tuple[bytes, bytes]:
    """Head and rows of the snapshot among the seeds."""
    (whole,) = seeds.chained().papers["snapshot"]
    start = len(FIRST_LINE + VERSION) + 4
    end = start + int.from_bytes(whole[start - 4 : start], "big")
    return whole[start:end], whole[end:]


def _framed(head: bytes) -> bytes:
    return FIRST_LINE + VERSION + len(head).to_bytes(4, "big") + head


def _restored(leaves: tuple[bytes, bytes], pairs: Sequence[tuple[bytes, bytes]]) -> Any:
    """Restore from a snapshot over genesis and header, which the log has really signed, and open what came of it."""
    hashed = tuple(map(leaf_hash, leaves))
    real, head = seeds.chained().trust, Head(2, node_hash(*hashed))
    chain = real.chain
    with contextlib.suppress(EncodingError):
        first = parse_leaf(leaves[0])
        if isinstance(first, Header) and first.genesis is not None:
            chain = first.genesis.id
    said = mc.Checkpoint.text(real.origin, head)
    note = Note(said, ()).signed_with(NoteSigner(real.origin, LOG_KEY).sign(said))
    told = SnapshotHead(*leaves, (head.root,), hashed[1:], hashed[:1], bytes(note), len(pairs))
    rows = b"".join(
        len(key).to_bytes(2, "big") + len(row).to_bytes(4, "big") + key + row for key, row in pairs
    )
    store, trust = MemoryStore(), mc.Trust((VerifierKey(real.origin, LOG_KEY.public),), chain, real.tag)
    with SnapshotReader(BytesIO(_framed(encode_record(told)) + rows), trust) as reader:
        restore(store, reader)
    archive = Archive(store)
    tip = load_tip(archive)
    archive.prove_inclusion(1, 2).verify(leaves[1], index=1, head=tip.head)
    assert len(tip.map) == len(pairs)
    return archive.base


def restored_leaves(data: bytes) -> Any:
    """enc[leaf of the genesis, leaf of the last header]: a snapshot of them, without rows."""
    match decode(data):
        case [bytes(genesis), bytes(header)]:
            return _restored((genesis, header), ())
        case _:
            raise EncodingError("not a case of this harness")


def restored_leaves_seeds() -> tuple[bytes, ...]:
    """The genesis of the chain, and a header of a state without rows."""
    header = evolve(last_header(), state_root=EMPTY_MAP)
    return (encode([seeds.chained().archive.leaf(0), header.leaf]),)


def restored_rows(data: bytes) -> Any:
    """enc[[order key, row], …]: a snapshot of these rows, the state root in its header being theirs."""
    pairs: list[tuple[bytes, bytes]] = []
    match decode(data):
        case [*items]:
            for item in items:
                match item:
                    case [bytes(key), bytes(row)] if len(key) < 1 << 16:
                        pairs.append((key, row))
                    case _:
                        raise EncodingError("not a case of this harness")
        case _:
            raise EncodingError("not a case of this harness")
    hashes: dict[bytes, bytes] = {}
    with contextlib.suppress(InvalidBlock):
        hashes = {row_map_key(key, row): hashlib.sha256(row).digest() for key, row in pairs}
    header = evolve(last_header(), state_root=SparseMap.from_hashed(hashes).root)
    return _restored((seeds.chained().archive.leaf(0), header.leaf), pairs)


def restored_rows_seeds() -> tuple[bytes, ...]:
    """A few rows of several tables."""
    rows = list(seeds.chained().store.scan(b"r", b"s"))
    return tuple(
        encode([list(pair) for pair in chosen]) for chosen in (rows[:: len(rows) // 6], rows[:1], [])
    )


# A stored chain.


def restored_base(data: bytes) -> Any:
    """Where a chain begins that was restored, and one of the nodes that it has of the log before."""
    pins = {pin_key(8, 2): bytes([1] * 32), pin_key(8, 3): bytes([2] * 32)}
    archive = Archive(copy({b"mbase": data, **pins}))
    return archive.base, archive.node(9, 1)


def stored_row_key() -> Read:
    """A row where it lies, as those read it who rebuild the state map."""
    key = AccessContract.records.order_key(b"x")
    return stored(key, lambda archive: row_map_key(key, archive.get(key) or b""))


@functools.cache
def _small() -> dict[bytes, bytes]:
    """All that a chain of a few blocks has stored."""
    world = World.make()
    with world.chain as chain:
        ann = world.register("ann")
        for number in (1, 2):
            world.send(Add(number), ann)
        chain.checkpoint()
        return content(chain)


def audited(data: bytes) -> Any:
    """enc[key, value]: a chain that has this in its store, read again from its genesis; null takes the key away."""
    match decode(data):
        case [bytes(key), bytes() | None as value] if 0 < len(key) <= 511:
            pairs = _small() | {key: value}
        case _:
            raise EncodingError("not a case of this harness")
    store = copy({key: value for key, value in pairs.items() if value is not None})
    return audit(Archive(store), Registry(CONTRACTS))


def audited_seeds() -> tuple[bytes, ...]:
    """A pair of each kind, as it is."""
    first: dict[bytes, bytes] = {}
    for key in _small():
        first.setdefault(key if key[:1] == b"m" else key[:1], key)
    return tuple(encode([key, _small()[key]]) for key in first.values())


@functools.cache
def _unsigned() -> dict[bytes, bytes]:
    """All that a chain has stored whose last blocks are not signed; rows came, changed and went in them."""
    world = World.make()
    with world.chain as chain:
        ann = world.register("ann")
        for number in (1, 2, 3):
            world.send(Put(f"note {number}", "first"), ann)
        chain.checkpoint()
        for name, text in (("note 1", None), ("note 2", "second"), ("note 4", "first"), ("note 3", None)):
            world.send(Put(name, text), ann)
        return content(chain)


def rewound(data: bytes) -> Any:
    """enc[key, value]: a chain that has this in its store, of which a snapshot is taken where it was signed last."""
    match decode(data):
        case [bytes(key), bytes() | None as value] if 0 < len(key) <= 511:
            pairs = _unsigned() | {key: value}
        case _:
            raise EncodingError("not a case of this harness")
    store = copy({key: value for key, value in pairs.items() if value is not None})
    return write_snapshot(Archive(store), len, tables=[("counting", "notes")]).height


def rewound_seeds() -> tuple[bytes, ...]:
    """A pair of each kind, as it is."""
    kinds: dict[bytes, bytes] = {}
    for key in _unsigned():
        kinds.setdefault(key if key[:1] in b"mu" else key[:1], key)
    return tuple(encode([key, _unsigned()[key]]) for key in kinds.values())


# Sealed data.


def audited_blobs(field: str) -> Read:
    """A record whose `field`, the hash of a document, leads to these bytes, in an audit of its blobs."""

    def call(data: bytes) -> Any:
        papers = seeds.chained()
        bundle, blobs, rows = papers.bundle, MemoryBlobs(), Overlay(NO_ROWS)
        for each in (*bundle.documents(), papers.payload, data):
            blobs.put(bundle.object_id, each)
        for id, row in AccessContract.records.view(papers.archive).items():
            if row.object == bundle.object_id:
                changed = evolve(row, **{field: hashlib.sha256(data).digest()})
                AccessContract.records.view(rows)[id] = changed
        chain: Any = _Audited(blobs, rows)
        return audit_blobs(chain)

    return call


class _Audited:
    """What an audit of blobs asks a chain for."""

    def __init__(self, blobs: MemoryBlobs, rows: Overlay) -> None:
        self.origin, self.id = seeds.chained().trust.origin, seeds.chained().genesis.id
        self.blobs, self._rows = blobs, rows

    def table(self, table: Table[Any]) -> TableView[Any]:
        return table.view(self._rows)


def body_of(data: bytes) -> Any:
    """The small object of an object store that names the body of a long blob."""

    class Bucket:
        def read(self, key: str, limit: int) -> tuple[bytes, str | None]:
            return data[:limit], None

    blobs = ObjectBlobs.__new__(ObjectBlobs)  # a client of a real one runs threads
    vars(blobs)["_bucket"] = Bucket()
    return blobs._body_of(bytes(32), bytes(32))
