"""Programs of others, in Go, that read what medchain publishes and cosign it: `make engines` installs them.

Where Go is not, tests that need them are skipped by name. MEDCHAIN_ENGINES=must (what .ci/run says where Go is) makes a
missing program a failure.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from attrs import define

from medchain.keys.signing import SigningKey
from medchain.ledger.note import NoteSigner, VerifierKey

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where a file for each of many leaves costs no disk anything; None for the usual place."""

FOLDER = Path(__file__).resolve().parents[2] / "build" / "engines"
PATIENCE = 60


def program(name: str) -> Path:
    """Where a program is; skips the test by name, or fails it if programs must be there."""
    found = FOLDER / name
    if not found.exists():
        if os.environ.get("MEDCHAIN_ENGINES") == "must":
            pytest.fail(f"{name} is not in {FOLDER}, and MEDCHAIN_ENGINES says that it must")
        if shutil.which("go") is None:
            pytest.skip(f"no {name} here: Go, which builds it, is not installed")
        pytest.skip(f"no {name} here: run 'make engines'")
    return found


def private_key(signer: NoteSigner) -> str:
    """A private Ed25519 key as Go's note package writes it, after its name and key id."""
    assert isinstance(signer.private, SigningKey)
    seed = signer.private._secret[:32]
    material = base64.b64encode(bytes([signer.type]) + seed).decode()
    return f"PRIVATE+KEY+{signer.name}+{signer.key.id.hex()}+{material}"


def fsck(place: str | Path, key: VerifierKey, tmp_path: Path) -> str | None:
    """Let tessera's fsck check a log, a directory or a URL: None if it finds it right, else what it says.

    It exits with 0 whatever it finds, and waits for ever where faults have ended all its workers: hence what it says
    on success is demanded, and it has 300 workers and a minute.
    """
    (tmp_path / "log.vkey").write_text(str(key))
    url = f"file://{place}" if isinstance(place, Path) else f"{place}/"
    command = [
        str(program("fsck")),
        "--ui=false",
        "-N=300",
        f"--public_key={tmp_path / 'log.vkey'}",
        f"--storage_url={url}",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired as error:
        return f"no end within {PATIENCE} s: {error.stderr!r}"
    return None if "Successfully fsck'd log with size" in done.stderr else done.stderr or "nothing"


@contextmanager
def publishing(
    leaves: Sequence[bytes], signer: NoteSigner, folder: Path, *options: str
) -> Iterator[subprocess.Popen[str]]:
    """Tessera's posix-oneshot while it adds leaves to the log in ``folder/log``; it is killed at the end."""
    (folder / "key").write_text(private_key(signer))
    with tempfile.TemporaryDirectory(dir=MEMORY) as entries, (folder / "output").open("w") as said:
        for number, leaf in enumerate(leaves):
            Path(entries, f"{number:08d}").write_bytes(leaf)  # it takes them in the order of their names
        command = [
            str(program("posix-oneshot")),
            f"--storage_dir={folder / 'log'}",
            f"--entries={entries}/*",
            f"--private_key={folder / 'key'}",
            *options,
        ]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def oneshot(leaves: Sequence[bytes], signer: NoteSigner, folder: Path, *options: str) -> Path:
    """The directory of a log that posix-oneshot makes of the same leaves and key; again, it adds to it."""
    with publishing(leaves, signer, folder, *options) as process:
        status = process.wait(10 * PATIENCE)
    assert status == 0, (folder / "output").read_text()[-2000:]
    return folder / "log"


@define
class Omniwitness:
    """A witness of transparency.dev, with an Ed25519 and an ML-DSA-44 key, that keeps its state in `folder`."""

    folder: Path
    keys: tuple[VerifierKey, ...] = ()
    port: int = 0

    @classmethod
    def make(cls, folder: Path, *logs: VerifierKey) -> Omniwitness:
        """One that knows these logs; `running` starts it."""
        keys = []
        for number, options in enumerate(([], ["--mldsa"])):
            private, public = folder / f"key-{number}", folder / f"vkey-{number}"
            generate = [str(program("generate_keys")), f"--origin={cls.name_of(number)}", *options]
            subprocess.run(
                [*generate, f"--out_priv={private}", f"--out_pub={public}"], check=True, timeout=PATIENCE
            )
            keys.append(VerifierKey.parse(public.read_text()))
        lines = [f"  - Origin: {log.name}\n    PublicKey: {log}\n" for log in logs]
        (folder / "logs.yaml").write_text("Logs:\n" + "".join(lines))
        return cls(folder, keys=tuple(keys))

    @staticmethod
    def name_of(number: int) -> str:
        """Under which one of its keys signs."""
        return f"omniwitness.example/{('ed25519', 'ml-dsa-44')[number]}"

    @property
    def url(self) -> str:
        """Its submission prefix."""
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[Omniwitness]:
        """Serve meanwhile; it is killed at the end, as its machine would."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [
            str(program("omniwitness")),
            f"--listen=127.0.0.1:{self.port}",
            "--metrics_listen=",
            *(f"--private_key_path={self.folder / f'key-{number}'}" for number in range(len(self.keys))),
            f"--additional_logs={self.folder / 'logs.yaml'}",
            f"--db_file={self.folder / 'state.db'}",
        ]
        with (self.folder / "output").open("ab") as said:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            self._wait(process)
            yield self
        finally:
            process.kill()
            process.wait()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        """Until it listens itself; whoever else took the port meanwhile is not it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert process.poll() is None, (self.folder / "output").read_text()[-2000:]
            listening = psutil.Process(process.pid).net_connections("tcp")
            if any(each.status == psutil.CONN_LISTEN and each.laddr.port == self.port for each in listening):
                return
            time.sleep(0.02)
        pytest.fail(f"the witness does not listen within {PATIENCE} s")
