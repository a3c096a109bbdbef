"""Doors of what is stored: a chain's keys, nodes of its state map, snapshots, marks, blobs."""

from __future__ import annotations

from fuzz import archives, logs, seeds
from fuzz.decoder import Decoder, by_file, fixed
from fuzz.logs import paper, stored
from fuzz.mutations import Form

from medchain.encoding import encode
from medchain.errors import (
    BlobDamaged,
    EncodingError,
    InvalidBlock,
    NewerFormat,
    NotAChain,
    StorageError,
    VerificationError,
)
from medchain.ledger.layout import Base
from medchain.merkle.packed import least_version
from medchain.records import encode_record

__all__ = ["STORED"]

CHAIN = (
    Decoder(
        "ledger.archive format",
        stored(b"mformat", lambda archive: archive.check_format()),
        (NotAChain, NewerFormat),
        fixed(b"\x01"),
        write=None,
        reaches=("medchain.ledger.archive:Archive.check_format",),
    ),
    Decoder(
        "ledger.archive tip",
        stored(b"mtip", lambda archive: archive.tip()),
        (InvalidBlock,),
        lambda: [seeds.chained().store.get(b"mtip") or b""],
        write=None,
        reaches=("medchain.ledger.archive:Archive.tip",),
    ),
    Decoder(
        "ledger.archive leaf",
        stored(b"e" + bytes(8), lambda archive: archive.parsed(0)),
        (InvalidBlock,),
        paper("leaf"),
        Form.BINARY,
        write=None,
    ),
    Decoder(
        "ledger.archive height",
        stored(b"h" + bytes(8), lambda archive: archive.header_index(0)),
        (InvalidBlock,),
        fixed(bytes(7) + b"\x09"),
        Form.BINARY,
        write=None,
        reaches=("medchain.ledger.layout:read_number",),
    ),
    Decoder(
        "ledger.archive tile",
        stored(b"t" + bytes(9), lambda archive: archive.node(3, 0)),
        (InvalidBlock,),
        fixed(b"\1" * (32 * 8)),
        Form.BINARY,
        write=None,
    ),
    Decoder(
        "ledger.archive base",
        archives.restored_base,
        (InvalidBlock, StorageError),
        fixed(encode_record(Base(1_000, 9)), encode_record(Base(800, 9))),
        write=None,
        reaches=("medchain.ledger.archive:Archive.base", "medchain.ledger.archive:Archive._pinned"),
    ),
    Decoder(
        "ledger.archive row key",
        archives.stored_row_key(),
        (InvalidBlock,),
        fixed(encode([b"x", {"a": 1}])),
        write=None,
        reaches=(
            "medchain.ledger.layout:row_map_key",
            "medchain.ledger.tables:read_row",
            "medchain.ledger.tables:read_key",
        ),
    ),
    Decoder(
        "ledger.tables row",
        logs.stored_row,
        (EncodingError,),
        logs.stored_row_seeds,
        write=None,
        reaches=("medchain.ledger.tables:Table.read",),
    ),
    Decoder(
        "access.trail of a stored timer",
        logs.stored_timer,
        (InvalidBlock,),
        paper("timer"),
        write=None,
        reaches=("medchain.access.trail:_content",),
    ),
    Decoder(
        "storage.Mark",
        by_file(logs.mark),
        (StorageError,),
        logs.mark_seeds,
        Form.TEXT,
        write=None,
        reaches=("medchain.storage.mark:Mark._read",),
    ),
    Decoder(
        "storage.FileBlobs format",
        logs.blobs_format,
        (NewerFormat, NotAChain),
        fixed("medchain-blobs 1\n"),
        Form.TEXT,
        write=None,
        slow=True,
        reaches=("medchain.storage.files:FileBlobs._prepare",),
    ),
)

