"""Contracts: reviewed Python classes that decide what a message does to the state.

A contract names its messages by handler annotations, its tables, the events it emits and the codes it refuses with.
It is bound fresh for each execution, to one view of the state and one `Context`. It may use nothing else: no clock, no
randomness, no floats, no IO, no globals. `medchain.ledger.registration.check` refuses the obvious offences when a
contract is registered; it is a guard against mistakes, not a sandbox against malice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, TypeVar

import attrs

from medchain.encoding import encode
from medchain.errors import ContractError
from medchain.ledger.tables import OwnRows, Rows, Table, TableView, WritableRows
from medchain.records import describe, from_value, to_value

__all__ = ["Context", "Contract", "Event", "handles", "wire_name"]

DIGEST_LABEL = b"medchain/contract/v1"
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
CODE = re.compile(r"[a-z][a-z0-9-]{0,31}")
RESERVED_NAMES = frozenset({"ledger"})
"""The ledger's own tables stand under this name."""

TOO_MANY_SUBJECTS, TOO_MANY_EVENTS = "too-many-subjects", "too-many-events"
RESERVED_CODES = frozenset({"ok", "internal", TOO_MANY_SUBJECTS, TOO_MANY_EVENTS})
"""Codes that the ledger gives itself; a contract declares others."""

SCHEDULED_LIMIT = 40_000
"""Most bytes of a scheduled message, so that its entry stays under 60,000."""

TIME_LIMIT = 1 << 53
"""Block times are below this, in ms: the year 287,396."""

Handler = TypeVar("Handler", bound=Callable[..., None])
V = TypeVar("V")


def wire_name(cls: type) -> str:
    """The name under which a message or event class is written: its class name in kebab case.

    >>> wire_name(type("AddRecord", (), {}))
    'add-record'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()


def handles(*messages: type) -> Callable[[Handler], Handler]:
    """Mark a method ``(self, context, message)`` as the handler of one message class, or of several."""

    def mark(method: Handler) -> Handler:
        method.__handles__ = messages  # type: ignore[attr-defined]  # the mark that Contract collects
        return method

    return mark


@attrs.frozen
class Event:
    """What a handler tells the outside: contract, event name, its fields as a plain value."""

    contract: str
    name: str
    value: Any

    def is_a(self, cls: type) -> bool:
        """Whether this is an event of class `cls`, emitted by the contract that declares it."""
        return self.name == wire_name(cls) and self.contract == cls.__dict__.get("__contract__")

    def read(self, cls: type[V]) -> V:
        """The event as its class; EncodingError if it is another one."""
        return from_value(cls, self.value)


class Context:
    """What a handler may know and do beyond its tables.

    Attributes:
        height: of the block in the making.
        time: block time, milliseconds since the epoch, never decreasing.
        signers: party ids whose signatures were verified, in order; empty for a timer.
        id: the transaction's or timer's id, 32 bytes.
        chain: the chain id.
    """

    def __init__(
        self,
        *,
        height: int,
        time: int,
        signers: tuple[bytes, ...],
        id: bytes,
        chain: bytes,
        rows: Rows,
        earliest: int,
    ) -> None:
        self.height = height
        self.time = time
        self.signers = signers
        self.id = id
        self.chain = chain
        self.events: list[Event] = []
        self.subjects: list[bytes] = []
        self.timers: list[tuple[int, str, Any]] = []
        self._rows = rows
        self._earliest = earliest
        self._contract: type[Contract] = Contract

    def bind(self, contract: type[Contract]) -> None:
        """Say which contract is being executed; `Contract.handle` does."""
        self._contract = contract

    def emit(self, event: Any) -> None:
        """Tell the outside; lost if the transaction is refused. TypeError if the contract declares no such event."""
        name = self._contract.event_names.get(type(event))
        if name is None:
            raise TypeError(
                f"contract {self._contract.name} does not declare the event {type(event).__name__}"
            )
        self.events.append(Event(self._contract.name, name, to_value(event)))

    def schedule(self, at: int, message: Any) -> None:
        """Have this contract handle `message`, without signers, in the first later block whose time is at least `at`.

        Args:
            at: block time, ms; the next block if it is past. A timer sets others for `timer_interval_ms` after its own
                block at the earliest (docs/adr/0035).
            message: an instance of one of the contract's own message classes.
        """
        name = wire_name(type(message))
        if self._contract.handlers.get(name, (None,))[0] is not type(message):
            raise TypeError(f"contract {self._contract.name} handles no {type(message).__name__}")
        if type(at) is not int or at >= TIME_LIMIT:
            raise ValueError(f"{at!r} is no block time in milliseconds")
        plain = [name, to_value(message)]
        if len(encode(plain)) > SCHEDULED_LIMIT:
            raise ValueError(f"a scheduled message has at most {SCHEDULED_LIMIT} bytes")
        self.timers.append((max(at, self._earliest), self._contract.name, plain))

    def concerns(self, subject: bytes) -> None:
        """Put this entry on the list of `subject` (a party id, 32 bytes), whether it is accepted or refused."""
        if type(subject) is not bytes or len(subject) != 32:
            raise ValueError("a subject is a party id of 32 bytes")
        if subject not in self.subjects:
            self.subjects.append(subject)

    def read(self, table: Table[V]) -> TableView[V]:
        """The rows of another contract's public table."""
        if not table.public and table.contract != self._contract.name:
            raise TypeError(f"table {table.contract}.{table.name} is not public")
        return table.view(_ReadOnly(self._rows))

    def require(self, condition: object, code: str) -> None:
        """Refuse the transaction with `code`, one that the contract declares, unless `condition` holds."""
        if not condition:
            self.refuse(code)

    def refuse(self, code: str) -> NoReturn:
        """Refuse the transaction with `code`."""
        raise ContractError(code)


