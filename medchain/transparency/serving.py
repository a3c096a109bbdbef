"""A small HTTP server for a witness: ``POST <submission prefix>/add-checkpoint`` (C2SP tlog-witness).

It is made to face anybody: a bounded number of connections, each with bounded requests within a bounded time. It speaks
no TLS. A reverse proxy in front does, or a bastion.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Self

from medchain.errors import MedchainError
from medchain.transparency.addcheckpoint import PATH, REQUEST_LIMIT, AddCheckpoint
from medchain.transparency.judging import TEXT, Verdict
from medchain.transparency.requests import BadRequest, Gone, RequestHead, Wire
from medchain.transparency.witness import Witness

__all__ = ["WitnessServer", "check_address", "serve_witness"]

IDLE, HEAD, BODY, ANSWER = 30.0, 10.0, 20.0, 10.0
"""Seconds that a connection may rest, and that a head, a body and taking an answer may take."""

CONNECTIONS = 64
_log = logging.getLogger(__name__)


class WitnessServer:
    """Serves a witness until it is closed; one thread for each connection. Use it as a context manager.

    A line about each request goes to the log ``medchain.transparency.serving``: client, status, origin, sizes, reason.

    Args:
        witness: who answers.
        host, port: where to listen; port 0 takes a free one.
        prefix: path of the submission prefix, ``""`` or beginning with a slash.
        connections: how many are served at once. A new one takes the place of that which keeps the server waiting
            longest; if none does, it is told to come back.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(
        self,
        witness: Witness,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        prefix: str = "",
        connections: int = CONNECTIONS,
    ) -> None:
        self._witness, self._path = witness, f"{prefix}/{PATH}"
        self._listener = _listen(host, port, prefix)
        self._listener.settimeout(0.2)  # so often the thread looks whether it is to stop
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._listener.getsockname()[1]}{prefix}"
        self._slots = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._open: set[_Connection] = set()
        self._closing = threading.Event()
        self._acceptor = threading.Thread(target=self._accept, name="medchain-witness", daemon=True)
        self._acceptor.start()

    def wait(self) -> None:
        """Wait until the server is closed, by another thread or an interrupt."""
        while not self._closing.wait(1.0):
            pass

    def close(self, seconds: float = 5.0) -> None:
        """Take no more requests, finish those that are under way for at most so many seconds, and stop."""
        self._closing.set()
        self._acceptor.join()
        self._listener.close()
        until = time.monotonic() + seconds
        for connection in self._connections():
            connection.hear_no_more()
        for connection in self._connections():
            connection.thread.join(max(0.0, until - time.monotonic()))
            connection.end()

    def _connections(self) -> list[_Connection]:
        with self._lock:
            return list(self._open)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connected, address = self._listener.accept()
            except TimeoutError:
                continue
            except OSError as error:  # out of descriptors, or the client has gone already
                _log.warning("cannot accept a connection: %s", error)
                self._closing.wait(0.1)
                continue
            self._admit(connected, str(address[0]))

    def _admit(self, connected: socket.socket, peer: str) -> None:
        if not self._slots.acquire(blocking=False):
            self._make_room()
            if not self._slots.acquire(timeout=0.1):
                connected.settimeout(0)
                with suppress(OSError):
                    connected.send(
                        _answer(503, b"too many connections\n", keep=False, more="Retry-After: 1\r\n")
                    )
                connected.close()
                _log.warning("%s 503 too many connections", peer)
                return
        connection = _Connection(self, connected, peer)
        with self._lock:
            self._open.add(connection)
        try:
            connection.thread.start()
        except RuntimeError as error:  # no more threads
            _log.warning("cannot serve a connection: %s", error)
            self._leave(connection)

    def _make_room(self) -> None:
        """Cut off the client that the server has waited for longest; slow ones so never keep others out."""
        waiting = [(each.waiting, each) for each in self._connections() if each.waiting is not None]
        if waiting:
            min(waiting, key=lambda each: each[0])[1].end()

    def _leave(self, connection: _Connection) -> None:
        connection.close()
        with self._lock:
            self._open.discard(connection)
        self._slots.release()

    def _respond(self, connection: _Connection, head: RequestHead) -> tuple[int, bytes, str, str]:
        """Status, body, content type, and what the log says about it."""
        if head.path != self._path:
            raise BadRequest(404, "nothing is here")
        if head.method != "POST":
            raise BadRequest(405, "checkpoints are posted")
        if head.length > REQUEST_LIMIT:
            raise BadRequest(413, f"a request has at most {REQUEST_LIMIT} bytes")
        body = connection.body(head)
        try:
            verdict, request = self._witness.add_checkpoint(body)
        except MedchainError as error:
            _log.error("%s: %s", type(error).__name__, error)
            raise BadRequest(500, "the witness cannot store or read what it has to remember") from error
        return verdict.status, verdict.body, verdict.type, self._told(verdict, request)

    def _told(self, verdict: Verdict, request: AddCheckpoint | None) -> str:
        """A log line's part about a request; it shows no text of logs that are not watched."""
        if request is None or request.origin not in self._witness.origins:
            return verdict.reason
        fork = f", signed root {request.head.root.hex()}: FORK" if verdict.fork else ""
        return f"{request.origin} {request.old} to {request.head.size}: {verdict.reason}{fork}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<WitnessServer {self.url}>"


