"""Whom to believe about a chain: a file that came with the application, never from the chain that it judges.

The file is a C2SP tlog-policy, so other tools read it; what only medchain pins, chain id and tag, stands in lines that
start with ``#medchain`` and are comments to them (docs/spec/trust.md).
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

from attrs import Factory, field, frozen

from medchain.errors import MalformedProof, UntrustedSigner
from medchain.ledger.checkpoint import Checkpoint
from medchain.ledger.cosignature import ED25519_COSIGNATURE
from medchain.ledger.note import VerifierKey, utf8_text
from medchain.ledger.quorum import MOST, NONE, Group, Quorum, Witness, check_word
from medchain.records import length, short

__all__ = ["Trust", "Vouchers"]

TRUST_LIMIT = 512 * 1024
"""Most bytes of a trust file: room for 64 logs and 64 witnesses with post-quantum keys."""

PREFIX = "#medchain"
HEX = re.compile("[0-9a-f]{64}")
BLANKS = re.compile("[ \t]+")
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


@frozen
class Vouchers:
    """Who vouches for a checkpoint.

    Attributes:
        log: keys of the log: it says that this is its state.
        witnesses: keys of known witnesses: they say that it has only grown. They never check what it holds.
    """

    log: tuple[VerifierKey, ...]
    witnesses: tuple[VerifierKey, ...]

    @property
    def order(self) -> tuple[VerifierKey, ...]:
        """Who vouches that the log has only grown: witnesses, or the log alone if none has cosigned."""
        return self.witnesses or self.log


@frozen
class Trust:
    """What is believed about one chain.

    Attributes:
        log_keys: keys that sign its checkpoints; all carry the origin as their name, and one of them is enough.
        chain: the chain id.
        tag: the chain tag, from which wallets derive personas.
        names: names of parties by id, for showing; they stay on this device.
        quorum: the witnesses that must have cosigned.
        urls: where the log is published, one place for each of `log_keys`, None where none is named.
    """

    log_keys: tuple[VerifierKey, ...]
    chain: bytes = field(validator=length(32), repr=short)
    tag: bytes = field(validator=length(32), repr=short)
    names: dict[bytes, str] = field(factory=dict, eq=False)
    quorum: Quorum = field(factory=Quorum)
    urls: tuple[str | None, ...] = Factory(lambda self: (None,) * len(self.log_keys), takes_self=True)

    def __attrs_post_init__(self) -> None:
        if len({key.name for key in self.log_keys}) != 1:
            raise ValueError("the log keys of one chain carry one name, its origin")
        if len({key.key for key in self.log_keys}) != len(self.log_keys) or len(self.log_keys) > MOST:
            raise ValueError(f"a log key stands twice, or there are more than {MOST}")
        if any(key.type == ED25519_COSIGNATURE for key in self.log_keys):
            raise ValueError("a log signs by Ed25519 or cosigns by ML-DSA-44")
        if {key.key for key in self.log_keys} & {witness.key.key for witness in self.quorum.witnesses}:
            raise ValueError("a log is no witness of itself")
        if len(self.urls) != len(self.log_keys):
            raise ValueError("one place, or None, for each log key")
        for url in self.urls:
            if url is not None:
                check_word("the URL of a log", url)
        for party, name in self.names.items():
            if len(party) != 32 or not name.isprintable() or name != " ".join(name.split()) or not name:
                raise ValueError(f"not a name that can be shown: {name!r}")

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self.log_keys[0].name

    def verify(self, checkpoint: Checkpoint) -> Vouchers:
        """Who vouches for a checkpoint of this chain.

        Raises:
            UntrustedSigner: it is another log's, no trusted key signed it, or the quorum of witnesses is not met.
            InvalidSignature: the signature of a trusted key does not verify.
        """
        if checkpoint.origin != self.origin:
            raise UntrustedSigner(f"the checkpoint is of {checkpoint.origin!r}, trusted is {self.origin!r}")
        known = (*self.log_keys, *(witness.key for witness in self.quorum.witnesses))
        signers = checkpoint.note.verified_by(known)
        log = tuple(key for key in signers if key in self.log_keys)
        witnesses = tuple(key for key in signers if key not in self.log_keys)
        if not log:
            raise UntrustedSigner(
                "witnesses have cosigned the checkpoint, but no trusted log key has signed it"
            )
        if not self.quorum.met_by(witnesses):
            raise UntrustedSigner(f"the checkpoint lacks witnesses: wanted {self.quorum.wanted(witnesses)}")
        return Vouchers(log, witnesses)

    @classmethod
    def parse(cls, text: str | bytes) -> Trust:
        """Read a trust file; MalformedProof says which line is wrong."""
        # Octets beyond ASCII are opaque (tlog-policy, Character set): those that are no UTF-8 pass through.
        text = utf8_text(text, TRUST_LIMIT, "a trust file", errors="surrogateescape").replace("\r\n", "\n")
        if CONTROL.search(text):
            raise MalformedProof("a trust file has no control characters other than tab and newline")
        reader = _Reader()
        for number, line in enumerate(text.split("\n"), 1):
            try:
                reader.read(line)
            except (MalformedProof, ValueError) as error:
                raise MalformedProof(f"trust file, line {number}: {error}") from error
        try:
            return reader.trust(cls)
        except ValueError as error:
            raise MalformedProof(f"trust file: {error}") from error

    def __str__(self) -> str:
        lines = [f"{PREFIX} chain {self.chain.hex()}", f"{PREFIX} tag {self.tag.hex()}"]
        lines += [
            f"log {key}" + (f" {url}" if url else "")
            for key, url in zip(self.log_keys, self.urls, strict=True)
        ]
        lines += self.quorum.lines()
        lines += [f"{PREFIX} name {party.hex()} {name}" for party, name in sorted(self.names.items())]
        return "\n".join(lines) + "\n"

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Trust:
        """Read a trust file from disk; MalformedProof if it is none, OSError if it cannot be read."""
        with Path(path).open("rb") as file:
            return cls.parse(file.read(TRUST_LIMIT + 1))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the trust file."""
        Path(path).write_bytes(str(self).encode(errors="surrogateescape"))


