"""A wallet: the private keys of one party, all derived from one seed; and what may stand in its place.

A wallet acts (``by=``), its `Party` is only named (``to=``). The rest of medchain asks no more of an actor
than `Signer` and `Decrypter`, so that keys may rest in an HSM or a KMS.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NoReturn

from attrs import evolve
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from medchain.encoding import encode
from medchain.errors import KeystoreError
from medchain.keys.cosigning import CosignKey
from medchain.keys.derivation import SEED_SIZE, Derivation, derive
from medchain.keys.party import Party, party_id
from medchain.keys.recipients import RecipientKey
from medchain.keys.signing import SigningKey

__all__ = ["Decrypter", "Signer", "Wallet"]

_NONCE_SIZE = 32
_REQUEST_SALT = b"medchain/request-key/v1"
_WITNESS_SALT = b"medchain/witness-key/v1"


class Signer(ABC):
    """Whoever can sign as a party: a `Wallet`, or keys in an HSM or a KMS."""

    @property
    @abstractmethod
    def party(self) -> Party:
        """The public half, with the keys that are in use."""

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature over `message` under ``party.signing_key``."""


class Decrypter(ABC):
    """Whoever can open what is sealed to a party: a `Wallet`, or keys in an HSM or a KMS."""

    @property
    @abstractmethod
    def party(self) -> Party:
        """The public half, with the keys that are in use."""

    @abstractmethod
    def decrypt(self, sealed: bytes, info: bytes) -> bytes:
        """The plaintext of what was sealed to ``party.recipient_key`` under `info`, or `SealingError`."""

    @abstractmethod
    def request_key(self, nonce: bytes) -> RecipientKey:
        """The one-use recipient key of the request with this 32-byte nonce: the same key each time.

        Its seed can be disclosed as evidence about that request without touching anything else.
        """


