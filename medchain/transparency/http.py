"""Requests to servers that may be hostile: one answer of bounded size within a bounded time, or `Unreachable`.

No redirect is followed, whatever it leads to. A body is cut off at its limit, packed or unpacked. The whole exchange
has one deadline, which slow senders cannot put off.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
import zlib
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from attrs import field, frozen

from medchain.errors import Unreachable
from medchain.records import short

__all__ = ["Answer", "Server"]

SECONDS = 30.0
_CHUNK = 1 << 16
_AGENT = {"User-Agent": "medchain", "Accept-Encoding": "gzip, identity"}


@frozen
class Answer:
    """What a server has answered.

    Attributes:
        status: HTTP status code.
        type: its content type, without parameters; empty if it names none.
        body: at most as long as was asked for, unpacked.
    """

    status: int
    type: str
    body: bytes = field(repr=short)


class Server:
    """One HTTP server, by a URL to which paths are added; keeps its connection. For one thread at a time.

    Args:
        url: ``http://`` or ``https://``, a host, perhaps a port and a path. No user name, query or fragment.
        seconds: how long a whole exchange may take.
    """

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"not a URL of the form http(s)://host[:port][/path]: {url!r}")
        if parts.username is not None or parts.password is not None:
            raise ValueError("a URL with a user name or a password would show in messages and logs")
        self.url = url.rstrip("/")
        self._host, self._port = parts.hostname, parts.port
        self._tls = parts.scheme == "https"
        self._path = parts.path.rstrip("/")
        self._seconds = seconds
        self._connection: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"<Server {self.url}>"

    def get(self, path: str, *, limit: int) -> Answer:
        """Fetch what lies under `path`.

        Raises:
            Unreachable: no whole answer within the time, or one of more than `limit` bytes.
        """
        return self._ask("GET", path, None, limit)

    def post(self, path: str, body: bytes, *, limit: int) -> Answer:
        """Send `body` to `path`. Raises as `get`."""
        return self._ask("POST", path, body, limit)

    def _ask(self, method: str, path: str, body: bytes | None, limit: int) -> Answer:
        end = time.monotonic() + self._seconds
        kept = self._connection is not None
        try:
            try:
                return self._exchange(method, path, body, limit, end)
            except (http.client.RemoteDisconnected, ConnectionError):
                if not kept:
                    raise
                self.close()  # the server had closed the connection that was kept
                return self._exchange(method, path, body, limit, end)
        except (OSError, http.client.HTTPException, zlib.error, ValueError) as error:
            self.close()
            raise Unreachable(f"{self.url}/{path}: {type(error).__name__}: {error}") from error
        except BaseException:
            self.close()
            raise

    def _exchange(self, method: str, path: str, body: bytes | None, limit: int, end: float) -> Answer:
        connection = self._connect(end)
        with _Deadline(connection.sock, end) as deadline:
            try:
                connection.request(method, f"{self._path}/{path}", body, _AGENT)
                response = connection.getresponse()
                with response:  # it holds the connection if that is not to be kept
                    data = _body(response, limit)
            except (OSError, http.client.HTTPException, ValueError) as error:
                if deadline.passed:
                    raise self._late() from error
                raise
        if deadline.passed:  # a body without a length ends where the connection ends, and that was cut
            raise self._late()
        if response.will_close:
            self.close()
        return Answer(response.status, response.headers.get_content_type() if response.headers else "", data)

    def _late(self) -> TimeoutError:
        return TimeoutError(f"no whole answer within {self._seconds:g} s")

    def _connect(self, end: float) -> http.client.HTTPConnection:
        if self._connection is None:
            port = self._port or (443 if self._tls else 80)
            connection = http.client.HTTPConnection(self._host, port, timeout=self._seconds)
            connection.response_class = _Response
            connection.auto_open = 0  # what http.client opens by itself has no deadline
            connection.sock = self._socket(port, end)
            if self._tls:
                connection.default_port = 443  # by which the Host header leaves the port out
            self._connection = connection
        return self._connection

    def _socket(self, port: int, end: float) -> socket.socket:
        """A connected socket: each address of the host gets what is left of the time, and so does the TLS handshake."""
        refused: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(self._host, port, 0, socket.SOCK_STREAM):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(self._left(end))
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self._tls:
                    return plain
                plain.settimeout(self._left(end))
                return ssl.create_default_context().wrap_socket(plain, server_hostname=self._host)
            except OSError as error:
                plain.close()
                refused = error
            except BaseException:
                plain.close()
                raise
        raise refused

    def _left(self, end: float) -> float:
        left = end - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def close(self) -> None:
        """Give up the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _BoundedReader(io.BufferedReader):
    """Reads what it is asked for, and never all that comes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            raise ValueError("a chunk of a negative size")
        return super().read(size)


class _Response(http.client.HTTPResponse):
    """One whose body is read in bounded pieces only: http.client takes ``-1`` for the size of a chunk, and then reads
    until the end of the connection."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = _BoundedReader(self.fp.detach())  # nothing has been read yet


def _body(response: http.client.HTTPResponse, limit: int) -> bytes:
    """The body, unpacked; ValueError if it is longer than `limit` or packed in an unknown way."""
    packing = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packing not in ("identity", "gzip"):
        raise ValueError(f"a body packed by {packing[:20]!r}")
    packed = response.read(limit + 1)
    if len(packed) > limit:
        raise ValueError(f"a body of more than {limit} bytes")
    if response.length:
        raise ValueError(f"a body that ends {response.length} bytes early")
    if packing == "identity":
        return packed
    unpacker = zlib.decompressobj(wbits=31)
    data = unpacker.decompress(packed, limit + 1)
    if len(data) > limit:
        raise ValueError(f"a body that unpacks to more than {limit} bytes")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("a body that is not one whole gzip stream")
    return data


class _Deadline:
    """Cuts a connection off when the time is up: the time limit of a socket begins anew with each byte."""

    def __init__(self, connected: Any, end: float) -> None:
        self._socket = connected
        self._timer = threading.Timer(max(0.0, end - time.monotonic()), self._cut)
        self._timer.daemon = True
        self.passed = False

    def _cut(self) -> None:
        self.passed = True
        with suppress(OSError):  # it has been closed meanwhile
            self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
