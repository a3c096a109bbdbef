"""Seal a file so that two people must agree before anybody reads it. No chain, no server.

Run it: python examples/seal_without_a_ledger.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from medchain import sealing
from medchain.errors import Pending
from medchain.keys import Wallet
from medchain.policy import Policy

CONTEXT = b"acme/17"  # what the object belongs to: everybody involved names the same


def main() -> None:
    ann, dr_wu, guardian, dr_lee = (Wallet.generate() for _ in range(4))
    policy = Policy.parse("treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker")
    bound = policy.bind(gate=None, owner=ann.party, dr_wu=dr_wu.party, guardian=guardian.party)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan, safe, copy = folder / "scan.raw", folder / "scan.sealed", folder / "copy.raw"
        scan.write_bytes(bytes(range(256)) * 16_384)
        sealing.seal_file(scan, safe, bound, context=CONTEXT)
        print(
            f"sealed   {scan.stat().st_size:,} bytes, {safe.stat().st_size - scan.stat().st_size:,} more on disk"
        )

        # The bundle travels to whoever has to decide; the payload stays where it is.
        header = sealing.SealedHeader.from_bytes(bytes(sealing.read_header(safe)))
        ask = sealing.request(header, "treatment", purpose="TREAT", context=CONTEXT, by=dr_lee)
        print(f"asked    by {dr_lee.party}: {len(bytes(ask)):,} bytes, the bundle {len(bytes(header)):,}")

        shares = [sealing.approve(header, ask, to=dr_lee.party, context=CONTEXT, by=ann)]
        waiting_for: tuple[bytes, ...] = ()
        try:
            sealing.open_file(safe, copy, ask, shares, context=CONTEXT, by=dr_lee)
        except Pending as refusal:
            waiting_for = refusal.waiting_for
        assert waiting_for == (dr_wu.party.id, guardian.party.id)
        assert not copy.exists()
        print(f"refused  one share: either of {len(waiting_for)} others could complete it")

        shares.append(sealing.approve(header, ask, to=dr_lee.party, context=CONTEXT, by=guardian))
        sealing.open_file(safe, copy, ask, shares, context=CONTEXT, by=dr_lee)
        assert copy.read_bytes() == scan.read_bytes()
        print("opened   byte for byte")


if __name__ == "__main__":
    main()
