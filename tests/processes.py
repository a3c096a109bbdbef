"""Other processes, and disks, for the tests of locks, forks, crashes and faults; a conftest takes the fixtures up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from medchain.storage import Batch, Store

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from medchain.errors import *
from medchain.storage import Batch, FileBlobs, LmdbStore, PostgresStore, SqliteStore
path = Path(sys.argv[1]) if sys.argv[1:] else None
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
def put(store, **pairs):
    batch = Batch()
    for key, value in pairs.items():
        batch.put(key.encode(), value.encode())
    store.commit(batch)
def say(*words):
    print(*words, flush=True)
def hear():
    return sys.stdin.readline().strip()
"""

LONG = os.environ.get("MEDCHAIN_FAULTS") == "long"
"""Whether tests of faults run in their long form."""

Process = subprocess.Popen[str]
Start = Callable[..., Process]
Forked = Callable[[Callable[[], object]], str]


def put(store: Store, **pairs: str | bytes) -> None:
    """Commit pairs."""
    batch = Batch()
    for key, value in pairs.items():
        batch.put(key.encode(), value if isinstance(value, bytes) else value.encode())
    store.commit(batch)


def hear(process: Process) -> str:
    """The next line that a process says."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: Process, word: str = "go") -> None:
    """Send a line to a process."""
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


def wait_until_gone(pid: int, patience: float = 60) -> None:
    """Wait until a process has ended, though its parent may not have asked for it yet."""
    deadline = time.monotonic() + patience
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                raise TimeoutError(f"process {pid} does not end")
            time.sleep(0.01)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process on a script; it talks by lines, and is killed when the test ends."""
    processes: list[Process] = []

    def start(script: str, *arguments: object) -> Process:
        process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def forked() -> Forked:
    """Run a function in a forked child and give what it returns, or the error that it raised, as text."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")

    def run(function: Callable[[], object]) -> str:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:  # pragma: no cover
            try:
                answer = str(function())
            except BaseException as error:
                answer = "".join(traceback.format_exception_only(error)).strip()
            os.write(writing, answer.encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            answer = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return answer if status == 0 else f"died by {status}"

    return run


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 4 MB; `mount_disk` makes others."""
    with_disk = mount_disk("4m")
    yield with_disk
    unmount_disk(with_disk)


def mount_disk(size: str, *options: str) -> Path:
    """Mount a file system in memory; the test is skipped by name where that is not allowed."""
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("a small file system needs root and the right to mount")
    return folder


def unmount_disk(folder: Path) -> None:
    """Take it away again."""
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()
