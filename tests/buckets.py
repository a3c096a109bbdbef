"""Object stores for tests: moto's S3 server in a process of its own, and servers that misbehave."""

from __future__ import annotations

import contextlib
import http.server
import importlib.util
import itertools
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field

KEY_ID, SECRET = "AKIATESTTESTTESTTEST", "very-secret-very-secret-very-secret"
SERVER = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(["-H", "127.0.0.1", "-p", "0"])
"""
LIMITS = {"client_options": {"allow_http": True}, "retry_config": {"max_retries": 1}}


def need_servers() -> None:
    """Skip the test if what it takes is not installed."""
    for package in ("obstore", "moto", "flask", "flask_cors"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'medchain[s3,test-s3]'")


@define
class ObjectServer:
    """A running S3 server of moto's, and Amazon's own client to look into it."""

    url: str
    process: subprocess.Popen[bytes]
    _numbers: Iterator[int] = field(factory=itertools.count)
    client: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        import boto3

        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )

    def bucket(self) -> str:
        """The name of a new bucket."""
        name = f"bucket-{next(self._numbers)}"
        self.client.create_bucket(Bucket=name)
        return name

    def options(self, **more: Any) -> dict[str, Any]:
        """Options for `ObjectBlobs.at`."""
        return options(self.url, **more)

    def keep_versions(self, bucket: str, status: str = "Enabled") -> None:
        """Switch versioning on, or to ``Suspended``."""
        self.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})

    def keys(self, bucket: str) -> list[str]:
        """Every key in a bucket, sorted."""
        return [each["Key"] for each in self.client.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def get(self, bucket: str, key: str) -> bytes:
        """What lies under a key."""
        content: bytes = self.client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    def put(self, bucket: str, key: str, content: bytes) -> None:
        """Put something under a key."""
        self.client.put_object(Bucket=bucket, Key=key, Body=content)

    def empty(self, bucket: str) -> None:
        """Remove everything from a bucket."""
        for key in self.keys(bucket):
            self.client.delete_object(Bucket=bucket, Key=key)

    def uploads(self, bucket: str) -> int:
        """How many uploads are not completed."""
        return len(self.client.list_multipart_uploads(Bucket=bucket).get("Uploads", []))


def options(url: str, **more: Any) -> dict[str, Any]:
    """What it takes to reach a test server."""
    return {
        "endpoint": url,
        "region": "us-east-1",
        "access_key_id": KEY_ID,
        "secret_access_key": SECRET,
        **LIMITS,
        **more,
    }


@contextmanager
def object_server(folder: Path) -> Iterator[ObjectServer]:
    """Start moto's server on a free port of the loopback interface; it is stopped at the end."""
    log = folder / "moto.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,  # which nobody writes to: it ends when this process does, however that dies
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
    try:
        yield ObjectServer(_address(log, process), process)
    finally:
        process.kill()
        process.communicate()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the server listens, as it says itself, once it answers."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        for line in log.read_text(errors="replace").splitlines():
            if "Running on http://127.0.0.1:" in line:
                url = line.split("Running on ")[1].split()[0].strip()
                try:
                    urllib.request.urlopen(f"{url}/moto-api/", timeout=20).close()
                    return url
                except urllib.error.URLError:
                    break
        time.sleep(0.05)
    raise RuntimeError(f"moto's server does not start:\n{log.read_text(errors='replace')}")


@contextmanager
def answering(status: int, body: str = "", *, wait: float = 0.0) -> Iterator[str]:
    """A server that gives one and the same answer to everything, `wait` seconds late; gives its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.connection.recv(1 << 16)
            ended.wait(wait)
            with contextlib.suppress(OSError):
                self.connection.sendall(
                    f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()
                )

    ended = threading.Event()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
