"""A server on raw sockets, which answers as a test says, whatever HTTP says."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Script = Callable[[socket.socket, bytes], None]
"""What happens on a connection, after its first request has been read."""


@contextmanager
def raw_server(script: Script, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server of which each connection runs `script`; gives its URL. Everything has ended when this ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    stopping = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def serve(plain: socket.socket) -> None:
        with suppress(OSError):
            plain.settimeout(20)
            with plain if tls is None else tls.wrap_socket(plain, server_side=True) as connection:
                connections.append(connection)
                script(connection, read_request(connection))
        plain.close()

    def accept() -> None:
        while not stopping.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            connections.append(connection)
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopping.set()
        acceptor.join()
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    """One request, with the body that its Content-Length announces."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(1 << 16)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += connection.recv(1 << 16)
    return head + b"\r\n\r\n" + body


def answer(status: str, body: bytes, *fields: str, kind: str = "text/plain") -> bytes:
    """A whole answer; the connection is kept."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *fields]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def says(*answers: bytes) -> Script:
    """These answers, one after another; then the connection ends."""

    def script(connection: socket.socket, _: bytes) -> None:
        for number, each in enumerate(answers):
            if number:
                read_request(connection)
            connection.sendall(each)

    return script


def drips(first: bytes, drop: bytes, pause: float = 0.05) -> Script:
    """`first`, and then a drop at a time for ever."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(drop)
            time.sleep(pause)

    return script


def floods(first: bytes, block: bytes) -> Script:
    """`first`, and then as much as the client takes."""
    return drips(first, block * (1 + (1 << 16) // len(block)), 0)