STATE = (
    Decoder(
        "merkle.PackedMap of a root node",
        archives.map_root,
        (InvalidBlock,),
        archives.map_node_seeds(b""),
        Form.BINARY,
        write=None,
        reaches=(
            "medchain.merkle.packed:PackedMap.at",
            "medchain.merkle.packed:_checked",
            "medchain.merkle.packed:_children",
            "medchain.merkle.packed:_below",
            "medchain._native.packed:_keys",
        ),
    ),
    Decoder(
        "merkle.PackedMap of a node below",
        archives.map_node,
        (InvalidBlock,),
        archives.map_node_seeds(b"\0"),
        Form.BINARY,
        write=None,
        reaches=(
            "medchain._native.packed:MapBatch.missing",
            "medchain._native.packed:MapBatch.change",
            "medchain._native.packed:Made.pairs",
        ),
    ),
    Decoder(
        "merkle.least_version",
        lambda data: least_version(data, 7),
        (InvalidBlock,),
        archives.map_node_seeds(b""),
        Form.BINARY,
        write=None,
        reaches=("medchain.merkle.packed:_children",),
    ),
    Decoder(
        "ledger.SnapshotReader",
        archives.snapshot,
        (EncodingError, InvalidBlock, NewerFormat, VerificationError),
        paper("snapshot"),
        Form.BINARY,
        write=None,
        reaches=(
            "medchain.ledger.snapshot:SnapshotReader.__init__",
            "medchain.ledger.snapshot:SnapshotReader._number",
            "medchain.ledger.snapshot:SnapshotReader.rows",
        ),
    ),
    Decoder(
        "ledger.SnapshotHead",
        archives.snapshot_head,
        (EncodingError, InvalidBlock, VerificationError),
        archives.snapshot_head_seeds,
        write=None,
        reaches=("medchain.ledger.snapshot:SnapshotReader._header",),
    ),
    Decoder(
        "ledger.restore of leaves",
        archives.restored_leaves,
        (EncodingError, InvalidBlock, VerificationError),
        archives.restored_leaves_seeds,
        write=None,
        reaches=(
            "medchain.ledger.restoring:border_nodes",
            "medchain.ledger.restoring:partial_tiles",
            "medchain.ledger.archive:Archive.base",
        ),
    ),
    Decoder(
        "ledger.restore of rows",
        archives.restored_rows,
        (EncodingError, InvalidBlock),
        archives.restored_rows_seeds,
        write=None,
        reaches=("medchain.ledger.restoring:state_of", "medchain.ledger.layout:row_map_key"),
    ),
    Decoder(
        "ledger.write_snapshot of a changed store",
        archives.rewound,
        (EncodingError, InvalidBlock, StorageError, VerificationError),
        archives.rewound_seeds,
        write=None,
        reaches=("medchain.ledger.rewinding:_gone", "medchain.ledger.rewinding:_tables"),
    ),
    Decoder(
        "ledger.audit of a changed store",
        archives.audited,
        (EncodingError, InvalidBlock, StorageError),
        archives.audited_seeds,
        write=None,
        slow=True,
        reaches=("medchain.ledger.audit:_compare_versions", "medchain.ledger.replaying:_add"),
    ),
)

SEALED = (
    Decoder(
        "access.audit_blobs of a header",
        archives.audited_blobs("header"),
        (),
        lambda: [seeds.chained().bundle.documents()[0]],
        write=None,
        reaches=(
            "medchain.access.blob_audit:_Record._document",
            "medchain.access.blob_audit:_Record._header",
        ),
    ),
    Decoder(
        "access.audit_blobs of a dealing",
        archives.audited_blobs("dealing"),
        (),
        lambda: [seeds.chained().bundle.documents()[1]],
        write=None,
        reaches=("medchain.access.blob_audit:_Record._document",),
    ),
    Decoder(
        "storage.ObjectBlobs body",
        archives.body_of,
        (BlobDamaged,),
        fixed(b"ab" * 32 + b"\n"),
        Form.TEXT,
        write=None,
        reaches=("medchain.storage.objects:ObjectBlobs._body_of",),
    ),
)

STORED = (*CHAIN, *STATE, *SEALED)
