"""One writer of a chain in a process, however often the process opens it: handles share writer and store, and count.

A cell of a notebook runs twice, two parts of a program open the same chain: each gets a handle, and the last one that
is closed closes the chain. A handle that nobody holds any more does not count.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from medchain._opening import registry_of, system_clock
from medchain._writer import Writer
from medchain.errors import ConsensusError, Locked, StorageError
from medchain.keys.party import Party
from medchain.keys.wallet import Wallet
from medchain.ledger.archive import Archive
from medchain.ledger.entry import Genesis, Predecessor
from medchain.ledger.registry import Registry
from medchain.policy import GateSet
from medchain.storage.api import Store
from medchain.storage.blobs import BlobStore
from medchain.storage.mark import Mark
from medchain.storage.places import Place

__all__ = ["Sharing", "once_in_process"]

PATIENCE = 10.0
"""Seconds for which opening waits until the same chain is closed in this process."""

Path_ = str | PathLike[str]


class Sharing:
    """What the handles of one open chain share. Made for each chain, also for those that have one handle for ever.

    Args:
        archive, registry, genesis, blobs: of the chain.
        writer: None if it is open for reading.
    """

    def __init__(
        self,
        archive: Archive,
        registry: Registry,
        genesis: Genesis,
        blobs: BlobStore,
        writer: Writer | None = None,
    ) -> None:
        self.archive = archive
        self.registry = registry
        self.genesis = genesis
        self.blobs = blobs
        self.writer = writer
        self.handles: weakref.WeakSet[Any] = weakref.WeakSet()
        self.site: _Site | None = None
        self.closing = False
        self.closed = threading.Event()
        self._pid = os.getpid()

    def join(self, handle: _Handle) -> None:
        """Count a handle, as long as somebody holds it."""
        with _lock:
            self.handles.add(handle)

    def check_usable(self, handle: object) -> None:
        """Refuse what a handle is asked for that is closed, or that came through a fork.

        Raises:
            ValueError: it is closed, though the chain may be open by other handles.
            Locked: this is a forked child. A chain in memory is the child's own copy, to read.
        """
        if handle not in self.handles:
            raise ValueError("the chain is closed")
        if self.archive.store.bound_to_process and self._pid != os.getpid():
            raise Locked("a forked child cannot use the chain of its parent; open it after forking")

    def leave(self, handle: _Handle) -> None:
        """Finish what was submitted; with the last handle, close writer and store. Broken off, it may be said again."""
        with _lock:
            if handle not in self.handles:
                return
            last = len(self.handles) == 1
            if last:
                self.closing = True  # and the handle stays until that is done
            else:
                self.handles.discard(handle)
        if last:
            self.close()
        elif self.writer is not None:
            self.writer.drain()

    def close(self) -> None:
        """Close writer and store, whoever has a handle."""
        try:
            if self.writer is not None:
                self.writer.close()
        finally:
            try:
                self.archive.store.close()
            finally:
                self.closed.set()
                self._forget()

    def publish(self, site: _Site) -> None:
        """Let this process find it again where it lies."""
        site.hold()
        self.site = site
        with _lock:
            _open[site.key] = self

    def _forget(self) -> None:
        with _lock:
            self.handles.clear()
            for key in [key for key, shared in _open.items() if shared is self]:
                del _open[key]
        if self.site is not None:
            self.site.release()

    @property
    def stopped(self) -> bool:
        """Whether nothing can be written any more: it is being closed, or its engine has failed."""
        return self.closing or (self.writer is not None and self.writer.engine.failure is not None)

    def check_terms(
        self, authority: Wallet, registry: Registry, mark: Path_ | None, clock: Callable[[], int]
    ) -> None:
        """Refuse a further handle that is to write on other terms than the first.

        Raises:
            ValueError: with another wallet, another mark, another clock, or other contracts.
        """
        assert self.writer is not None
        if authority.log_key(self.genesis.tag).public != self.genesis.log_key:
            raise ValueError("this wallet is not the authority that founded the chain")
        kept = self.writer.mark
        wanted = Mark.of(self.genesis.id).path if mark is None else Path(mark)
        if kept is None or wanted.resolve() != kept.path.resolve():
            raise ValueError(
                f"the chain is open in this process with another mark than {wanted}: name the same one, or close it"
            )
        if clock != self.writer.clock:
            raise ValueError(
                "the chain is open in this process with another clock: pass the same one, or close it first"
            )
        here, there = registry.classes, self.registry.classes
        differing = [key for key in here.keys() | there.keys() if here.get(key) is not there.get(key)]
        if differing:
            name, version = min(differing)
            raise ValueError(
                f"the chain is open in this process with another class for contract {name}/{version}, or without it:"
                " close it first, so that this one is used"
            )

    def check_founding(
        self, origin: str, gate: Party | GateSet | None, predecessor: Predecessor | None
    ) -> None:
        """Refuse to take this chain for a new one that would be another.

        Raises:
            StorageError: the chain was founded with another origin, gate or predecessor.
        """
        genesis = self.genesis
        gates = GateSet(1, (gate,)) if isinstance(gate, Party) else gate
        there = GateSet(genesis.gate_threshold, genesis.gate) if genesis.gate else None
        if (origin, gates, predecessor) != (genesis.origin, there, genesis.predecessor):
            raise StorageError(
                f"another chain, {genesis.origin}, lies there already and is open in this process"
            )


class _Site:
    """Where an open chain lies: at a place, or in a store that the caller has opened and brings.

    A folder is not to be mistaken for another one that has taken its name since.
    """

    def __init__(self, where: Place | Store) -> None:
        self.name = str(where)
        # A store is kept by the chain that is open in it, so no other one can have its number.
        self.key = where.key if isinstance(where, Place) else f"store:{id(where)}"
        self._folder = where.folder.resolve() if isinstance(where, Place) and where.folder else None
        self._fd: int | None = None

    def hold(self) -> None:
        """Remember what it is, from when a chain is open there."""
        if self._folder is not None:
            # Held, so that its number is not given to another folder. On Windows a folder cannot be opened, nor removed
            # while its files are open.
            with suppress(OSError):
                self._fd = os.open(self._folder, os.O_RDONLY)
            self._known = self._folder.stat()

    @property
    def is_same(self) -> bool:
        """Whether the place is still the one that was opened."""
        if self._folder is None:
            return True  # a store is itself, and the writer's session notices when its schema goes
        try:
            return os.path.samestat(self._known, self._folder.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Let the folder go."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class _Handle(Protocol):
    """What the handles of chains are here."""

    _shared: Sharing

    def __init__(self, shared: Sharing, blobs: BlobStore | None = None) -> None: ...

    def close(self) -> None: ...


C = TypeVar("C", bound=_Handle)
Opening = TypeVar("Opening", bound=Callable[..., Any])


def once_in_process(opening: Opening) -> Opening:
    """Let what opens a chain give a further handle, if the chain is open for writing in this process already.

    One thread at a time opens, so that the second of two finds what the first has opened. Chains for reading are
    opened each time.
    """

    @functools.wraps(opening)
    def opened(cls: type[_Handle], path: Path_, **options: Any) -> _Handle:
        if options.get("authority") is None:
            return cast(_Handle, opening(cls, path, **options))
        with _opening:
            store = options.get("store")
            site = _Site(Place.parse(path) if store is None else store)
            chain = _rejoin(cls, site, options)
            if chain is not None:
                return chain
            try:
                chain = cast(_Handle, opening(cls, path, **options))
                chain._shared.publish(site)
                return chain
            except BaseException:
                if chain is not None:
                    chain.close()
                raise

    return cast(Opening, opened)


def _rejoin(cls: type[C], site: _Site, options: Mapping[str, Any]) -> C | None:
    """A further handle of the chain that is open for writing at `site` in this process; None if none is.

    Raises:
        ValueError, StorageError: it is open on other terms, see `Sharing.check_terms` and `Sharing.check_founding`.
        ConsensusError: its engine has stopped.
        Locked: it is being closed, and that takes long.
    """
    while True:
        with _lock:
            shared = _open.get(site.key)
            if shared is None or shared.closed.is_set() or shared.site is None or not shared.site.is_same:
                return None
            if not shared.stopped:
                registry = registry_of(options.get("contracts"))
                clock = options.get("clock", system_clock)
                shared.check_terms(options["authority"], registry, options.get("mark"), clock)
                if "origin" in options:
                    shared.check_founding(options["origin"], options["gate"], options.get("predecessor"))
                return cls(shared, options.get("blobs"))
            given_up = not shared.handles
        if given_up:
            shared.close()
        elif not shared.closing:
            raise ConsensusError(
                f"{site.name} is open in this process, but its engine has stopped: close it first"
            )
        elif not shared.closed.wait(PATIENCE):
            raise Locked(f"{site.name} is being closed in this process, and that takes long")


_open: dict[str, Sharing] = {}
_lock = threading.RLock()
_opening = threading.RLock()


def _after_fork() -> None:
    # The parent's writer is not the child's: opening the chain there has to meet the parent's lock.
    global _lock, _opening
    _open.clear()
    _lock, _opening = threading.RLock(), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