class _ReadOnly:
    """Rows without a way to set them."""

    def __init__(self, rows: Rows) -> None:
        self.get = rows.get
        self._scan = rows.scan

    def scan(
        self, start: bytes, end: bytes | None, *, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        return self._scan(start, end, reverse=reverse)


class Contract:
    """Base of all contracts.

    Class attributes: `name`, `version`, `events` (classes it emits) and `codes` (with which it refuses); tables are
    `Table` attributes, handlers methods marked by `handles`.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    events: ClassVar[tuple[type, ...]] = ()
    codes: ClassVar[tuple[str, ...]] = ()
    handlers: ClassVar[Mapping[str, tuple[type, str]]] = {}
    tables: ClassVar[Mapping[str, Table[Any]]] = {}
    event_names: ClassVar[Mapping[type, str]] = {}
    _digest: ClassVar[bytes]

    def __init__(self, rows: WritableRows) -> None:
        self._rows = OwnRows(rows, self.name)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        marks: dict[str, tuple[type, ...]] = {}
        tables: dict[str, Table[Any]] = {}
        for attribute, value in (each for base in reversed(cls.__mro__) for each in vars(base).items()):
            if isinstance(value, Table):
                tables[attribute] = value
            elif (marked := getattr(getattr(value, "__func__", value), "__handles__", None)) is not None:
                marks[attribute] = marked
            elif value is None:  # a later version drops what the one that it is derived from has handled
                marks.pop(attribute, None)
        handlers: dict[str, tuple[type, str]] = {}
        for attribute, kind in ((attribute, kind) for attribute, kinds in marks.items() for kind in kinds):
            if (name := wire_name(kind)) in handlers:
                raise TypeError(f"{cls.__name__} handles two messages called {name}")
            handlers[name] = (kind, attribute)
        cls.handlers, cls.tables = MappingProxyType(handlers), MappingProxyType(tables)
        cls.event_names = MappingProxyType({event: wire_name(event) for event in cls.events})
        for event in cls.events:
            if event.__dict__.get("__contract__", cls.name) != cls.name:
                raise TypeError(f"event {event.__name__} belongs to another contract")
            event.__contract__ = cls.name  # type: ignore[attr-defined]  # what Event.is_a compares

    def handle(self, context: Context, name: str, message: Any) -> None:
        """Run the handler of a message, which is an instance of its class.

        Raises:
            TypeError: the handler returned something, so it may not have run at all (a generator, a coroutine).
        """
        context.bind(type(self))
        method = self.handlers[name][1]
        if getattr(self, method)(context, message) is not None:
            raise TypeError(f"{type(self).__name__}.{method} returned a value; handlers return nothing")

    def attached(self, signers: tuple[bytes, ...], message: Any) -> Mapping[bytes, bytes]:
        """Which blobs come along with a message of `signers`: by SHA-256 the id of the object under which they lie.

        They are stored before the transaction goes in; nothing else is, or strangers could fill the blob stores.
        """
        return {}

    @classmethod
    def digest(cls) -> bytes:
        """H(label ‖ enc[name, version, messages, tables, codes]): what the contract says, not how it is written."""
        if "_digest" not in cls.__dict__:
            messages: dict[str, Any] = {name: describe(kind) for name, (kind, _) in cls.handlers.items()}
            messages |= {f"event:{wire_name(kind)}": describe(kind) for kind in cls.events}
            tables = {name: describe(table.value) for name, table in cls.tables.items()}
            content: Any = [cls.name, cls.version, messages, tables, [*sorted(cls.codes)]]
            cls._digest = hashlib.sha256(DIGEST_LABEL + encode(content)).digest()
        return cls._digest
