"""A clinic publishes its log, an auditor keeps a copy. Then the clinic rewrites its history, and convicts itself.

Run it: python examples/follow_a_log.py
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import medchain as mc
from medchain.errors import Forked
from medchain.transparency import Evidence, PublishedLog, publish


def main() -> None:
    hospital, nurse, doctor, stranger = (mc.Wallet.generate() for _ in range(4))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clinic, mark, public = folder / "clinic", folder / "mark", folder / "public"
        with mc.Chain.create(
            clinic, origin="clinic.example/ehr", authority=hospital, gate=None, mark=mark
        ) as chain:
            mc.Parties(chain).register(nurse, by=hospital)
            trust = chain.trust  # handed to the auditor, on paper for example
            publish(chain, public)

        with PublishedLog(public, trust, folder / "copy") as log:
            print(f"followed  {log.update().added} leaves")

            # Somebody keeps a backup of the chain, and of its mark, which must never be restored.
            shutil.copytree(clinic, folder / "backup")
            shutil.copy(mark, folder / "backup.mark")
            with mc.Chain.open(clinic, authority=hospital, mark=mark) as chain:
                mc.Parties(chain).register(doctor, by=hospital)
                publish(chain, public)
            print(f"followed  {log.update().added} more")
            print(f"audited   {log.audit().entries} entries, {log.audit().refused} refused")
            (entry,) = log.entries(since=3)
            mc.verify(log.prove(entry), mc.Entry, trust=trust)
            print(f"proved    that entry {entry.index} is a {entry.contract} {entry.message}")

            # From the backup the doctor was never registered. It is published where the log was.
            backup = folder / "backup"
            with mc.Chain.open(backup, authority=hospital, mark=folder / "backup.mark") as chain:
                mc.Parties(chain).register(stranger, by=hospital)
                shutil.rmtree(public)
                publish(chain, public)
            try:
                log.update()
            except Forked:
                (file,) = (folder / "copy").glob("fork-*.txt")
            else:
                raise SystemExit("a second history was not noticed")

        # Whoever has the trust file checks the evidence, without the log and without the auditor's copy.
        (key,) = Evidence.parse(file.read_bytes()).verify(trust)
        print(f"convicted {key.name}, by {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
