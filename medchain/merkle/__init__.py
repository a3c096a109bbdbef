"""Merkle trees: the append-only log of RFC 9162 and a sparse map, each useful without the other and without a chain.

Pure: nothing here reads a clock, a file or a random number.
"""

from __future__ import annotations

from medchain._native import tree_root
from medchain.merkle.arithmetic import (
    EMPTY_ROOT,
    Plan,
    consistency_nodes,
    cover,
    fold,
    inclusion_nodes,
    leaf_hash,
    node_hash,
)
from medchain.merkle.compact import CompactRange
from medchain.merkle.log import LogTree
from medchain.merkle.mapproof import EMPTY_MAP, MapProof
from medchain.merkle.proofs import (
    ConsistencyProof,
    Head,
    InclusionProof,
    prove_consistency,
    prove_inclusion,
    root_of,
)
from medchain.merkle.sparse import SparseMap

__all__ = [
    "EMPTY_MAP",
    "EMPTY_ROOT",
    "CompactRange",
    "ConsistencyProof",
    "Head",
    "InclusionProof",
    "LogTree",
    "MapProof",
    "Plan",
    "SparseMap",
    "consistency_nodes",
    "cover",
    "fold",
    "inclusion_nodes",
    "leaf_hash",
    "node_hash",
    "prove_consistency",
    "prove_inclusion",
    "root_of",
    "tree_root",
]
