"""What an audit tells its caller, as text and as a table for notebooks."""

from __future__ import annotations

from attrs import field, frozen

from medchain.merkle import Head

__all__ = ["AuditReport"]


@frozen
class AuditReport:
    """What an audit has found to hold, from the genesis to `head`.

    Attributes:
        origin: name of the log.
        chain: the chain id.
        head: size and root of the log that was read.
        height: of the last block.
        began, ended: block times of the first and the last header, ms since the epoch.
        outcomes: how many entries had which outcome, by (contract, code); timers under ``timer``.
        rows: how many rows the state has.
    """

    origin: str
    chain: bytes
    head: Head
    height: int
    began: int
    ended: int
    outcomes: dict[tuple[str, str], int] = field(repr=False)
    rows: int

    def __str__(self) -> str:
        lines = [
            f"{self.origin}: {self.head.size} leaves in {self.height + 1} blocks, all of it holds",
            f"  root {self.head.root.hex()}",
            f"  {self.rows} rows of state, rebuilt by executing every entry again",
        ]
        lines += [
            f"  {count:>8}  {contract} {code}" for (contract, code), count in sorted(self.outcomes.items())
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{contract}</td><td>{code}</td><td>{count}</td></tr>"
            for (contract, code), count in sorted(self.outcomes.items())
        )
        return (
            f"<p><b>{self.origin}</b>: {self.head.size} leaves, height {self.height}, everything holds</p>"
            f"<table><tr><th>contract</th><th>outcome</th><th>entries</th></tr>{rows}</table>"
        )
