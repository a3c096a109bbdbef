"""Where published logs are read from: servers that may be hostile, and directories that hold more than files."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from transparency.logs import Published
from transparency.raw import Script, answer, drips, floods, raw_server, read_request

from medchain.errors import MedchainError, StorageError, Unreachable, VerificationError
from medchain.transparency import PublishedLog, layout
from medchain.transparency.source import DirectorySource, HttpSource, source_of


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return Published.make(tmp_path_factory.mktemp("served") / "pub", 170)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None: ...


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """A plain static server."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_log_is_followed_from_a_static_server(long: Published) -> None:
    with static(long.folder) as url, PublishedLog(url, long.trust) as log:
        assert log.update().added == long.world.chain.head.size
        assert list(log._copy.archive.leaves(0, log.size)) == long.leaves()
        assert log.update().added == 0
        assert url in repr(log)
    with pytest.raises(Unreachable):
        HttpSource(url).read("checkpoint", 10)


def test_missing_files_are_missing(long: Published) -> None:
    with static(long.folder) as url, HttpSource(url) as source:
        assert source.read("nothing", 10) is None
        with pytest.raises(Unreachable):
            source.read("checkpoint", 10)
        assert source.read("checkpoint", 1 << 20) == (long.folder / "checkpoint").read_bytes()


def serving(folder: Path, wrong: str, script: Script) -> Script:
    """Serves the files of a folder as they are, and lets `script` answer for one of them."""

    def serve(connection: socket.socket, request: bytes) -> None:
        while request:
            path = request.split(b" ")[1].decode().lstrip("/")
            if path == wrong:
                script(connection, request)
                return
            file = folder / path
            found = file.is_file()
            connection.sendall(answer("200 OK" if found else "404 no", file.read_bytes() if found else b""))
            request = read_request(connection)

    return serve


def sends(data: bytes) -> Script:
    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(data)

    return script


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
ENDLESS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(200 << 20), 9)

HOSTILE: dict[str, Script] = {
    "endless": floods(HEAD + b"\r\n", b"\0" * 1000),
    "endless chunks": floods(ENDLESS, b"3e8\r\n" + b"\0" * 1000 + b"\r\n"),
    "huge length": sends(HEAD + b"Content-Length: 99999999999\r\n\r\n"),
    "too short": sends(HEAD + b"Content-Length: 32\r\n\r\nshort"),
    "drip": drips(HEAD + b"Content-Length: 4096\r\n\r\n", b"\0"),
    "drip of a head": drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "endless head": floods(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "bomb": sends(answer("200 OK", BOMB, "Content-Encoding: gzip")),
    "unknown packing": sends(answer("200 OK", b"abc", "Content-Encoding: br")),
    "to a file": sends(answer("302 Found", b"", "Location: file:///etc/passwd")),
    "to a private address": sends(answer("301 Moved", b"", "Location: http://127.0.0.1:1/")),
    "an error": sends(answer("500 Oops", b"")),
    "no HTTP": sends(b"hello\r\n\r\n"),
    "nothing": sends(b""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_servers_are_bounded(name: str, long: Published) -> None:
    """Whichever file it is: a documented error, soon, and nothing wrong in the copy."""
    size = long.world.chain.head.size
    last = max(layout.entries(size))
    for wrong in ("checkpoint", "tile/0/000", last.path):
        with (
            raw_server(serving(long.folder, wrong, HOSTILE[name])) as url,
            HttpSource(url, seconds=0.6) as source,
            PublishedLog(source, long.trust) as log,
        ):
            start = time.monotonic()
            with pytest.raises(Unreachable) as caught:
                log.update()
            assert time.monotonic() - start < 10
            assert wrong in str(caught.value)
            assert not any(each.name.startswith("medchain-follow") for each in threading.enumerate())
            taken = log._copy.size
            assert log.size == 0
            assert list(log._copy.archive.leaves(0, taken)) == long.leaves()[:taken]
            log.source = DirectorySource(long.folder)
            assert log.update().checkpoint.size == size


def test_wrong_tiles_and_bundles_of_a_server_are_named(long: Published) -> None:
    size = long.world.chain.head.size
    for part in (*layout.entries(size), *layout.tiles(size)):
        data = (long.folder / part.path).read_bytes()
        for wrong in (data[:-1], data + b"\0", data[:-1] + bytes([data[-1] ^ 1]), b""):
            script = serving(long.folder, part.path, sends(answer("200 OK", wrong)))
            with raw_server(script) as url, PublishedLog(url, long.trust) as log:
                with pytest.raises(VerificationError) as caught:
                    log.update()
                assert part.path in str(caught.value)


# Directories.


def test_links_lead_nowhere_else(tmp_path: Path, long: Published) -> None:
    folder, secret = tmp_path / "pub", tmp_path / "secret"
    (folder / "inner").mkdir(parents=True)
    secret.write_bytes(b"secret")
    (folder / "inner/file").write_bytes(b"mine")
    (folder / "out").symlink_to(secret)
    (folder / "up").symlink_to(tmp_path)
    (folder / "in").symlink_to("inner/file")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    source = DirectorySource(folder)
    assert source.read("in", 10) == b"mine"
    assert source.read("inner/nothing", 10) is None
    assert source.read("inner/file/deeper", 10) is None
    for name in ("out", "up/secret", "../secret", "pipe", "inner", "loop"):
        with pytest.raises(StorageError):
            source.read(name, 10)
    with pytest.raises(StorageError, match="more than 3 bytes"):
        source.read("in", 3)
    with pytest.raises(StorageError, match="no directory"):
        DirectorySource(tmp_path / "missing").read("checkpoint", 10)


def test_sources_are_known_by_their_names(tmp_path: Path) -> None:
    assert isinstance(source_of("https://log.example/ehr"), HttpSource)
    assert isinstance(source_of(str(tmp_path)), DirectorySource)
    assert isinstance(source_of(tmp_path), DirectorySource)
    for wrong in ("file:///etc", "ftp://x", "http://user:secret@x/"):
        with pytest.raises(ValueError) as caught:
            source_of(wrong)
        assert not isinstance(caught.value, MedchainError)
