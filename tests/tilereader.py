"""A reader of published logs that knows the C2SP specifications and nothing of medchain: an oracle for publishing.

It follows tlog-tiles, tlog-checkpoint, signed-note and tlog-cosignature to the letter, reads everything there is, and
hashes all of it by the recursive definition of RFC 6962, section 2.1. Slow, plain, and strict about every length.
"""

from __future__ import annotations

import base64
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

PATIENCE = 30


class Wrong(Exception):
    """What is published breaks a specification, or is not what the checkpoint commits to."""


@dataclass(frozen=True)
class Log:
    """A log that was read whole and is right.

    Attributes:
        origin, size, root: what its checkpoint says.
        entries: all of them, in order.
        signers: of the given verifier keys, those that signed the checkpoint.
    """

    origin: str
    size: int
    root: bytes
    entries: tuple[bytes, ...]
    signers: tuple[str, ...]


def read(place: str | Path, *keys: str) -> Log:
    """Read a log from a directory or an ``http://`` prefix, and check everything.

    Args:
        place: where it is published. Of a directory every file is checked, of a server what the checkpoint needs.
        keys: verifier keys; the first is the log's own and must have signed.
    """
    fetch = _fetcher(place)
    note = fetch("checkpoint")
    if note is None:
        raise Wrong("no checkpoint")
    text, signers = verify_note(note, keys)
    if keys[0] not in signers:
        raise Wrong("the log has not signed its checkpoint")
    origin, size, root = checkpoint(text)
    if origin != keys[0].split("+")[0]:
        raise Wrong(f"a checkpoint of {origin}")
    bundles = {path: _whole_or_part(fetch, path) for path in bundle_paths(size)}
    entries = [entry for path, data in bundles.items() for entry in unpack(path, data)]
    leaves = [sha256(b"\x00" + entry).digest() for entry in entries]
    if len(leaves) != size:
        raise Wrong(f"{len(leaves)} entries, not {size}")
    if tree_hash(leaves) != root:
        raise Wrong("the entries have another root than the checkpoint says")
    for path in tile_paths(size):
        if _whole_or_part(fetch, path) != tile(leaves, path):
            raise Wrong(f"{path} does not hold the hashes of the entries")
    if isinstance(place, Path):
        _nothing_else(place, entries, leaves)
    return Log(origin, size, root, tuple(entries), signers)


# signed-note


