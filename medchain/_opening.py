"""What creating and opening a chain takes: its contracts, its genesis, its mark, its last block."""

from __future__ import annotations

import importlib.metadata
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from medchain.errors import InvalidBlock, StorageError
from medchain.keys.party import Party
from medchain.keys.wallet import Wallet
from medchain.ledger.archive import Archive
from medchain.ledger.contract import Contract
from medchain.ledger.entry import Genesis, Predecessor, chain_tag, check_origin
from medchain.ledger.governance.contract import gate_of
from medchain.ledger.layout import leaf_key
from medchain.ledger.registration import check
from medchain.ledger.registry import Registry
from medchain.ledger.transition import Block, Tip
from medchain.ledger.versions import stored_nodes
from medchain.merkle.packed import PackedMap
from medchain.policy import GateSet
from medchain.storage.blobs import BlobStore
from medchain.storage.late import LateBlobs
from medchain.storage.mark import Mark
from medchain.storage.places import Place

__all__ = [
    "blobs_at",
    "check_mark",
    "check_name",
    "check_vacant",
    "commit_first",
    "installed_contracts",
    "load_tip",
    "new_genesis",
    "registry_of",
    "stored_gate",
    "stored_genesis",
]


def installed_contracts() -> list[type[Contract]]:
    """The contracts of all installed packages, by their entry points in the group ``medchain.contracts``."""
    points = importlib.metadata.entry_points(group="medchain.contracts")
    return [point.load() for point in sorted(points, key=lambda point: point.name)]


def system_clock() -> int:
    """The time now, ms since the epoch."""
    return time.time_ns() // 1_000_000


def registry_of(contracts: Iterable[type[Contract]] | None) -> Registry:
    """These contract classes, or all installed ones; TypeError if one of them cannot be a contract."""
    chosen = installed_contracts() if contracts is None else list(contracts)
    for contract in chosen:
        check(contract)
    return Registry(chosen)


def new_genesis(
    origin: str,
    authority: Wallet,
    gate: Party | GateSet | None,
    registry: Registry,
    predecessor: Predecessor | None,
    now: int,
) -> Genesis:
    """The document of a new chain, with a nonce of its own."""
    nonce = secrets.token_bytes(32)
    gates = GateSet(1, (gate,)) if isinstance(gate, Party) else gate
    return Genesis(
        origin=origin,
        nonce=nonce,
        time=now,
        log_key=authority.log_key(chain_tag(origin, nonce)).public,
        authorities=(authority.party,),
        threshold=1,
        gate=() if gates is None else gates.parties,
        gate_threshold=0 if gates is None else gates.threshold,
        parameters={},
        contracts={
            f"{name}/{each.version}": registry.digests[name, each.version]
            for name, each in registry.newest().items()
        },
        predecessor=predecessor,
    )


def blobs_at(place: Place, blobs: BlobStore | None, *, read_only: bool = False) -> BlobStore:
    """The given blob store, or the files in a chain's folder; who only reads the chain leaves them as they are.

    Where a chain has no folder, a store that raises StorageError when it is used, and says so.
    """
    if blobs is not None:
        return blobs
    if place.folder is None:
        return LateBlobs(partial(_no_folder, place), f"none at {place}")
    from medchain.storage.files import FileBlobs

    return FileBlobs(place.folder / "blobs", read_only=read_only)


def _no_folder(place: Place) -> BlobStore:
    raise StorageError(
        f"{place} is no folder, so sealed data has no place of its own there: open the chain with blobs=…"
    )


def stored_genesis(archive: Archive) -> Genesis:
    """The document that founded the stored chain.

    Raises:
        InvalidBlock: the log does not begin with one, or it is not the one that was hashed.
    """
    header = archive.header(0)
    if header.genesis is None:
        raise InvalidBlock("the log does not begin with a genesis document", index=0)
    return header.genesis


def stored_gate(archive: Archive) -> GateSet | None:
    """The gate as it stands in the stored state, at one moment; None if there is none."""
    with archive.store.snapshot() as moment:
        threshold, members = gate_of(archive.at(moment))
    return GateSet(threshold, members) if members else None


def check_vacant(archive: Archive, place: object) -> None:
    """Refuse to found a chain where something is already; StorageError says what it is."""
    if archive.founded:
        raise StorageError(f"{place} holds a chain already; Chain.open(path, authority=…) opens it")
    if not archive.empty:
        raise StorageError(f"{place} holds something else already, or a snapshot that was restored in part")


def commit_first(archive: Archive, block: Block, mark: Mark) -> None:
    """Store the genesis block of a new chain, and its mark first, so that a stored chain has one wherever this ends.

    Where the block does not come to lie in the store, the mark goes again, for it would keep the next attempt out.
    """
    try:
        mark.advance(block.tip.head)
        archive.commit(block)
    except BaseException:
        with suppress(StorageError):  # what went wrong first says more
            if archive.empty:
                mark.withdraw()
        raise


def check_name(origin: str, predecessor: str | None) -> None:
    """Whether a chain may have this origin, going on from one with the origin `predecessor`; ValueError if not."""
    check_origin(origin)
    if origin == predecessor:
        raise ValueError(
            f"a chain that goes on from {origin} needs an origin of its own: by the name of its log every trust file,"
            " witness and wallet tells one from the other"
        )


def check_mark(archive: Archive, mark: Mark) -> None:
    """Whether this store holds everything that was ever signed for the chain."""
    if mark.latest is None:
        raise StorageError(
            f"the mark {mark.path} is missing, so nobody can tell whether this is an old copy of the chain. Name it by"
            " mark=, or found a new chain that names this one as its predecessor"
        )
    size = archive.tip().size
    if size < mark.latest.size:
        raise StorageError(
            f"this is an old copy of the chain: it has {size} leaves, {mark.latest.size} have been signed. Open the"
            " newer copy, or found a new chain that names this one as its predecessor"
        )
    if archive.head(mark.latest.size).root != mark.latest.root:
        raise InvalidBlock(f"the stored log is not the one that was signed at size {mark.latest.size}")


def load_tip(archive: Archive) -> Tip:
    """Where a stored chain stands: what the next block builds on, checked against the last header and the tiles.

    Args:
        archive: the chain, on one moment.

    Raises:
        InvalidBlock: what is stored contradicts itself.
    """
    stored = archive.tip()
    if stored.header != stored.size - 1:
        raise InvalidBlock("the stored log does not end with a header", index=stored.header)
    header = archive.header(stored.header)
    if archive.reader.get(leaf_key(stored.size)) is not None:
        raise InvalidBlock(
            "a block is stored in part: this store does not write whole batches. Restore a snapshot or another copy",
            index=stored.size,
        )
    if archive.head(stored.size).root != stored.log.root:
        raise InvalidBlock("the stored hash tiles are not those of the last block", index=stored.header)
    return Tip(
        header, stored.log, PackedMap.at(header.height, header.state_root, stored_nodes(archive.store))
    )
