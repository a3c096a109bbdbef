"""Health records on a chain: bundles in, bundles and resources out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medchain.access.client import Access
from medchain.access.handles import Opened, Record, Request
from medchain.ehr.bundle import ENTRY, FRAGMENT, HEAD, TAIL, Bundle, read_resource
from medchain.keys.wallet import Signer, Wallet
from medchain.policy.bound import BoundPolicy

__all__ = ["Records"]


class Records:
    """FHIR bundles under the control of `access`.

    Args:
        access: the access client of the chain.
    """

    def __init__(self, access: Access) -> None:
        self.access = access

    def add(
        self,
        bundle: bytes | Mapping[str, Any] | str | os.PathLike[str] | Bundle,
        bound: BoundPolicy,
        *,
        by: Sequence[Signer],
        force: bool = False,
    ) -> Record:
        """Seal a bundle, each entry as a part of its own, and put it under the chain's control.

        Args:
            bundle: FHIR R4 in JSON, as bytes (kept exactly), as a mapping, or the path of a file.
            bound: the policy.
            by: author and owner, as for `Access.add`.
            force: as for `Access.add`.

        Raises:
            EncodingError: it is no bundle; nothing is written.
            PolicyError, Refused, StorageError: as `Access.add`.
        """
        parsed = bundle if isinstance(bundle, Bundle) else Bundle.read(bundle)
        return self.access.add(parsed.parts(), bound, by=by, force=force)

    def request(
        self,
        record: Record | bytes,
        clause: str,
        *,
        purpose: str,
        by: Wallet,
        parts: Iterable[int] | None = None,
        expires_in: int | None = None,
    ) -> Request:
        """Ask for a record, as `Access.request`; `Bundle.find` tells the numbers of parts."""
        return self.access.request(record, clause, purpose=purpose, by=by, parts=parts, expires_in=expires_in)

    def open(self, request: Request | bytes, *, by: Wallet) -> Opened:
        """Open what a decision allows, as `Access.open`: ``.raw`` is the bundle, byte for byte."""
        return self.access.open(request, by=by)

    def bundle(self, opened: Opened) -> Bundle:
        """The whole bundle. EncodingError if it is none, or only some of its parts were opened."""
        return Bundle.from_bytes(opened.raw)

    def resources(self, opened: Opened) -> list[dict[str, Any]]:
        """The resources among what was opened, parsed; decimals as `decimal.Decimal`.

        Raises:
            EncodingError: a part holds no resource.
        """
        return [
            read_resource(part.data)
            for part in opened.parts
            if part.media_type == FRAGMENT and part.label not in (HEAD, TAIL, ENTRY)
        ]
