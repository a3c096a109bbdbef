"""The main jobs of an installed medchain and every dependency of it: a wheel that installs need not work.

Runs where there is neither the source tree nor a compiler.
"""

import contextlib
import importlib
import re
import tempfile
from importlib.metadata import requires, version
from importlib.resources import files
from pathlib import Path

import medchain as mc
from medchain import _native, sealing
from medchain.encoding import decode, encode
from medchain.keys import Wallet
from medchain.merkle import LogTree, SparseMap
from medchain.storage import LmdbStore, SqliteStore, copy_store
from medchain.storage._sql import statements

COMPILED = {
    "attrs": "attrs",
    "cffi": "_cffi_backend",
    "cryptography": "cryptography.hazmat.bindings._rust",
    "libipld": "libipld._libipld",
    "lmdb": "lmdb.cpython",
    "pycryptodome": "Crypto.Hash.keccak",
    "pynacl": "nacl._sodium",
    "shamir-mnemonic": "shamir_mnemonic",
}
"""For each dependency the module whose loading shows that it works here."""


def trees() -> None:
    leaves = [encode({"leaf": index}) for index in range(1000)]
    tree = LogTree(leaves)
    tree.prove_inclusion(500).verify(leaves[500], index=500, head=tree.head)
    tree.prove_consistency(300).verify(old=tree.head_at(300), new=tree.head)
    rows = SparseMap({b"k": b"v"})
    rows.prove_absent(b"x").verify(b"x", root=rows.root)
    assert decode(leaves[7]) == {"leaf": 7}


def dependencies() -> None:
    """Load what each one has compiled: it is there that a platform's wheel fails."""
    names = (re.match(r"[\w.-]+", line)[0] for line in requires("medchain") if "extra ==" not in line)
    required = {re.sub(r"[-_.]+", "-", name).lower() for name in names}
    assert required == set(COMPILED), f"say in COMPILED what to load for {required ^ set(COMPILED)}"
    for module in COMPILED.values():
        importlib.import_module(module)


def seal_and_open() -> None:
    ann, guardian, dr_lee = (Wallet.generate() for _ in range(3))
    policy = mc.Policy.parse("treatment for TREAT: owner and guardian, separate asker")
    bound = policy.bind(gate=None, owner=ann.party, guardian=guardian.party)
    data, context = bytes(range(256)) * 1000, b"smoke/1"
    sealed = sealing.seal(data, bound, context=context)
    ask = sealing.request(sealed.header, "treatment", purpose="TREAT", context=context, by=dr_lee)
    shares = [
        sealing.approve(sealed.header, ask, to=dr_lee.party, context=context, by=holder)
        for holder in (ann, guardian)
    ]
    opened = None
    with contextlib.suppress(mc.Pending):
        opened = sealing.open(sealed, ask, shares[:1], context=context, by=dr_lee)
    assert opened is None, "opened with one share of two"
    assert sealing.open(sealed, ask, shares, context=context, by=dr_lee) == data


def chains() -> None:
    """In memory, on LMDB and copied to SQLite; the contracts are found by their entry points."""
    authority = Wallet.generate()
    register(mc.Chain.in_memory(authority=authority), authority)
    with tempfile.TemporaryDirectory() as folder:
        path, mark = Path(folder) / "clinic.medchain", Path(folder) / "mark"
        origin, gate = "smoke.example/ehr", authority.party
        register(mc.Chain.create(path, origin=origin, authority=authority, gate=gate, mark=mark), authority)
        with mc.Chain.open(path, mark=mark) as chain:
            assert chain.audit().height >= 1
        copied = Path(folder) / "copied"
        with LmdbStore(path / "store", read_only=True) as source, SqliteStore(copied) as target:
            copy_store(source, target)
        with mc.Chain.open(path, mark=mark, store=SqliteStore(copied)) as chain:
            assert chain.audit().height >= 1
    assert "ON CONFLICT" in statements("postgres.sql")["put"]


def register(chain: mc.Chain, authority: Wallet) -> None:
    with chain:
        newcomer = Wallet.generate()
        mc.Parties(chain).register(newcomer, by=authority)
        assert newcomer.party.id in mc.Parties(chain)
        assert chain.audit().height >= 1


def recovery() -> None:
    wallet = Wallet.generate()
    words = wallet.to_slip39([(2, 3)])
    assert Wallet.from_slip39([words[0][0], words[0][2]], expect=wallet.party.id) == wallet


assert version("medchain") == mc.__version__
assert files("medchain").joinpath("py.typed").is_file(), "without py.typed no type reaches a user"
for job in (dependencies, trees, seal_and_open, chains, recovery):
    job()
print(f"medchain {mc.__version__}, SHA-256 kernels: {', '.join(_native.kernels())}")
