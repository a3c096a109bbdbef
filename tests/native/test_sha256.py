"""SHA-256 on every kernel, against NIST's vectors and against hashlib."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise

import pytest
import vectors

from medchain import _native

ALL = ("sha-ni", "portable")


@pytest.fixture(params=ALL)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    name: str = request.param
    if name not in _native.kernels():
        pytest.skip(f"this processor or build lacks the kernel {name}")
    _native.force_kernel(name)
    assert _native.kernel() == name
    yield name
    _native.force_kernel(None)


def read_rsp(name: str) -> Iterator[dict[str, str]]:
    """The cases of a CAVP response file, which blank lines part."""
    text = vectors.path(f"crypto/nist-cavp-sha2/{name}").read_text()
    for block in text.split("\n\n"):
        lines = [line.partition(" = ") for line in block.splitlines() if " = " in line and line[0] != "["]
        if lines:
            yield {key.strip(): value.strip() for key, _, value in lines}


@pytest.mark.parametrize("name", ["SHA256ShortMsg.rsp", "SHA256LongMsg.rsp"])
def test_nist_messages(kernel: str, name: str) -> None:
    cases = list(read_rsp(name))
    assert len(cases) in (64, 65)
    for case in cases:
        message = bytes.fromhex(case["Msg"])[: int(case["Len"]) // 8]
        assert _native.sha256(message).hex() == case["MD"]


def test_nist_monte_carlo(kernel: str) -> None:
    """SHAVS, section 6.4: each of 100 digests hangs on the thousand before it."""
    first, *cases = read_rsp("SHA256Monte.rsp")
    seed = bytes.fromhex(first["Seed"])
    assert len(cases) == 100
    for case in cases:
        a = b = c = seed
        for _ in range(1000):
            a, b, c = b, c, _native.sha256(a + b + c)
        seed = c
        assert seed.hex() == case["MD"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_every_length_across_four_blocks(kernel: str, kind: type) -> None:
    data = bytes(range(256)) * 2
    for size in range(258):
        assert _native.sha256(kind(data[:size])) == sha256(data[:size]).digest()


def test_many_of_one_length(kernel: str) -> None:
    for size in (0, 1, 31, 32, 54, 55, 56, 62, 63, 64, 65, 118, 119, 127, 128, 1000):
        for count in (0, 1, 2, 3, 7):
            items = [bytes([i]) * size for i in range(count)]
            assert _native.sha256_many(items) == b"".join(sha256(item).digest() for item in items)
            assert _native.leaf_hashes(items) == b"".join(sha256(b"\x00" + item).digest() for item in items)


def test_many_of_mixed_lengths(kernel: str) -> None:
    items = [bytes([i]) * (i * 37 % 200) for i in range(200)] + [b"same"] * 5 + [b""] * 3
    assert _native.leaf_hashes(items) == b"".join(sha256(b"\x00" + item).digest() for item in items)


def test_pieces_of_a_buffer(kernel: str) -> None:
    data = bytes(range(250)) * 3
    for size in (1, 63, 64, 250, 749, 750, 1000):
        wanted = [sha256(b"\x00" + data[at : at + size]).digest() for at in range(0, len(data), size)]
        assert _native.piece_hashes(memoryview(data), size) == b"".join(wanted)
    assert _native.piece_hashes(b"", 5) == b""


def test_pairs(kernel: str) -> None:
    hashes = [sha256(bytes([i])).digest() for i in range(14)]
    wanted = b"".join(sha256(b"\x01" + a + b).digest() for a, b in list(pairwise(hashes))[::2])
    assert _native.node_hashes(b"".join(hashes)) == wanted
    assert _native.node_hashes(b"") == b""


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 257, 511, 513, 4095, 4097, 10_000])
def test_root_in_bounded_memory(kernel: str, count: int) -> None:
    leaves = [i.to_bytes(32, "big") for i in range(count)]
    level = [sha256(b"\x00" + leaf).digest() for leaf in leaves] or [sha256(b"").digest()]
    hashes = b"".join(level)
    while len(level) > 1:
        pairs = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(level) // 2 * 2 :]
    assert _native.tree_root(iter(leaves)) == level[0]
    assert _native.tree_root_of(b"".join(leaves), 32) == level[0]
    assert count == 0 or _native.root_of_hashes(hashes) == level[0]


def test_mistakes_are_told() -> None:
    with pytest.raises(ValueError, match="pairs"):
        _native.node_hashes(bytes(65))
    for hashes in (b"", bytes(33)):
        with pytest.raises(ValueError, match="one or more"):
            _native.root_of_hashes(hashes)
    for size in (0, -1):
        with pytest.raises(ValueError, match="one byte or more"):
            _native.piece_hashes(b"data", size)
        with pytest.raises(ValueError, match="one byte or more"):
            _native.tree_root_of(b"data", size)
    with pytest.raises(ValueError, match="no SHA-256 kernel 'abacus'"):
        _native.force_kernel("abacus")


@pytest.mark.parametrize("name", ALL)
def test_environment_forces_a_kernel(name: str) -> None:
    if name not in _native.kernels():
        pytest.skip(f"this processor or build lacks the kernel {name}")
    code = "from medchain import _native; print(_native.kernel())"
    environment = {**os.environ, "MEDCHAIN_KERNEL": name}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == name, done.stderr
