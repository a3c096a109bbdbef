"""Proofs as files that other tools read: C2SP tlog-proof, and what medchain puts into its ``extra`` line.

``extra`` is not authenticated by the format: it holds the very bytes that are proved, and the verifier hashes them
(docs/spec/proof.md).

- An entry: enc{kind: "entry", leaf}.
- The state: enc{kind: "state", header, contract, table, key, row, proof}. ``index`` is the header's.
- That the log has only grown: enc{kind: "consistency", header, old}. ``index`` is that of the header with which the
  older log ended.
"""

from __future__ import annotations

import base64
from typing import Any, TypeAlias

from attrs import field, frozen

from medchain.errors import EncodingError, MalformedProof
from medchain.ledger.checkpoint import Checkpoint, parse_number
from medchain.ledger.note import decode_base64, utf8_text
from medchain.ledger.trust import Trust, Vouchers
from medchain.merkle import InclusionProof
from medchain.records import decode_record, encode_record, short

__all__ = ["PROOF_LIMIT", "ConsistencyExtra", "EntryExtra", "Extra", "LogProof", "StateExtra", "read_extra"]

FIRST_LINE = "c2sp.org/tlog-proof@v1"
PROOF_LIMIT = 4 << 20
EXTRA_LIMIT = 2 << 20
PATH_LIMIT = 63


@frozen
class EntryExtra:
    """The leaf that an entry proof is about."""

    leaf: bytes = field(repr=short)
    kind: str = "entry"


@frozen
class StateExtra:
    """The header that a state proof is about, and the row, or None, under a key of a table."""

    header: bytes = field(repr=short)
    contract: str
    table: str
    key: Any
    row: bytes | None = field(repr=short)
    proof: bytes = field(repr=short)
    kind: str = "state"


@frozen
class ConsistencyExtra:
    """The header with which an older log ended, and the checkpoint that was signed then."""

    header: bytes = field(repr=short)
    old: bytes = field(repr=short)
    kind: str = "consistency"


Extra: TypeAlias = EntryExtra | StateExtra | ConsistencyExtra
"""What medchain puts into an extra line."""

_KINDS: dict[type[Extra], str] = {EntryExtra: "entry", StateExtra: "state", ConsistencyExtra: "consistency"}


@frozen
class LogProof:
    """A tlog-proof: that the leaf at `index` is in the log of `checkpoint`.

    Attributes:
        inclusion: index, size and path.
        checkpoint: the checkpoint, with its signatures.
        extra: bytes beside the proof; nobody has signed them.
    """

    inclusion: InclusionProof
    checkpoint: Checkpoint
    extra: bytes = field(repr=short)

    def verify(self, leaf: bytes, trust: Trust) -> Vouchers:
        """Check that `leaf` is in the log that `trust` believes; who vouches for it.

        Raises:
            VerificationError: untrusted, wrong signature, or the path does not lead to the root.
        """
        vouchers = trust.verify(self.checkpoint)
        self.inclusion.verify(leaf, index=self.inclusion.index, head=self.checkpoint.head)
        return vouchers

    @classmethod
    def parse(cls, data: str | bytes) -> LogProof:
        """Read a tlog-proof; MalformedProof if it breaks the specification in any way."""
        text = utf8_text(data, PROOF_LIMIT, "a tlog-proof")
        top, blank, note = text.partition("\n\n")
        lines = top.split("\n")
        if not blank or lines.pop(0) != FIRST_LINE:
            raise MalformedProof(f"not a tlog-proof: the first line is {FIRST_LINE}")
        extra = b""
        if lines and lines[0].startswith("extra "):
            extra = decode_base64(lines.pop(0)[6:], "extra line")
            if not extra:
                raise MalformedProof("an extra line without extra data is omitted")
        if not lines or not lines[0].startswith("index "):
            raise MalformedProof("a tlog-proof has an index line")
        index = parse_number(lines.pop(0)[6:], "index")
        if len(lines) > PATH_LIMIT:
            raise MalformedProof(f"an inclusion proof has at most {PATH_LIMIT} hashes")
        path = tuple(decode_base64(line, "inclusion proof") for line in lines)
        if any(len(each) != 32 for each in path):
            raise MalformedProof("the hashes of an inclusion proof have 32 bytes")
        checkpoint = Checkpoint.parse(note)
        if index >= checkpoint.size:
            raise MalformedProof(f"entry {index} is outside a log of size {checkpoint.size}")
        return cls(InclusionProof(index, checkpoint.size, path), checkpoint, extra)

    from_bytes = parse

    def __str__(self) -> str:
        lines = [FIRST_LINE]
        lines += [f"extra {_base64(self.extra)}"] if self.extra else []
        lines += [f"index {self.inclusion.index}", *map(_base64, self.inclusion.path)]
        return "\n".join(lines) + "\n\n" + str(self.checkpoint)

    def __bytes__(self) -> bytes:
        return str(self).encode()


def read_extra(data: bytes) -> Extra:
    """What medchain has put into the extra line; MalformedProof if it is something else."""
    for kind, name in _KINDS.items():
        try:
            found = decode_record(kind, data, limit=EXTRA_LIMIT)
        except EncodingError:
            continue
        if found.kind == name:
            return found
    raise MalformedProof("the extra line holds no entry, no row of the state and no older checkpoint")


def extra_bytes(extra: Extra) -> bytes:
    """The bytes of an extra line."""
    return encode_record(extra)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
