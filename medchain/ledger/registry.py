"""Which contracts a node has, and which of them execute a block."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from medchain.errors import ConsensusError, InvalidTransaction
from medchain.ledger.contract import Contract
from medchain.ledger.governance.contract import Governance, activated_by
from medchain.ledger.governance.rows import active_contracts
from medchain.ledger.keys import Keys
from medchain.ledger.registration import check_successor
from medchain.ledger.tables import Rows
from medchain.ledger.transaction import Body

__all__ = ["Registry"]


class Registry:
    """The contract classes that this node has, by name and version.

    Raises:
        ValueError: two contracts have one name and version.
        TypeError: a version cannot follow an older one, see `check_successor`.
    """

    def __init__(self, contracts: Iterable[type[Contract]]) -> None:
        self.classes: dict[tuple[str, int], type[Contract]] = {}
        system: tuple[type[Contract], ...] = (Keys, Governance)
        for contract in (*system, *contracts):
            if self.classes.setdefault((contract.name, contract.version), contract) is not contract:
                raise ValueError(f"two contracts are called {contract.name}/{contract.version}")
        for older, newer in pairwise(sorted(self.classes)):
            if older[0] == newer[0]:
                check_successor(self.classes[older], self.classes[newer])
        self.digests = {key: contract.digest() for key, contract in self.classes.items()}

    def newest(self) -> dict[str, type[Contract]]:
        """The newest version of each contract."""
        return {name: self.classes[name, version] for name, version in sorted(self.classes)}

    def active(self, rows: Rows, height: int) -> dict[str, type[Contract]]:
        """The classes that execute the block at `height`, as the state says.

        Raises:
            ConsensusError: one of them is not installed, or is another contract of the same name.
        """
        found = {}
        for name, active in active_contracts(rows, height):
            if self.digests.get((name, active.version)) != active.digest:
                raise ConsensusError(
                    f"block {height} needs contract {name}/{active.version}, which is not installed on this node"
                )
            found[name] = self.classes[name, active.version]
        return found

    def check_intake(self, body: Body) -> None:
        """Refuse to pass on the wish to activate what this node does not have: it could not go on afterwards.

        This is a matter of each node and no rule of the chain: a transaction that comes in a block all the same is
        executed, and who does not have the contract by its height stops before that block.

        Raises:
            InvalidTransaction: ``not-installed``.
        """
        wanted = activated_by(body)
        if wanted is not None and self.digests.get((wanted.contract, wanted.version)) != wanted.digest:
            raise InvalidTransaction(
                "not-installed",
                f"{wanted.contract}/{wanted.version} with this digest is not installed on this node",
            )
