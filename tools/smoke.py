"""A few calls that reach the extension and every dependency of an installed medchain."""

from importlib.metadata import version

import medchain
from medchain import _native
from medchain.encoding import decode, encode
from medchain.merkle import LogTree, SparseMap

leaves = [encode({"leaf": index}) for index in range(1000)]
tree = LogTree(leaves)
tree.prove_inclusion(500).verify(leaves[500], index=500, head=tree.head)
tree.prove_consistency(300).verify(old=tree.head_at(300), new=tree.head)
rows = SparseMap({b"k": b"v"})
rows.prove_absent(b"x").verify(b"x", root=rows.root)
assert decode(leaves[7]) == {"leaf": 7}
assert version("medchain") == medchain.__version__
print(f"medchain {medchain.__version__}, SHA-256 kernels: {', '.join(_native.kernels())}")