class _Connection:
    """One client's connection and the thread that serves it.

    Attributes:
        waiting: since when the server waits for the client to send or to take something; None while it works itself.
    """

    def __init__(self, server: WitnessServer, connected: socket.socket, peer: str) -> None:
        self._server, self._socket, self._peer = server, connected, peer
        self._wire = Wire(connected)
        self.waiting: float | None = time.monotonic()
        self.thread = threading.Thread(target=self._run, name="medchain-witness-connection", daemon=True)

    def hear_no_more(self) -> None:
        """Take nothing more from the client; what it has sent is still answered."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RD)

    def end(self) -> None:
        """End the connection now."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the socket, when the thread is done with it."""
        self._socket.close()

    def _run(self) -> None:
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while self._one() and not self._server._closing.is_set():
                pass
            self._wire.end()
        except (Gone, OSError):
            pass
        except Exception:
            _log.exception("%s: a request has failed", self._peer)
        finally:
            self._server._leave(self)

    def _one(self) -> bool:
        """Answer one request; whether another may follow."""
        self.waiting = time.monotonic()
        keep, kind, more = False, TEXT, ""
        try:
            head = RequestHead.parse(self._wire.head(idle=IDLE, seconds=HEAD))
            start = time.monotonic()
            status, body, kind, told = self._server._respond(self, head)
            told += f" ({1000 * (time.monotonic() - start):.0f} ms)"
            keep = head.keep and not self._server._closing.is_set()
        except BadRequest as error:
            status, body, told = error.status, f"{error}\n".encode(), str(error)
            more = "Allow: POST\r\n" if status == 405 else ""
        _log.info("%s %d %s", self._peer, status, told)
        self.waiting = time.monotonic()
        self._wire.send(_answer(status, body, kind=kind, keep=keep, more=more), seconds=ANSWER)
        return keep

    def body(self, head: RequestHead) -> bytes:
        """The body of the request."""
        if head.expects:
            self._wire.send(b"HTTP/1.1 100 Continue\r\n\r\n", seconds=ANSWER)
        body = self._wire.body(head.length, seconds=BODY)
        self.waiting = None
        return body


def _answer(status: int, body: bytes, *, keep: bool, kind: str = TEXT, more: str = "") -> bytes:
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nDate: {formatdate(usegmt=True)}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode() + body


def _listen(host: str, port: int, prefix: str) -> socket.socket:
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError(f"a prefix begins with a slash and does not end in one: {prefix!r}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=128)


def check_address(host: str, port: int, prefix: str = "") -> None:
    """Whether a `WitnessServer` could listen there now; raises as it would."""
    _listen(host, port, prefix).close()


def serve_witness(
    witness: Witness,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    prefix: str = "",
    ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve a witness until the process is interrupted or told to end (SIGINT, SIGTERM), then stop as `close` does.

    Runs in the main thread alone, for only there signals are heard; elsewhere use `WitnessServer`.

    Args:
        witness, host, port, prefix: as of `WitnessServer`, and so are the errors.
        ready: called with the URL, when it is served.
    """

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with (
            WitnessServer(witness, host=host, port=port, prefix=prefix) as server,
            suppress(KeyboardInterrupt),
        ):
            ready(server.url)
            server.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
