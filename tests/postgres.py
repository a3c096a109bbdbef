"""A PostgreSQL server of the tests' own: in a temporary folder, on a unix socket only, stopped by its process id.

One server serves a whole test session, also under pytest-xdist: the first test that asks for it starts it, whichever
worker that runs in, and the controlling process stops it when everything is over.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from processes import wait_until_gone

FOLDER = "MEDCHAIN_TEST_POSTGRES"
"""Environment variable by which the workers of a session know the folder of its server."""

SETTINGS = {
    "listen_addresses": "",
    "fsync": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "logging_collector": "off",
}
PATIENCE = 60

WATCH = """(
while kill -0 "$1"; do sleep 1; done
pid=$(head -n 1 "$2/data/postmaster.pid") && kill -QUIT "$pid" && sleep 1
rm -rf "$2"
) </dev/null >/dev/null 2>&1 &"""
"""Ends the server of a session that was itself killed: $1 is the controlling process, $2 the folder."""


def programs() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None if they are not installed."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(installed, key=lambda path: int(path.parts[-3]), default=None)
    return newest and newest.parent


def require() -> Path:
    """As `programs`; skips the test by name where something is missing."""
    found = programs()
    if found is None:
        pytest.skip("no PostgreSQL here: initdb is not installed (Debian: apt-get install postgresql)")
    if os.getuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("no PostgreSQL here: it refuses root, and setpriv is not installed")
    pytest.importorskip("psycopg", reason="no PostgreSQL here: psycopg is not installed (extra postgres)")
    return found


class Server:
    """A database cluster in `folder`, which exists and is empty, or holds one from before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self._as: list[str] = []
        self._user = pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:  # PostgreSQL refuses root
            nobody = pwd.getpwnam("nobody")
            self._user = nobody.pw_name
            self._as = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        self.own(folder)

    def own(self, folder: Path) -> None:
        """Give the server a folder to write in."""
        user = pwd.getpwnam(self._user)
        os.chown(folder, user.pw_uid, user.pw_gid)

    @property
    def conninfo(self) -> str:
        """How clients connect."""
        return f"host={self.folder} user={self._user} dbname=postgres"

    def initialise(self, *options: str) -> None:
        """Make the cluster. Its order of text is no order of bytes, so that nothing depends on one."""
        self._run("initdb", "-A", "trust", "-N", "-E", "UTF8", "-D", str(self.data), *options)
        self.configure(**SETTINGS, unix_socket_directories=str(self.folder))

    def configure(self, **settings: str) -> None:
        """Settle what holds from the next start on."""
        with (self.data / "postgresql.conf").open("a") as file:
            for name, value in settings.items():
                file.write(f"{name} = '{value}'\n")

    def start(self) -> None:
        """Start the server; it answers when this returns."""
        log = self.folder / "log"
        try:
            self._run("pg_ctl", "start", "-w", "-t", f"{PATIENCE}", "-D", str(self.data), "-l", str(log))
        except RuntimeError as error:
            raise RuntimeError(f"{error}\n{log.read_text() if log.exists() else ''}") from None

    def wait(self) -> None:
        """Wait until it answers again, after it has ended all its sessions."""
        import psycopg

        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.conninfo).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    @property
    def pid(self) -> int | None:
        """Of the server's first process; None if it does not run."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n")[0])
        except FileNotFoundError:
            return None

    def stop(self) -> None:
        """End it by SIGQUIT: at once, like a crash, but of the server alone."""
        self._end(lambda first: first.send_signal(signal.SIGQUIT))

    def kill(self) -> None:
        """End every process of the server by SIGKILL, as the end of its machine does."""

        def kill(first: psutil.Process) -> None:
            for process in [first, *first.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()

        self._end(kill)

    def _end(self, how: Callable[[psutil.Process], object]) -> None:
        with suppress(psutil.NoSuchProcess):
            if self.pid is not None:
                first = psutil.Process(self.pid)
                processes = [first, *first.children(recursive=True)]
                how(first)
                for process in processes:
                    wait_until_gone(process.pid)
        # A dead process whose parent has not asked for it yet looks alive to the next start.
        for left in (self.data / "postmaster.pid", *self.folder.glob(".s.PGSQL.*.lock")):
            left.unlink(missing_ok=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(require() / program), *arguments]
        with tempfile.TemporaryFile("w+") as said:  # no pipe, which the server would inherit and keep open
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", check=False
            )
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program} fails:\n{said.read()}")


@contextmanager
def own_server(**settings: str) -> Iterator[Server]:
    """A running server that nobody else uses, for tests that kill it or need other settings."""
    require()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = Server(folder)
    try:
        server.initialise()
        server.configure(**settings)
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def shared_conninfo() -> str:
    """How to reach the session's server, which is started if need be."""
    require()
    folder = Path(os.environ[FOLDER])
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = Server(folder)
        if server.pid is None:
            controller = folder.suffix.removeprefix(".")
            subprocess.run(["sh", "-c", WATCH, "sh", controller, str(folder)], check=True)
            server.initialise()
            server.start()
        return server.conninfo


def begin_session(config: pytest.Config) -> None:
    """Choose the folder, in the controlling process, before workers inherit the environment."""
    if not hasattr(config, "workerinput"):
        name = f"pg-{secrets.token_hex(4)}.{os.getpid()}"
        os.environ[FOLDER] = str(Path(tempfile.gettempdir()) / name)


def end_session(config: pytest.Config) -> None:
    """Stop the server, if there is one, after all workers have ended."""
    if not hasattr(config, "workerinput") and FOLDER in os.environ:
        folder = Path(os.environ.pop(FOLDER))
        if folder.exists():
            Server(folder).stop()
            shutil.rmtree(folder, ignore_errors=True)
