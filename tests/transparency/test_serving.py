"""A witness's server faces anybody: slow, huge, wrong and many requests are bounded, and others are still served."""

from __future__ import annotations

import itertools
import logging
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import Start, hear, start
from transparency.witnesses import CLASSIC, ORIGIN, QUANTUM, Log, numbered, watching

from medchain.transparency import WitnessClient, WitnessServer, serving
from medchain.transparency.addcheckpoint import REQUEST_LIMIT
from medchain.transparency.http import Server
from medchain.transparency.requests import HEAD_LIMIT, BadRequest, RequestHead

__all__ = ["start"]

LOG = numbered(20)
BODY = bytes(LOG.request(0, 7))
TESTS = Path(__file__).parents[1]


@pytest.fixture
def server() -> Iterator[WitnessServer]:
    with WitnessServer(watching(LOG)) as made:
        yield made


def connect(server: WitnessServer) -> socket.socket:
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def request(body: bytes = BODY, *fields: str, path: str = "/add-checkpoint", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: w", *(fields or [f"Content-Length: {len(body)}"])]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def everything(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    data = b""
    while more := connection.recv(1 << 16):
        data += more
    return data


def told(server: WitnessServer, data: bytes) -> bytes:
    """What the server says to these bytes, when nothing follows them."""
    with connect(server) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", answer)
    assert found, answer
    return int(found[1])


def is_served(server: WitnessServer) -> bool:
    with WitnessClient(server.url, CLASSIC.key, QUANTUM.key) as client:
        return len(client.add_checkpoint(LOG.checkpoint(), LOG.prove)) == 2


class TestProtocol:
    def test_a_request(self, server: WitnessServer) -> None:
        answer = told(server, request())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert status(answer) == 200
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"\r\nDate: " in head
        assert body.startswith("— w.example/1 ".encode())

    def test_a_conflict_has_its_type(self, server: WitnessServer) -> None:
        told(server, request())
        answer = told(server, request(bytes(LOG.request(0, 9))))
        assert status(answer) == 409
        assert b"\r\nContent-Type: text/x.tlog.size\r\n" in answer
        assert answer.endswith(b"\r\n\r\n7\n")

    def test_connections_are_kept(self, server: WitnessServer) -> None:
        """ "Witnesses SHOULD support HTTP keep-alive.\""""
        with Server(server.url) as client:
            client.post("add-checkpoint", BODY, limit=9999)
            first = client._connection
            assert client.post("add-checkpoint", BODY, limit=9999).status == 409
            assert client._connection is first is not None

    def test_requests_in_a_row(self, server: WitnessServer) -> None:
        """Pipelining: all are answered, in order."""
        steps = [(0, 7), (0, 9), (7, 9), (9, 20)]
        answers = told(server, b"".join(request(bytes(LOG.request(*step))) for step in steps))
        assert re.findall(rb"HTTP/1\.1 ([0-9]+)", answers) == [b"200", b"409", b"200", b"200"]

    def test_byte_by_byte(self, server: WitnessServer) -> None:
        with connect(server) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in request():
                connection.sendall(bytes([byte]))
            assert status(connection.recv(99)) == 200

    def test_close_is_honoured(self, server: WitnessServer) -> None:
        with connect(server) as connection:
            connection.sendall(request(BODY, f"Content-Length: {len(BODY)}", "Connection: close"))
            assert b"\r\nConnection: close\r\n" in everything(connection)

    def test_continue(self, server: WitnessServer) -> None:
        with connect(server) as connection:
            connection.sendall(request(b"", f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
            assert connection.recv(99) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(BODY)
            assert status(connection.recv(99)) == 200

    def test_a_prefix(self) -> None:
        with WitnessServer(watching(LOG), prefix="/witness/one") as server:
            assert server.url.endswith("/witness/one")
            assert is_served(server)
            assert status(told(server, request())) == 404
        for wrong in ("/", "a", "/a/"):
            with pytest.raises(ValueError, match="prefix"):
                WitnessServer(watching(LOG), prefix=wrong)

    def test_the_whole_target(self, server: WitnessServer) -> None:
        assert status(told(server, request(path="http://w.example/add-checkpoint"))) == 200

    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (request(path="/"), 404),
            (request(path="/add-checkpoint?x"), 404),
            (request(path="//add-checkpoint"), 404),
            (request(b"", "A: b", method="GET"), 405),
            (request(b"", "Content-Length: 0", method="PUT"), 405),
            (request(b"", "Content-Length: 0"), 400),
            (request(b"garbage\n"), 400),
            (request(bytes(1000)), 400),
            (request(b"", f"Content-Length: {REQUEST_LIMIT + 1}"), 413),
            (request(b"", f"Content-Length: {REQUEST_LIMIT + 1}", "Expect: 100-continue"), 413),
            (request(b"x" * (REQUEST_LIMIT + 1)), 413),
            (request(BODY, "A: b"), 411),
            (request(b"4\r\nabcd\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 411),
            (request(BODY, "Transfer-Encoding: chunked", f"Content-Length: {len(BODY)}"), 411),
            (request(BODY, "Content-Length: 1", "Content-Length: 2"), 400),
            (request(BODY, "Content-Length: 1, 1"), 400),
            (request(BODY, "Content-Length: +5"), 400),
            (request(BODY, "Content-Length: -5"), 400),
            (request(BODY, "Content-Length: 0x5"), 400),
            (request(BODY, "Content-Length: 5_0"), 400),
            (request(BODY, "Content-Length: " + "9" * 20), 400),
            (request(BODY, "Content-Length : 5"), 400),
            (request(BODY, " Content-Length: 5"), 400),
            (request(BODY, "A: b", " folded"), 400),
            (request(BODY, "A: b\rContent-Length: 5"), 400),
            (request(BODY, "A: b\nContent-Length: 5"), 400),
            (request(BODY, "A: \0"), 400),
            (request(BODY, "Expect: miracle"), 417),
            (b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
            (b"POST /add-checkpoint HTTP/2.0\r\n\r\n", 505),
            (b"POST /add-checkpoint\r\n\r\n", 400),
            (b"POST  /add-checkpoint HTTP/1.1\r\n\r\n", 400),
            (b"post /add-checkpoint HTTP/1.1\r\n\r\n", 400),
            (b"\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
            (b"x" * HEAD_LIMIT, 431),
            (b"POST /add-checkpoint HTTP/1.1\r\n" + b"A: b\r\n" * HEAD_LIMIT, 431),
        ],
    )  # fmt: skip
    def test_wrong_requests(self, server: WitnessServer, data: bytes, code: int) -> None:
        assert status(told(server, data)) == code
        assert is_served(server)

    def test_nothing_after_a_wrong_request_is_heard(self, server: WitnessServer) -> None:
        """What could be the body of one is never taken for the next."""
        smuggled = request(b"", "Transfer-Encoding: chunked", "Content-Length: 4") + request()
        assert told(server, smuggled).count(b"HTTP/1.1 ") == 1

    def test_an_answer_reaches_who_is_still_sending(self, server: WitnessServer) -> None:
        with connect(server) as connection:
            connection.sendall(request(b"", f"Content-Length: {10 * REQUEST_LIMIT}"))
            time.sleep(0.2)
            connection.sendall(bytes(400_000))
            assert status(connection.recv(99)) == 413


class TestLog:
    def test_one_line_for_each_request(self, server: WitnessServer, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, serving.__name__)
        told(server, request())
        told(server, request(bytes(Log(["\u202eevil"], "evil.example").request(0))))
        told(server, request(b"garbage"))
        told(server, request(path="/\x1b[2J"))
        fork = Log([*LOG.leaves[:6], "x"])
        told(server, request(bytes(fork.request(7))))
        lines = [record.getMessage() for record in caplog.records]
        assert re.fullmatch(rf"127\.0\.0\.1 200 {ORIGIN} 0 to 7: cosigned \(\d+ ms\)", lines[0])
        assert re.fullmatch(r"127\.0\.0\.1 404 this log is not watched here \(\d+ ms\)", lines[1])
        assert re.fullmatch(r"127\.0\.0\.1 400 .* \(\d+ ms\)", lines[2])
        assert lines[3] == "127.0.0.1 400 not a request line"
        assert re.search(rf"409 {ORIGIN} 7 to 7: .*, signed root {fork.tree.root.hex()}: FORK", lines[4])
        assert len(lines) == 5
        assert all(line.isprintable() and "evil" not in line for line in lines)


class TestBounds:
    @pytest.fixture(autouse=True)
    def hurried(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("IDLE", "HEAD", "BODY", "ANSWER"):
            monkeypatch.setattr(serving, name, 0.5)

    @pytest.mark.parametrize(
        "first",
        [b"", b"POST /add-checkpoint HTTP/1.1\r\n", request(b"x", "Content-Length: 9999")],
        ids=["nothing", "slow head", "slow body"],
    )
    def test_who_is_slow_is_cut_off(self, server: WitnessServer, first: bytes) -> None:
        start = time.monotonic()
        with connect(server) as connection:
            connection.sendall(first)
            connection.settimeout(0.05)
            ended = False
            while not ended:
                assert time.monotonic() - start < 10
                try:
                    if first:
                        connection.sendall(b"a")
                    ended = connection.recv(99) == b""
                except TimeoutError:
                    continue
                except OSError:
                    ended = True
        assert is_served(server)

    def test_who_takes_no_answers_is_cut_off(self, server: WitnessServer) -> None:
        told(server, request())
        again = request(bytes(LOG.request(7, 7))) * 100
        with connect(server) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            connection.settimeout(60)
            with pytest.raises(ConnectionError):
                any(connection.sendall(again) for _ in itertools.repeat(None))  # type: ignore[func-returns-value]
        assert is_served(server)


class TestCrowds:
    def test_new_clients_take_the_place_of_resting_ones(self) -> None:
        with WitnessServer(watching(LOG), connections=4) as server:
            crowd = [connect(server) for _ in range(12)]
            for each in crowd[::2]:
                each.sendall(request(b"x", "Content-Length: 9999"))
            assert is_served(server)
            assert sum(thread.name == "medchain-witness-connection" for thread in threading.enumerate()) <= 5
            for each in crowd:
                each.close()

    def test_many_at_once(self) -> None:
        log = numbered(40)
        with WitnessServer(watching(log), connections=8) as server:
            answers: list[Any] = []

            def ask(size: int) -> None:
                with Server(server.url, seconds=20) as client:
                    answers.append(
                        client.post("add-checkpoint", bytes(log.request(0, size)), limit=9999).status
                    )

            threads = [threading.Thread(target=ask, args=(size,)) for size in range(1, 9)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sorted(answers) == [200] + [409] * 7

    def test_who_finds_no_place_is_told(self) -> None:
        witness, gate, inside = watching(LOG), threading.Event(), threading.Event()
        real = witness.add_checkpoint

        def slowly(body: bytes) -> Any:
            inside.set()
            gate.wait(20)
            return real(body)

        witness.add_checkpoint = slowly  # type: ignore[method-assign]
        with WitnessServer(witness, connections=1) as server, connect(server) as first:
            first.sendall(request())
            inside.wait(20)
            with connect(server) as second:
                answer = everything(second)
            assert status(answer) == 503
            assert b"\r\nRetry-After: " in answer
            gate.set()
            assert status(first.recv(99)) == 200


class TestClosing:
    def test_what_is_under_way_is_answered(self) -> None:
        witness, inside = watching(LOG), threading.Event()
        real = witness.add_checkpoint

        def slowly(body: bytes) -> Any:
            inside.set()
            time.sleep(0.5)
            return real(body)

        witness.add_checkpoint = slowly  # type: ignore[method-assign]
        server = WitnessServer(witness)
        with connect(server) as resting, connect(server) as busy:
            busy.sendall(request())
            inside.wait(20)
            server.close()
            assert status(everything(busy)) == 200
            assert everything(resting) == b""
        with pytest.raises(OSError):
            connect(server)
        assert not any(thread.name.startswith("medchain-witness") for thread in threading.enumerate())

    def test_serving_until_told_to_end(self, start: Start, tmp_path: Path) -> None:
        script = """
sys.path.insert(0, sys.argv[2])
from transparency.witnesses import numbered, watching, begun
from medchain.transparency import serve_witness
serve_witness(watching(numbered(20), begun(SqliteStore(path))), ready=say)
say('closed')
"""
        for ending in (signal.SIGTERM, signal.SIGINT):
            process = start(script, tmp_path / f"memory-{ending}", TESTS)
            with WitnessClient(hear(process), CLASSIC.key) as client:
                assert client.add_checkpoint(LOG.checkpoint(), LOG.prove)
            os.kill(process.pid, ending)
            assert hear(process) == "closed"
            assert process.wait(20) == 0


@given(st.one_of(st.binary(max_size=200), st.text(max_size=60).map(lambda text: request(b"", text))))
def test_any_head(data: bytes) -> None:
    try:
        head = RequestHead.parse(data)
    except BadRequest as error:
        code = error.status
    else:
        code = 200
        assert head.length >= 0
    assert code in (200, 400, 411, 417, 505)
