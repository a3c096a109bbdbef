"""Sealed objects: data that opens only when the holders whom a policy names agree. Usable without a ledger.

Off chain: `seal`, `request`, `approve`, `open` (`open_parts` for objects of several parts) and, for what does
not fit into memory, `seal_file` and `open_file`. On a chain the steps are taken apart: `seal_to`,
`open_envelope`, `reseal`, `collect`, `open_segments`.

A wrong byte anywhere ends in an error, and the error says who is to blame where that can be proved:
`check_evidence` lets a third party judge the proof.

>>> from medchain.keys import Wallet
>>> from medchain.policy import Policy
>>> from medchain.sealing import approve, open, request, seal
>>> ann, dr_wu, dr_lee = Wallet.generate(), Wallet.generate(), Wallet.generate()
>>> policy = Policy.parse("treatment for TREAT: owner and dr_wu")
>>> bound = policy.bind(gate=None, owner=ann.party, dr_wu=dr_wu.party)
>>> sealed = seal(b"blood group 0", bound, context=b"acme/17")
>>> ask = request(sealed.header, "treatment", purpose="TREAT", context=b"acme/17", by=dr_lee)
>>> shares = [
...     approve(sealed.header, ask, to=dr_lee.party, context=b"acme/17", by=holder) for holder in (ann, dr_wu)
... ]
>>> open(sealed, ask, shares, context=b"acme/17", by=dr_lee)
b'blood group 0'
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Approval": "medchain.sealing.offchain",
        "BadDealing": "medchain.sealing.evidence",
        "BadShare": "medchain.sealing.evidence",
        "Binding": "medchain.sealing.binding",
        "Complaint": "medchain.sealing.holding",
        "Conviction": "medchain.sealing.evidence",
        "Dealing": "medchain.sealing.documents",
        "Envelope": "medchain.sealing.documents",
        "Header": "medchain.sealing.documents",
        "HeldShares": "medchain.sealing.holding",
        "OpenedPart": "medchain.sealing.opening",
        "Part": "medchain.sealing.sealer",
        "PartKeys": "medchain.sealing.schedule",
        "PayloadCheck": "medchain.sealing.checking",
        "Sealed": "medchain.sealing.offchain",
        "SealedHeader": "medchain.sealing.documents",
        "ShareRequest": "medchain.sealing.offchain",
        "asker_key_hash": "medchain.sealing.binding",
        "approve": "medchain.sealing.offchain",
        "check_evidence": "medchain.sealing.evidence",
        "check_payload": "medchain.sealing.checking",
        "collect": "medchain.sealing.collecting",
        "open": "medchain.sealing.offchain",
        "open_envelope": "medchain.sealing.holding",
        "open_file": "medchain.sealing.files",
        "open_parts": "medchain.sealing.offchain",
        "open_segments": "medchain.sealing.opening",
        "read_header": "medchain.sealing.files",
        "request": "medchain.sealing.offchain",
        "reseal": "medchain.sealing.holding",
        "seal": "medchain.sealing.offchain",
        "seal_file": "medchain.sealing.files",
        "seal_to": "medchain.sealing.sealer",
    },
)