class Wallet(Signer, Decrypter):
    """The private keys of one party, derived from a 32-byte seed.

    Wallets are immutable, equal if their parties are, and hidden: the repr shows the party, pickling and
    copying are refused. They rest in a `medchain.keys.keystore` file and come back from SLIP-39 words.
    Python cannot promise to wipe memory: the seed stays in this process's memory for as long as the wallet
    is in use.

    >>> wallet = Wallet.from_seed(bytes(range(32)))
    >>> wallet
    <Wallet of party:d69152ca>
    >>> wallet.persona(toward=Wallet.generate().party, chain=bytes(32)) == wallet
    False
    """

    def __init__(self, seed: bytes, derivation: Derivation = Derivation()) -> None:  # noqa: B008 (immutable)
        if len(seed) != SEED_SIZE:
            raise ValueError(f"a wallet's seed has {SEED_SIZE} bytes, not {len(seed)}")
        self._seed = bytes(seed)
        self._derivation = derivation

    @classmethod
    def generate(cls) -> Wallet:
        """A new wallet from the system's randomness."""
        return cls(secrets.token_bytes(SEED_SIZE))

    @classmethod
    def from_seed(cls, seed: bytes, generation: int = 0) -> Wallet:
        """The wallet of a 32-byte seed, with the keys of a later generation if its own have been rotated."""
        return cls(seed, Derivation(generation=generation))

    @classmethod
    def from_slip39(
        cls, mnemonics: Iterable[str], passphrase: str = "", *, expect: bytes | None, generation: int = 0
    ) -> Wallet:
        """The wallet that `to_slip39` backed up, from enough of its mnemonics.

        A wrong passphrase gives another wallet without any sign of it. So say by `expect` which party id
        must come out; None only if there is none to compare with.

        Raises:
            KeystoreError: too few, too many, damaged or unrelated mnemonics, or another party comes out.
        """
        from medchain.keys import recovery

        seed = recovery.combine(mnemonics, passphrase)
        if len(seed) != SEED_SIZE:
            raise KeystoreError(f"these words hold {len(seed)} bytes: not the seed of a medchain wallet")
        wallet = cls.from_seed(seed, generation)
        if expect is not None and wallet.party.id != expect:
            raise KeystoreError(
                f"these words give {wallet.party}, not party:{expect[:4].hex()}: "
                "wrong passphrase, or another wallet's words"
            )
        return wallet

    def to_slip39(
        self, groups: Sequence[tuple[int, int]], *, group_threshold: int = 1, passphrase: str = ""
    ) -> list[list[str]]:
        """Back the seed up in words (SLIP-39): for each group ``(k, n)`` n mnemonics of which k are needed.

        `group_threshold` groups must be complete. The words bring back this wallet and all of its personas,
        in every generation. Keep the party id beside them: only it tells a wrong passphrase from the right
        one.
        """
        from medchain.keys import recovery

        if self._derivation.counterparty is not None:
            raise ValueError("a persona has no seed of its own: back up the wallet that it was derived from")
        return recovery.split(self._seed, groups, group_threshold=group_threshold, passphrase=passphrase)

    @cached_property
    def party(self) -> Party:
        """The public half. Its id comes from the keys of generation 0 and so survives rotation."""
        keys = self._signing.public, self._recipient.public
        if self._derivation.generation == 0:
            return Party(*keys, party_id(*keys))
        first = Wallet(self._seed, evolve(self._derivation, generation=0))
        return Party(*keys, first.party.id)

    @property
    def derivation(self) -> Derivation:
        """Which of the seed's wallets this is."""
        return self._derivation

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature over `message` by the party's signing key."""
        return self._signing.sign(message)

    def decrypt(self, sealed: bytes, info: bytes) -> bytes:
        """The plaintext of what was sealed to the party's recipient key under `info`.

        Raises:
            SealingError: it was sealed to another key or under another `info`, or altered since.
        """
        return self._recipient.decrypt(sealed, info)

    def persona(self, *, toward: Party, chain: bytes, ward: str | None = None, generation: int = 0) -> Wallet:
        """The wallet under which this person meets one counterparty on one chain: a pairwise pseudonym.

        The same arguments give the same persona always, also when asked of another persona; without the
        seed nobody can tell that two of them belong together.

        Args:
            toward: The counterparty (a hospital), by its id.
            chain: The 32-byte tag of the chain.
            ward: For whom the person acts in this role, by a short name that can be remembered ("child-1").
            generation: How often the keys of this persona have been rotated.
        """
        if len(chain) != 32:
            raise ValueError(f"a chain tag has 32 bytes, not {len(chain)}")
        return Wallet(self._seed, Derivation(bytes(chain), toward.id, ward, generation))

    def log_key(self, tag: bytes) -> SigningKey:
        """The Ed25519 key that signs checkpoints of the chain with this tag; no party's key.

        It changes with the wallet's generation: an authority that rotates its own keys goes on signing
        checkpoints with the wallet of the generation that the chain's trust names.
        """
        return SigningKey(self._derive_for("log", tag))

    def cosign_key(self, tag: bytes) -> CosignKey:
        """The ML-DSA-44 key that cosigns checkpoints of the chain with this tag."""
        return CosignKey(self._derive_for("cosign", tag))

    def witness_keys(self, name: str) -> tuple[SigningKey, CosignKey]:
        """The Ed25519 and the ML-DSA-44 key with which the witness of this name cosigns checkpoints, of any chain.

        Each name has keys of its own: an Ed25519 cosignature does not say under which name it was made, so no key may
        serve two witnesses (C2SP tlog-cosignature). Like `log_key` they change with the wallet's generation.
        """
        root = derive(self._seed, "witness", self._derivation)
        made = HKDF(SHA256(), 64, _WITNESS_SALT, encode([name])).derive(root)
        return SigningKey(made[:32]), CosignKey(made[32:])

    def request_key(self, nonce: bytes) -> RecipientKey:
        """The one-use recipient key of the request with this 32-byte nonce."""
        if len(nonce) != _NONCE_SIZE:
            raise ValueError(f"a request's nonce has {_NONCE_SIZE} bytes, not {len(nonce)}")
        root = derive(self._seed, "request", self._derivation)
        return RecipientKey(HKDF(SHA256(), 32, _REQUEST_SALT, bytes(nonce)).derive(root))

    def reveal_seed(self) -> bytes:
        """The seed itself, for keystores: with it goes everything, this wallet and all of its personas."""
        return self._seed

    @cached_property
    def _signing(self) -> SigningKey:
        return SigningKey(derive(self._seed, "sign", self._derivation))

    @cached_property
    def _recipient(self) -> RecipientKey:
        return RecipientKey(derive(self._seed, "recipient", self._derivation))

    def _derive_for(self, use: str, tag: bytes) -> bytes:
        if len(tag) != 32:
            raise ValueError(f"a chain tag has 32 bytes, not {len(tag)}")
        return derive(self._seed, use, evolve(self._derivation, chain=bytes(tag)))

    def __eq__(self, other: object) -> bool:
        return self.party == other.party if isinstance(other, Wallet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.party)

    def __repr__(self) -> str:
        return f"<Wallet of {self.party}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a wallet is neither pickled nor copied: keep it in a keystore")
