"""Policies: who has to agree before sealed content opens. A model, its language, its analysis; no input or
output.

>>> from medchain.policy import Policy
>>> policy = Policy.parse("treatment for TREAT: owner and 1 of (dr_wu, guardian), separate asker")
>>> policy.clause("treatment").satisfied_by(["owner", "guardian"])
True
"""

from medchain._lazy import lazy

__getattr__, __dir__, __all__ = lazy(
    __name__,
    {
        "Analysis": "medchain.policy.analysis",
        "BoundClause": "medchain.policy.bound",
        "BoundGate": "medchain.policy.bound",
        "BoundPolicy": "medchain.policy.bound",
        "Clause": "medchain.policy.model",
        "Finding": "medchain.policy.analysis",
        "GateSet": "medchain.policy.bound",
        "Holder": "medchain.policy.tree",
        "Mark": "medchain.policy.model",
        "Policy": "medchain.policy.model",
        "Position": "medchain.policy.tree",
        "Quorums": "medchain.policy.quorums",
        "Role": "medchain.policy.names",
        "Severity": "medchain.policy.analysis",
        "Threshold": "medchain.policy.tree",
        "Tree": "medchain.policy.tree",
        "all_of": "medchain.policy.tree",
        "any_of": "medchain.policy.tree",
        "k_of": "medchain.policy.tree",
        "smallest_quorums": "medchain.policy.quorums",
    },
)
