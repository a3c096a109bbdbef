"""Other processes for the tests of locks, forks and crashes."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from medchain.errors import *
from medchain.storage import Batch, FileBlobs, LmdbStore
path = Path(sys.argv[1])
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

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a Python process on a script; it talks by lines, and is killed when the test ends."""
    processes: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> subprocess.Popen[str]:
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
def forked() -> Callable[[Callable[[], object]], str]:
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
def path(tmp_path: Path) -> Path:
    """A place for a store."""
    return tmp_path / "store"
