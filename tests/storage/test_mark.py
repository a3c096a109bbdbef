"""The mark: never back, never lost, never for two histories."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medchain.errors import Locked, StorageError
from medchain.merkle import Head
from medchain.storage import Mark
from medchain.storage._files import write_file
from medchain.storage.lock import FileLock

CHAIN = b"\x0c" * 32
FIRST = Head(3, b"\x01" * 32)
SECOND = Head(4, b"\x02" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "marks" / "mark"


def test_a_new_mark_is_empty_and_writes_nothing(path: Path) -> None:
    assert Mark(path, chain_id=CHAIN).latest is None
    assert not path.parent.exists()


def test_an_advance_is_read_back(path: Path) -> None:
    mark = Mark(path, chain_id=CHAIN)
    for head in (FIRST, FIRST, SECOND):
        mark.advance(head)
        assert mark.latest == Mark(path, chain_id=CHAIN).latest == head


def test_it_never_goes_back_nor_aside(path: Path) -> None:
    mark = Mark(path, chain_id=CHAIN)
    mark.advance(SECOND)
    for head in (FIRST, Head(SECOND.size, FIRST.root)):
        with pytest.raises(StorageError, match="two histories"):
            mark.advance(head)
    assert Mark(path, chain_id=CHAIN).latest == SECOND


def test_an_empty_log_is_not_marked(path: Path) -> None:
    with pytest.raises(ValueError, match="empty log"):
        Mark(path, chain_id=CHAIN).advance(Head(0, bytes(32)))


def test_a_copy_that_signs_elsewhere_is_noticed(path: Path) -> None:
    ours, theirs = Mark(path, chain_id=CHAIN), Mark(path, chain_id=CHAIN)
    theirs.advance(FIRST)
    with pytest.raises(StorageError, match="another copy"):
        ours.advance(SECOND)
    path.unlink()
    with pytest.raises(StorageError, match="another copy"):
        theirs.advance(SECOND)


def test_two_that_sign_at_once_do_not_mix(path: Path) -> None:
    mark = Mark(path, chain_id=CHAIN)
    mark.advance(FIRST)
    lock = FileLock(path.with_name("mark.lock"))
    with pytest.raises(Locked):
        mark.advance(SECOND)
    lock.release()
    mark.advance(SECOND)


def test_every_damaged_byte_is_noticed(path: Path) -> None:
    Mark(path, chain_id=CHAIN).advance(FIRST)
    good = path.read_bytes()
    for position in range(len(good)):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(StorageError, match="damaged"):
            Mark(path, chain_id=CHAIN)
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(StorageError, match="damaged"):
            Mark(path, chain_id=CHAIN)


def test_a_mark_of_another_chain_is_refused(path: Path) -> None:
    Mark(path, chain_id=CHAIN).advance(FIRST)
    with pytest.raises(StorageError, match="belongs to the chain 0c0c"):
        Mark(path, chain_id=bytes(32))


def test_a_place_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        Mark(tmp_path / "file" / "mark", chain_id=CHAIN).advance(FIRST)


def test_a_chain_id_has_32_bytes(path: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Mark(path, chain_id=b"short")


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="these have their own folders for state")
def test_the_usual_place_follows_the_xdg_base_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert Mark.of(CHAIN).path == tmp_path / "state" / "medchain" / "marks" / CHAIN.hex()
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Mark.of(CHAIN).path == tmp_path / "home" / ".local" / "state" / "medchain" / "marks" / CHAIN.hex()


def test_it_is_durable_before_it_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda self, to: (steps.append("rename"), replace(self, to))[1])
    mark = Mark(path, chain_id=CHAIN)
    mark.advance(FIRST)
    assert steps[-3:] == ["fsync", "rename", "fsync"]


@pytest.mark.parametrize("where", ["before", "after"])
def test_an_interrupt_in_an_advance_does_not_look_like_another_copy(
    path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    mark = Mark(path, chain_id=CHAIN)
    mark.advance(FIRST)
    with monkeypatch.context() as patch:
        patch.setattr("medchain.storage.mark.write_file", interrupted(write_file, where))
        with pytest.raises(KeyboardInterrupt):
            mark.advance(SECOND)
    for head in (SECOND, Head(5, b"\x03" * 32)):
        mark.advance(head)
        assert Mark(path, chain_id=CHAIN).latest == mark.latest == head


def test_what_was_attempted_does_not_hide_another_copy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = Mark(path, chain_id=CHAIN), Mark(path, chain_id=CHAIN)
    with monkeypatch.context() as patch:
        patch.setattr("medchain.storage.mark.write_file", interrupted(write_file, "before"))
        with pytest.raises(KeyboardInterrupt):
            ours.advance(SECOND)
    theirs.advance(FIRST)
    with pytest.raises(StorageError, match="another copy"):
        ours.advance(SECOND)
    with pytest.raises(StorageError, match="another process"):
        ours.withdraw()
    assert Mark(path, chain_id=CHAIN).latest == FIRST


def test_a_mark_of_a_chain_that_never_was_is_withdrawn(path: Path) -> None:
    mark = Mark(path, chain_id=CHAIN)
    mark.withdraw()
    mark.advance(FIRST)
    mark.withdraw()
    assert not path.exists()
    Mark(path, chain_id=bytes(32)).advance(FIRST)


@pytest.mark.parametrize(
    "step", ["os.open", "medchain.storage.lock.lock_descriptor", "os.ftruncate", "os.write"]
)
def test_an_interrupt_while_a_lock_is_taken_leaves_it_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    module, _, name = step.rpartition(".")
    real = getattr(sys.modules[module], name)
    where = "before" if step == "os.open" else "after"
    with monkeypatch.context() as patch:
        patch.setattr(step, interrupted(real, where))
        with pytest.raises(KeyboardInterrupt) as caught:
            FileLock(tmp_path / "lock")
    FileLock(tmp_path / "lock").release()  # while the traceback still holds all that was half made
    assert caught.value


def test_a_lock_that_nobody_holds_any_more_is_free(tmp_path: Path) -> None:
    FileLock(tmp_path / "lock")
    FileLock(tmp_path / "lock").release()


def interrupted(real: Callable[..., Any], where: str) -> Callable[..., Any]:
    """As `real`, but Ctrl-C comes just before or just after its work."""

    def call(*arguments: Any) -> Any:
        if where == "after":
            real(*arguments)
        raise KeyboardInterrupt

    return call