class _Reader:
    """What the lines of a trust file have said so far; ValueError or MalformedProof for one that is wrong."""

    def __init__(self) -> None:
        self._keys: list[VerifierKey] = []
        self._urls: list[str | None] = []
        self._pins: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}
        self._witnesses: list[Witness] = []
        self._groups: list[Group] = []
        self._quorum: str | None = None

    def read(self, line: str) -> None:
        """Take one line."""
        words = BLANKS.split(line.strip(" \t"))
        if words[0] == PREFIX:
            self._pin(words[1:])
        elif words[0].startswith("#") or words == [""]:
            pass
        elif words[0] == "log" and len(words) in (2, 3):
            self._keys.append(VerifierKey.parse(words[1]))
            self._urls.append(words[2] if len(words) == 3 else None)
        elif words[0] == "witness" and len(words) in (3, 4):
            self._define(words[1])
            self._witnesses.append(Witness(words[1], VerifierKey.parse(words[2]), *words[3:]))
        elif words[0] == "group" and len(words) > 3:
            self._define(words[1])
            self._groups.append(Group(words[1], self._threshold(words[2], len(words) - 3), tuple(words[3:])))
            self._quorum_of(self._groups[-1].name)
        elif words[0] == "quorum" and len(words) == 2 and self._quorum is None:
            self._quorum_of(words[1])
            self._quorum = words[1]
        else:
            raise ValueError(f"not a line of a tlog-policy: {words[0][:32]!r}")

    def _define(self, name: str) -> None:
        names = [each.name for each in self._witnesses] + [each.name for each in self._groups]
        if name == NONE or name in names or len(names) >= 2 * MOST:
            raise ValueError(f"the name {name[:64]!r} is taken, or there are more than {2 * MOST}")

    @staticmethod
    def _threshold(word: str, members: int) -> int:
        if word in ("any", "all"):
            return 1 if word == "any" else members
        if not re.fullmatch("[1-9][0-9]{0,3}", word):
            raise ValueError("the threshold of a group is 'any', 'all' or a number")
        return int(word)

    def _quorum_of(self, name: str) -> Quorum:
        """All that is defined so far, held to the rules: names are defined before they are used."""
        return Quorum(tuple(self._witnesses), tuple(self._groups), name)

    def _pin(self, words: list[str]) -> None:
        """One ``#medchain`` line: ``chain HEX``, ``tag HEX`` or ``name HEX TEXT``."""
        if len(words) < 2 or not HEX.fullmatch(words[1]):
            raise ValueError("expected 64 hex digits in lower case")
        value = bytes.fromhex(words[1])
        if words[0] in ("chain", "tag") and len(words) == 2 and words[0] not in self._pins:
            self._pins[words[0]] = value
        elif words[0] == "name" and len(words) > 2 and value not in self._names:
            self._names[value] = " ".join(words[2:])
        else:
            raise ValueError(f"unknown or repeated pin {words[0][:32]!r}")

    def trust(self, kind: type[Trust]) -> Trust:
        """What the file says; ValueError if a line is missing."""
        if not self._keys or self._quorum is None or self._pins.keys() != {"chain", "tag"}:
            raise ValueError(f"there must be log, quorum, '{PREFIX} chain' and '{PREFIX} tag' lines")
        return kind(
            tuple(self._keys),
            self._pins["chain"],
            self._pins["tag"],
            self._names,
            self._quorum_of(self._quorum),
            tuple(self._urls),
        )