def verify_note(data: bytes, keys: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The text of a note and which of `keys` signed it; Wrong if one of them signed wrongly, or none did."""
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise Wrong("a note is UTF-8") from error
    if any(ord(letter) < 0x20 and letter != "\n" for letter in whole):
        raise Wrong("a control character in a note")
    if not whole.endswith("\n") or "\n\n" not in whole:
        raise Wrong("a note is text, an empty line and signature lines")
    body, _, tail = whole[:-1].rpartition("\n\n")
    text = body + "\n"
    found = []
    for line in tail.split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "—" or not words[1] or "+" in words[1]:
            raise Wrong(f"not a signature line: {line[:40]!r}")
        raw = _base64(words[2])
        for key in keys:
            name, kind, material = _verifier(key)
            if (
                words[1] == name
                and raw[:4] == sha256(f"{name}\n".encode() + bytes([kind]) + material).digest()[:4]
            ):
                _check(name, kind, material, text, raw[4:])
                found.append(key)
    if not found:
        raise Wrong("nobody known has signed the note")
    return text, tuple(found)


def _verifier(key: str) -> tuple[str, int, bytes]:
    name, _, rest = key.partition("+")
    material = _base64(rest.partition("+")[2])
    return name, material[0], material[1:]


def _check(name: str, kind: int, key: bytes, text: str, signature: bytes) -> None:
    """Types 0x01 (signed-note), 0x04 and 0x06 (tlog-cosignature)."""
    try:
        if kind == 0x01:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, text.encode())
            return
        time = int.from_bytes(signature[:8], "big")
        if kind == 0x04:
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            Ed25519PublicKey.from_public_bytes(key).verify(signature[8:], message)
            return
        origin, size, root = checkpoint(text)
        message = b"subtree/v1\n\0"
        message += bytes([len(name.encode())]) + name.encode()
        message += time.to_bytes(8, "big")
        message += bytes([len(origin.encode())]) + origin.encode()
        message += (0).to_bytes(8, "big") + size.to_bytes(8, "big") + root
        MLDSA44PublicKey.from_public_bytes(key).verify(signature[8:], message)
    except InvalidSignature as error:
        raise Wrong(f"{name} has not signed this") from error


# tlog-checkpoint


def checkpoint(text: str) -> tuple[str, int, bytes]:
    """Origin, size and root."""
    lines = text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise Wrong("a checkpoint has three lines or more, none of them empty")
    if not lines[1].isascii() or not lines[1].isdigit() or str(int(lines[1])) != lines[1]:
        raise Wrong("the size of a log is a decimal number without leading zeros")
    root = _base64(lines[2])
    if len(root) != 32:
        raise Wrong("a root has 32 bytes")
    return lines[0], int(lines[1]), root


def _base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Wrong("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise Wrong("not canonical base64")
    return data


# tlog-tiles


def tile_paths(size: int) -> list[str]:
    """Every tile of a log of `size` entries (Merkle Tree, Partial Tiles)."""
    return [
        path for level in range(64) if size >> 8 * level for path in _paths(str(level), size >> 8 * level)
    ]


def bundle_paths(size: int) -> list[str]:
    """Every entry bundle (Log entries)."""
    return _paths("entries", size)


def _paths(level: str, count: int) -> list[str]:
    full = [f"tile/{level}/{_index(n)}" for n in range(count // 256)]
    return full + ([f"tile/{level}/{_index(count // 256)}.p/{count % 256}"] if count % 256 else [])


def _index(n: int) -> str:
    """1234067 is ``x001/x234/067``."""
    elements = [f"{n % 1000:03d}"]
    while n := n // 1000:
        elements.insert(0, f"x{n % 1000:03d}")
    return "/".join(elements)


def located(path: str) -> tuple[str, int, int]:
    """Level (or ``entries``), index and width of a path; Wrong if it is not spelled as the specification says."""
    head, partial, width = path.partition(".p/")
    words = head.split("/")
    try:
        n = int("".join(word.removeprefix("x") for word in words[2:]))
        w = int(width) if partial else 256
    except ValueError as error:
        raise Wrong(f"{path} is no tile") from error
    spelled = f"tile/{words[1]}/{_index(n)}" + (f".p/{w}" if partial else "")
    if spelled != path or not 1 <= w <= 256 or (partial and w == 256):
        raise Wrong(f"{path} is no tile")
    if words[1] != "entries" and (
        not words[1].isdigit() or str(int(words[1])) != words[1] or int(words[1]) > 63
    ):
        raise Wrong(f"{path} is no tile")
    return words[1], n, w


def tile(leaves: Sequence[bytes], path: str) -> bytes:
    """What a tile holds: MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l]) for each i below its width."""
    level, n, width = located(path)
    span = 256 ** int(level)
    starts = [(n * 256 + i) * span for i in range(width)]
    if starts[-1] + span > len(leaves):
        raise Wrong(f"{path} is of a larger log")
    return b"".join(tree_hash(leaves[start : start + span]) for start in starts)


def tree_hash(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, over leaves that are hashed already."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + tree_hash(leaves[:k]) + tree_hash(leaves[k:])).digest()


def unpack(path: str, data: bytes) -> list[bytes]:
    """The entries of a bundle: as many as its path says, each after its length in two bytes, and nothing else."""
    entries, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entry = data[at + 2 : at + 2 + length]
        if at + 2 > len(data) or len(entry) != length:
            raise Wrong(f"{path} ends inside an entry")
        entries.append(entry)
        at += 2 + length
    if len(entries) != located(path)[2]:
        raise Wrong(f"{path} has {len(entries)} entries")
    return entries


def _whole_or_part(fetch: Callable[[str], bytes | None], path: str) -> bytes:
    """A tile or bundle; in place of a partial one that is gone, the beginning of the full one that replaced it."""
    data = fetch(path)
    if data is not None:
        return data
    full, partial, width = path.partition(".p/")
    data = fetch(full) if partial else None
    if data is None:
        raise Wrong(f"{path} is missing")
    if path.startswith("tile/entries/"):
        return b"".join(_packed(entry) for entry in unpack(full, data)[: int(width)])
    return data[: 32 * int(width)]


def _packed(entry: bytes) -> bytes:
    return len(entry).to_bytes(2, "big") + entry


def _nothing_else(directory: Path, entries: Sequence[bytes], leaves: Sequence[bytes]) -> None:
    """Hold whatever lies in a directory to what the log is, also partial tiles of sizes that it had once."""
    for path in tiles_in(directory):
        level, n, width = located(path)
        data = (directory / path).read_bytes()
        if level == "entries":
            if n * 256 + width > len(entries):
                raise Wrong(f"{path} is of a larger log")
            right = data == b"".join(_packed(entry) for entry in entries[n * 256 : n * 256 + width])
        else:
            right = data == tile(leaves, path)
        if not right:
            raise Wrong(f"{path} is not of this log")


def tiles_in(directory: Path) -> Iterator[str]:
    """The paths of all files below ``tile`` in a directory."""
    for found in sorted((directory / "tile").rglob("*")):
        if found.is_file():
            yield found.relative_to(directory).as_posix()


def _fetcher(place: str | Path) -> Callable[[str], bytes | None]:
    def from_disk(path: str) -> bytes | None:
        found = Path(place, path)
        return found.read_bytes() if found.is_file() else None

    def from_server(path: str) -> bytes | None:
        try:
            with urllib.request.urlopen(f"{place}/{path}", timeout=PATIENCE) as answer:
                data: bytes = answer.read()
                return data
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    return from_disk if isinstance(place, Path) else from_server
