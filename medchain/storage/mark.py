"""The mark: the largest checkpoint that a log key has signed, kept apart from the chain that it belongs to.

A chain that is restored from an old copy looks whole, and signing on from there would show the world two
histories. The mark lies in another place than the store and its copies, is durable before a signature leaves
the process, and so betrays the old copy.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from medchain.errors import StorageError
from medchain.merkle import Head
from medchain.storage._files import fsync_directory, write_file
from medchain.storage._guard import guarded
from medchain.storage.lock import FileLock

__all__ = ["Mark"]

_FORM = re.compile(
    rb"medchain-mark 1\nchain ([0-9a-f]{64})\nsize ([1-9][0-9]{0,18})\nroot ([0-9a-f]{64})\nsha256 ([0-9a-f]{64})\n"
)


class Mark:
    """The mark of one chain, in a small text file.

    `latest` is what was signed last, or None. `advance` moves on; it is the only way to change the file,
    never goes back, and refuses if another process moved it since it was read here. Raises StorageError if
    the file is damaged, belongs to another chain or cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str], *, chain_id: bytes) -> None:
        if len(chain_id) != 32:
            raise ValueError("a chain id has 32 bytes")
        self.path = Path(path)
        self.chain_id = chain_id
        self._latest = self._read()
        self._attempted: Head | None = None

    @classmethod
    def of(cls, chain_id: bytes) -> Mark:
        """Give the mark at its usual place: ``medchain/marks/<chain id>`` in the user's folder for state."""
        return cls(_state_folder() / "medchain" / "marks" / chain_id.hex(), chain_id=chain_id)

    @property
    def latest(self) -> Head | None:
        """The largest checkpoint signed, as of reading or the last `advance`; None if none was."""
        return self._latest

    def advance(self, head: Head) -> None:
        """Record that a checkpoint with this head is about to be signed; durable when this returns.

        The same head again is allowed, and so is going on after an attempt that was broken off. Raises
        StorageError for a smaller size, for another root at the same size, and if another process has signed
        meanwhile; Locked if one is signing right now; ValueError for an empty log.
        """
        if head.size < 1:
            raise ValueError("the checkpoint of an empty log is never signed")
        with guarded(f"write the mark {self.path}"):
            self._make_folder()
            lock = FileLock(self.path.with_name(self.path.name + ".lock"))
            try:
                self._check_step(head)
                self._attempted = head
                write_file(self.path, self._form(head))
                self._latest = head
            finally:
                lock.release()

    def withdraw(self) -> None:
        """Remove the mark of a chain that was never stored, so that its place is free again.

        Raises StorageError if the mark is not the one that was written here.
        """
        # Without the lock, which the very interrupt that leads here may have left in a frame of its traceback: nobody
        # else signs for a chain whose id is known here alone.
        with guarded(f"remove the mark {self.path}"):
            on_disk = self._read()
            if self._attempted is None or on_disk is None:
                return
            if on_disk != self._attempted:
                raise StorageError(f"the mark {self.path} is at {on_disk}, which another process has signed")
            self.path.unlink()
            self._latest = self._attempted = None
            fsync_directory(self.path.parent)

    def _check_step(self, target: Head) -> None:
        on_disk = self._read()
        if on_disk is not None and on_disk == self._attempted:
            self._latest = on_disk  # an attempt of ours got as far as this before it was broken off
        if on_disk != self._latest:
            raise StorageError(
                f"the mark {self.path} is at {on_disk}, but was at {self._latest} when this process read it: another"
                " copy of the chain signs too, or the file was removed. Stop one of them and audit the chain"
            )
        if on_disk is None or target.size > on_disk.size or target == on_disk:
            return
        raise StorageError(
            f"a checkpoint of size {on_disk.size} with root {on_disk.root.hex()} has been signed for this chain;"
            f" signing size {target.size} with root {target.root.hex()} would show two histories"
        )

    def _make_folder(self) -> None:
        folder = self.path.parent
        missing = [folder, *folder.parents]
        missing = [path for path in missing if not path.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in missing:
            fsync_directory(path.parent)

    def _form(self, head: Head) -> bytes:
        text = f"medchain-mark 1\nchain {self.chain_id.hex()}\nsize {head.size}\nroot {head.root.hex()}\n".encode()
        return text + f"sha256 {hashlib.sha256(text).hexdigest()}\n".encode()

    def _read(self) -> Head | None:
        with guarded(f"read the mark {self.path}"):
            try:
                with self.path.open("rb") as file:
                    data = file.read(1024)
            except FileNotFoundError:
                return None
        form = _FORM.fullmatch(data)
        if (
            form is None
            or hashlib.sha256(data[: form.start(4) - len("sha256 ")]).hexdigest().encode() != form[4]
        ):
            raise StorageError(
                f"the mark {self.path} is damaged. Restore it from a copy; if there is none, do not delete it, but"
                " start a new chain that names this one as its predecessor"
            )
        if bytes.fromhex(form[1].decode()) != self.chain_id:
            raise StorageError(f"the mark {self.path} belongs to the chain {form[1].decode()}")
        return Head(int(form[2]), bytes.fromhex(form[3].decode()))

    def __repr__(self) -> str:
        return f"<Mark of chain {self.chain_id.hex()[:16]}… at {self._latest}>"


def _state_folder() -> Path:
    """Find the folder for state that outlives restarts but is no document (XDG base directories and the like)."""
    named = os.environ.get("XDG_STATE_HOME", "")
    if Path(named).is_absolute():
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ".local" / "state"
