"""Whom to believe about a chain: a file that came with the application, never from the chain that it judges.

The file is a C2SP tlog-policy (``log`` and ``quorum`` lines), so other tools read it; what only medchain pins, chain
id and tag, stands in lines that start with ``#medchain`` and are comments to them (docs/spec/trust.md).
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from attrs import field, frozen

from medchain.errors import MalformedProof, UntrustedSigner
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.note import VerifierKey, utf8_text
from medchain.records import length, short

__all__ = ["Trust"]

TRUST_LIMIT = 64 * 1024
PREFIX = "#medchain"
HEX = re.compile("[0-9a-f]{64}")


@frozen
class Trust:
    """What is believed about one chain.

    Attributes:
        log_keys: keys that sign its checkpoints; all carry the origin as their name.
        chain: the chain id.
        tag: the chain tag, from which wallets derive personas.
        names: names of parties by id, for showing; they stay on this device.
    """

    log_keys: tuple[VerifierKey, ...]
    chain: bytes = field(validator=length(32), repr=short)
    tag: bytes = field(validator=length(32), repr=short)
    names: dict[bytes, str] = field(factory=dict, eq=False)

    def __attrs_post_init__(self) -> None:
        if len({key.name for key in self.log_keys}) != 1:
            raise ValueError("the log keys of one chain carry one name, its origin")
        for party, name in self.names.items():
            if len(party) != 32 or not name.isprintable() or name != " ".join(name.split()) or not name:
                raise ValueError(f"not a name that can be shown: {name!r}")

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self.log_keys[0].name

    def verify(self, checkpoint: Checkpoint) -> tuple[VerifierKey, ...]:
        """Which trusted keys signed a checkpoint of this chain.

        Raises:
            UntrustedSigner: it is another log's, or no trusted key signed it.
            InvalidSignature: a trusted key's signature does not verify.
        """
        if checkpoint.origin != self.origin:
            raise UntrustedSigner(f"the checkpoint is of {checkpoint.origin!r}, trusted is {self.origin!r}")
        return checkpoint.note.verified_by(self.log_keys)

    @classmethod
    def parse(cls, text: str | bytes) -> Trust:
        """Read a trust file; MalformedProof says which line is wrong."""
        text = utf8_text(text, TRUST_LIMIT, "a trust file")
        keys: list[VerifierKey] = []
        pins: dict[str, bytes] = {}
        names: dict[bytes, str] = {}
        quorum = False
        for number, line in enumerate(text.split("\n"), 1):
            words = line.split()
            place = f"trust file, line {number}"
            if words[:1] == [PREFIX]:
                _read_pin(words[1:], pins, names, place)
            elif not words or words[0].startswith("#"):
                continue
            elif words[0] == "log" and len(words) in (2, 3):
                keys.append(VerifierKey.parse(words[1]))
            elif words == ["quorum", "none"] and not quorum:
                quorum = True
            elif words[0] in ("witness", "group") or (words[0] == "quorum" and not quorum):
                raise MalformedProof(
                    f"{place}: this version checks no witnesses; it cannot honour this policy"
                )
            else:
                raise MalformedProof(f"{place}: not a tlog-policy line: {words[0][:32]!r}")
        if not keys or not quorum or pins.keys() != {"chain", "tag"}:
            raise MalformedProof(f"a trust file has log, quorum, '{PREFIX} chain' and '{PREFIX} tag' lines")
        try:
            return cls(tuple(keys), pins["chain"], pins["tag"], names)
        except ValueError as error:
            raise MalformedProof(f"trust file: {error}") from error

    def __str__(self) -> str:
        lines = [f"{PREFIX} chain {self.chain.hex()}", f"{PREFIX} tag {self.tag.hex()}"]
        lines += [f"log {key}" for key in self.log_keys]
        lines += ["quorum none"]
        lines += [f"{PREFIX} name {party.hex()} {name}" for party, name in sorted(self.names.items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Trust:
        """Read a trust file from disk; MalformedProof if it is none, OSError if it cannot be read."""
        with Path(path).open("rb") as file:
            return cls.parse(file.read(TRUST_LIMIT + 1))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the trust file."""
        Path(path).write_text(str(self), encoding="utf-8")


def _read_pin(words: list[str], pins: dict[str, bytes], names: dict[bytes, str], place: str) -> None:
    """One ``#medchain`` line: ``chain HEX``, ``tag HEX`` or ``name HEX TEXT``."""
    if len(words) < 2 or not HEX.fullmatch(words[1]):
        raise MalformedProof(f"{place}: expected 64 hex digits in lower case")
    value = bytes.fromhex(words[1])
    if words[0] in ("chain", "tag") and len(words) == 2 and words[0] not in pins:
        pins[words[0]] = value
    elif words[0] == "name" and len(words) > 2 and value not in names:
        names[value] = " ".join(words[2:])
    else:
        raise MalformedProof(f"{place}: unknown or repeated pin {words[0][:32]!r}")
