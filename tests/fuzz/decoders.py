"""Every door of the library through which outside bytes or text come in.

`test_registry.py` finds one that is missing. The property tests go through all of them, and so does the coverage guided
fuzzer (``make fuzz``). How to add one: docs/how-to/fuzz-a-decoder.md.
"""

from __future__ import annotations

from fuzz.decoder import Decoder
from fuzz.documents import DOCUMENTS
from fuzz.ledgers import LEDGERS

__all__ = ["DECODERS", "EXEMPT", "Decoder"]

DECODERS: dict[str, Decoder] = {decoder.name: decoder for decoder in (*DOCUMENTS, *LEDGERS)}
"""By name, from the lowest floor of the house to the highest."""

EXEMPT: dict[str, str] = {
    "medchain._native:_kernel_names": "reads what the C code says of itself",
    "medchain._writer:Writer._attached": "a message that is read as in ledger.transition",
    "medchain.access.draft:_signing_key": "an entry of the server's own chain, executed here",
    "medchain.access.review:_check_seq": "a number out of bytes of a proved row",
    "medchain.access.trail:transaction_index": "entries of the server's own chain, executed here",
    "medchain.access.view:AccessView._policy": "a policy that the contract has read before it was stored",
    "medchain.chain:Chain.submit": "Transaction.from_bytes and nothing else",
    "medchain.ehr.records:Records.bundle": "Bundle.from_bytes and nothing else",
    "medchain.keys.signing:self_test": "its own constants",
    "medchain.ledger.system:consume": "a number out of bytes of the ledger's own row",
    "medchain.ledger.tables:_item_in_order": "bytes that order_key has made",
    "medchain.ledger.versions:RebuiltVersions.load": "keys that the map asks for, all of its nodes made here",
    "medchain.storage._sql:statements": "a file of this package",
    "medchain.storage.files:FileBlobs._names": "only names that a pattern has accepted",
    "medchain.storage.objects:ObjectBlobs._ids": "only names that a pattern has accepted",
}
"""Functions that look like readers of outside bytes to the test of the registry, and why they need no door."""
