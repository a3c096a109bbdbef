"""A verifier of tlog-proofs that shares no code with medchain: the specifications, read again, with hashlib alone."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def root_from_path(index: int, size: int, hash: bytes, path: list[bytes]) -> bytes:
    """RFC 6962, section 2.1.1, backwards: recursion over the largest power of two below the size."""
    if size == 1:
        assert not path
        return hash
    split = 1
    while split * 2 < size:
        split *= 2
    if index < split:
        return sha256(b"\1" + root_from_path(index, split, hash, path[:-1]) + path[-1])
    return sha256(b"\1" + path[-1] + root_from_path(index - split, size - split, hash, path[:-1]))


def verify(proof: bytes, leaf: bytes, vkey: str) -> tuple[int, int]:
    """Index and size of the log for which `proof` shows `leaf`; AssertionError if it does not."""
    top, note = proof.decode().split("\n\n", 1)
    text, signature_lines = note.rsplit("\n\n", 1)
    text += "\n"
    lines = [line for line in top.split("\n") if not line.startswith("extra ")]
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    index = int(lines[1].removeprefix("index "))
    origin, size, root = text.split("\n")[:3]
    name, key_id, key = vkey.split("+", 2)
    public = base64.b64decode(key)
    assert public[0] == 1
    assert sha256(name.encode() + b"\n" + public)[:4].hex() == key_id
    dash, signer, encoded = signature_lines.split("\n")[0].split(" ")
    assert (dash, signer, origin) == ("—", name, name)
    signature = base64.b64decode(encoded)
    assert signature[:4].hex() == key_id
    Ed25519PublicKey.from_public_bytes(public[1:]).verify(signature[4:], text.encode())
    path = [base64.b64decode(line) for line in lines[2:]]
    assert root_from_path(index, int(size), sha256(b"\0" + leaf), path) == base64.b64decode(root)
    return index, int(size)
