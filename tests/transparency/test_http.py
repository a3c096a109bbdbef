"""Requests to servers that may be hostile end within their time and their memory, by a documented error."""

from __future__ import annotations

import datetime
import gzip
import ipaddress
import socket
import ssl
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from transparency.raw import Script, answer, drips, floods, raw_server, read_request, says

from medchain.errors import Unreachable
from medchain.transparency.http import Server

LIMIT = 10_000
OK = b"HTTP/1.1 200 OK\r\n"


def get(script: Script, seconds: float = 5.0) -> bytes:
    with raw_server(script) as url, Server(url, seconds=seconds) as server:
        return server.get("checkpoint", limit=LIMIT).body


def test_an_honest_answer() -> None:
    assert get(says(answer("200 OK", b"body"))) == b"body"
    assert get(says(OK + b"\r\nuntil the end")) == b"until the end"
    assert get(says(OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")) == b"body"
    assert get(says(answer("200 OK", gzip.compress(b"x" * LIMIT), "Content-Encoding: gzip"))) == b"x" * LIMIT
    assert get(says(answer("200 OK", b"x" * LIMIT))) == b"x" * LIMIT


def test_a_connection_is_kept_and_opened_again() -> None:
    seen: list[bytes] = []

    def script(connection: socket.socket, request: bytes) -> None:
        for _ in range(2):  # then the server closes it, without a word
            seen.append(request)
            connection.sendall(answer("200 OK", b"%d" % len(seen)))
            request = read_request(connection)
            if len(seen) == 2:
                return

    with raw_server(script) as url, Server(f"{url}/log/") as server:
        assert [server.post("add", b"data", limit=9).body for _ in range(4)] == [b"1", b"2", b"3", b"4"]
    assert all(
        request.startswith(b"POST /log/add HTTP/1.1\r\n") and request.endswith(b"\r\n\r\ndata")
        for request in seen
    )


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
HUGE = b"Content-Length: 99999999999\r\n\r\n"
SLOW: dict[str, Callable[[], Script]] = {
    "nothing": lambda: lambda connection, _: time.sleep(1.5),
    "slow head": lambda: drips(b"HTTP/1.1 200", b" "),
    "endless head": lambda: drips(OK, b"A: b\r\n", 0.05),
    "endless interim answers": lambda: floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "slow body": lambda: drips(OK + b"Content-Length: 9999\r\n\r\n", b"x"),
    "slow body without a length": lambda: drips(OK + b"\r\n", b"x"),
    "slow chunks": lambda: drips(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    "endless trailer": lambda: drips(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_slow_servers_end_with_the_time(kind: str) -> None:
    start = time.monotonic()
    with pytest.raises(Unreachable):
        get(SLOW[kind](), seconds=0.5)
    assert time.monotonic() - start < 10, "a busy machine is no failure, twenty times the limit is one"


LARGE: dict[str, Callable[[], Script]] = {
    "a long body": lambda: says(answer("200 OK", b"x" * (LIMIT + 1))),
    "a body that says it is huge": lambda: says(OK + HUGE + b"x" * LIMIT),
    "an endless body": lambda: floods(OK + b"\r\n", b"x"),
    "an endless body of chunks": lambda: floods(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"
    ),
    "one huge chunk": lambda: floods(OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n", b"x"),
    "a chunk of a negative size": lambda: floods(OK + CHUNKED + b"-1\r\n", b"x" * 65536),
    "a chunk of a very negative size": lambda: floods(OK + CHUNKED + b"-ffffffffff\r\n", b"x" * 65536),
    "a chunk of a negative size after others": lambda: floods(
        OK + CHUNKED + b"1\r\nx\r\n-1\r\n", b"x" * 65536
    ),
    "a long line in a head": lambda: floods(OK, b"x"),
    "many fields": lambda: floods(OK, b"A: b\r\n"),
    "a gzip bomb": lambda: says(
        answer("200 OK", gzip.compress(bytes(50 << 20))[:LIMIT], "Content-Encoding: gzip")
    ),
    "a small gzip bomb": lambda: says(
        answer("200 OK", gzip.compress(bytes(2 << 20)), "Content-Encoding: gzip")
    ),
    "gzip with more behind": lambda: says(
        answer("200 OK", gzip.compress(b"a") + b"b", "Content-Encoding: gzip")
    ),
    "gzip that ends early": lambda: says(
        answer("200 OK", gzip.compress(b"abc")[:-4], "Content-Encoding: gzip")
    ),
    "gzip that is none": lambda: says(answer("200 OK", b"abc", "Content-Encoding: gzip")),
    "an unknown packing": lambda: says(answer("200 OK", b"abc", "Content-Encoding: br")),
    "a body that ends early": lambda: says(OK + b"Content-Length: 10\r\n\r\nabc"),
    "a chunk that ends early": lambda: says(OK + b"Transfer-Encoding: chunked\r\n\r\n10\r\nabc"),
    "a wrong chunk": lambda: says(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"),
    "no HTTP": lambda: says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "not a status": lambda: says(b"HTTP/1.1 abc\r\n\r\n"),
    "nothing": lambda: says(),
}


@pytest.mark.parametrize("kind", LARGE)
def test_wrong_and_large_answers(kind: str) -> None:
    script = LARGE[kind]()
    tracemalloc.start()
    try:
        with pytest.raises(Unreachable):
            get(script)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "http://169.254.169.254/", "http://127.0.0.1:1/", "//other"]
)
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_no_redirect_is_followed(place: str, status: str) -> None:
    with raw_server(says(answer(status, b"", f"Location: {place}"))) as url, Server(url) as server:
        assert server.get("checkpoint", limit=9).status == int(status[:3])


def test_a_slow_handshake() -> None:
    """What answers a TLS greeting by a drop at a time has no more time than others."""
    with raw_server(drips(b"", b"\x16\x03\x03\x40\x00" + bytes(9))) as url:
        start = time.monotonic()
        with pytest.raises(Unreachable), Server(url.replace("http:", "https:"), seconds=0.5) as server:
            server.get("checkpoint", limit=9)
        assert time.monotonic() - start < 10


def test_tls_is_checked() -> None:
    with (
        raw_server(says(answer("200 OK", b""))) as url,
        Server(url.replace("http:", "https:"), seconds=1) as server,
    ):
        with pytest.raises(Unreachable) as caught:
            server.get("checkpoint", limit=9)
        assert isinstance(caught.value.__cause__, ssl.SSLError | OSError)


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unreachable), Server(f"http://127.0.0.1:{port}") as server:
        server.get("checkpoint", limit=9)
    with pytest.raises(Unreachable), Server("http://no-such-host.invalid") as server:
        server.get("checkpoint", limit=9)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://a",
        "file:///etc/passwd",
        "http://",
        "http://u:p@a",
        "http://a/?q",
        "http://a#f",
        "a.example",
    ],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError):
        Server(url)


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context with a certificate for 127.0.0.1 that this process trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    pem_key = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "cert.pem").write_bytes(pem)
    (tmp_path / "both.pem").write_bytes(pem_key + pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "both.pem")
    return context


def test_tls(certified: ssl.SSLContext) -> None:
    with (
        raw_server(says(answer("200 OK", b"1"), answer("200 OK", b"2")), certified) as url,
        Server(url) as server,
    ):
        assert url.startswith("https:")
        assert [server.get("a", limit=9).body for _ in range(4)] == [b"1", b"2", b"1", b"2"]


def test_a_slow_body_over_tls(certified: ssl.SSLContext) -> None:
    for first in (OK + b"\r\n", OK + b"Content-Length: 9999\r\n\r\n"):
        with raw_server(drips(first, b"x"), certified) as url, Server(url, seconds=0.7) as server:
            start = time.monotonic()
            with pytest.raises(Unreachable, match="within"):
                server.get("checkpoint", limit=LIMIT)
            assert time.monotonic() - start < 10
