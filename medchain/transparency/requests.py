"""Requests of clients that may be hostile: heads and bodies of bounded size within a bounded time (RFC 9112).

Stricter than HTTP allows: lines end in CR LF, nothing is folded, a body says its length once and in digits.
"""

from __future__ import annotations

import re
import socket
import time

from attrs import field, frozen

__all__ = ["HEAD_LIMIT", "BadRequest", "Gone", "RequestHead", "Wire"]

HEAD_LIMIT = 16 * 1024
"""Most bytes of a request line and its fields."""

_CHUNK = 1 << 16
_END = b"\r\n\r\n"
_LINE = re.compile(rb"([A-Z]{1,16}) ([!-~]{1,4096}) HTTP/([0-9])\.([0-9])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_LENGTH = re.compile(rb"[0-9]{1,12}")
_ABSOLUTE = re.compile(r"https?://[^/]*(/.*)", re.ASCII | re.IGNORECASE)
_SINGLE = (b"content-length", b"host", b"transfer-encoding", b"expect")


class BadRequest(Exception):
    """A request that is not answered as it wishes, with the status that says why; the connection ends."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Gone(Exception):
    """The client has gone, or says nothing for too long: there is nobody to answer."""


@frozen
class RequestHead:
    """What a request says before its body.

    Attributes:
        method: in capitals.
        path: what it is about, without scheme and host.
        length: bytes of its body.
        keep: whether the client wants the connection kept.
        expects: whether it sends the body only after ``100 Continue``.
    """

    method: str
    path: str
    length: int
    keep: bool
    expects: bool = field(default=False)

    @classmethod
    def parse(cls, data: bytes) -> RequestHead:
        """Read a request line and fields, up to the empty line that ends them (RFC 9112, sections 3 and 5).

        Raises:
            BadRequest: they are none; a body comes in chunks; the version is not HTTP/1.
        """
        if not data.endswith(_END):
            raise BadRequest(400, "the request has no end")
        first, *lines = data.removesuffix(_END).split(b"\r\n")
        line = _LINE.fullmatch(first)
        if line is None:
            raise BadRequest(400, "not a request line")
        if line[3] != b"1":
            raise BadRequest(505, "this server speaks HTTP/1.1")
        fields: dict[bytes, bytes] = {}
        for each in lines:
            found = _FIELD.fullmatch(each)
            if found is None:
                raise BadRequest(400, "not a header field")
            name, value = found[1].lower(), found[2].strip(b" \t")
            if name in fields and name in _SINGLE:
                raise BadRequest(400, "a header field stands twice")
            fields[name] = fields[name] + b"," + value if name in fields else value
        return cls._of(line[1].decode(), line[2].decode(), line[4] != b"0", fields)

    @classmethod
    def _of(cls, method: str, target: str, modern: bool, fields: dict[bytes, bytes]) -> RequestHead:
        if modern and b"host" not in fields:
            raise BadRequest(400, "HTTP/1.1 demands a Host field")
        if b"transfer-encoding" in fields:
            raise BadRequest(411, "a body must say its length; chunks are not taken")
        expect = fields.get(b"expect", b"").lower()
        if expect not in (b"", b"100-continue"):
            raise BadRequest(417, "only 100-continue can be expected")
        length = fields.get(b"content-length")
        if length is None and method in ("POST", "PUT", "PATCH"):
            raise BadRequest(411, "a body must say its length")
        if length is not None and not _LENGTH.fullmatch(length):
            raise BadRequest(400, "not a length")
        absolute = _ABSOLUTE.fullmatch(target)
        wishes = {each.strip() for each in fields.get(b"connection", b"").lower().split(b",")}
        keep = b"close" not in wishes and (modern or b"keep-alive" in wishes)
        return cls(
            method, absolute[1] if absolute else target, int(length or 0), keep, modern and bool(expect)
        )


class Wire:
    """A client's connection, read with deadlines that slow senders cannot put off."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._buffer = bytearray()

    def head(self, *, idle: float, seconds: float) -> bytes:
        """The next request up to its empty line.

        Args:
            idle: how many seconds the first byte may take.
            seconds: how many from then on the whole may take.

        Raises:
            Gone: nothing comes, or not in time.
            BadRequest: it is too long.
        """
        if not self._buffer:
            self._receive(time.monotonic() + idle)
        end, seen = time.monotonic() + seconds, 0
        while True:
            at = self._buffer.find(_END, max(0, seen - len(_END)), HEAD_LIMIT)
            if at >= 0:
                return self._take(at + len(_END))
            if len(self._buffer) >= HEAD_LIMIT:
                raise BadRequest(431, f"a request has at most {HEAD_LIMIT} bytes before its body")
            seen = len(self._buffer)
            self._receive(end)

    def body(self, length: int, *, seconds: float) -> bytes:
        """The next `length` bytes. Gone if they do not come in time."""
        end = time.monotonic() + seconds
        while len(self._buffer) < length:
            self._receive(end)
        return self._take(length)

    def send(self, data: bytes, *, seconds: float) -> None:
        """Send everything. Gone if the client does not take it in time."""
        try:
            self._socket.settimeout(seconds)  # of the whole call, not of each part
            self._socket.sendall(data)
        except OSError as error:
            raise Gone from error

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _receive(self, end: float) -> None:
        left = end - time.monotonic()
        if left <= 0:
            raise Gone
        try:
            self._socket.settimeout(left)
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._buffer += data

    def end(self, *, seconds: float = 1.0, most: int = 1 << 20) -> None:
        """Say goodbye: what the client is still sending is read a while, for else it would not see the last answer."""
        until = time.monotonic() + seconds
        self._buffer.clear()
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while most > 0:
                self._receive(until)
                most -= len(self._buffer)
                self._buffer.clear()
        except (OSError, Gone):
            return
