"""Contracts: reviewed Python classes that decide what a message does to the state.

A contract names its messages by handler annotations, its tables, the events it emits and the codes it refuses with.
It is bound fresh for each execution, to one view of the state and one `Context`. It may use nothing else: no clock, no
randomness, no floats, no IO, no globals. `check` refuses the obvious offences when a contract is registered; it is a
guard against mistakes, not a sandbox against malice.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn, TypeVar

import attrs

from medchain.encoding import encode
from medchain.errors import ContractError
from medchain.ledger.tables import Rows, Table, TableView
from medchain.records import describe, from_value, to_value

__all__ = ["Context", "Contract", "Event", "check", "handles", "wire_name"]

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

FORBIDDEN_MODULES = frozenset(
    (
        *(
            "asyncio",
            "datetime",
            "io",
            "multiprocessing",
            "nt",
            "numpy",
            "os",
            "pathlib",
            "posix",
            "random",
            "requests",
        ),
        *("secrets", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid"),
    )
)
FORBIDDEN_NAMES = frozenset(
    ("__import__", "compile", "eval", "exec", "float", "globals", "hash", "id", "input", "open", "print")
)

Handler = TypeVar("Handler", bound=Callable[..., None])
V = TypeVar("V")


def wire_name(cls: type) -> str:
    """The name under which a message or event class is written: its class name in kebab case.

    >>> wire_name(type("AddRecord", (), {}))
    'add-record'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()


def handles(message: type) -> Callable[[Handler], Handler]:
    """Mark a method ``(self, context, message)`` as the handler of one message class."""

    def mark(method: Handler) -> Handler:
        method.__handles__ = message  # type: ignore[attr-defined]  # the mark that Contract collects
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
        installed: Mapping[tuple[str, int], bytes],
    ) -> None:
        self.height = height
        self.time = time
        self.signers = signers
        self.id = id
        self.chain = chain
        self.installed = installed
        self.events: list[Event] = []
        self.subjects: list[bytes] = []
        self.timers: list[tuple[int, str, Any]] = []
        self._rows = rows
        self._contract: type[Contract] = Contract

    def bind(self, contract: type[Contract]) -> None:
        """Say which contract is being executed; `Contract.handle` does."""
        self._contract = contract

    def emit(self, event: Any) -> None:
        """Tell the outside; lost if the transaction is refused. TypeError if the contract declares no such event."""
        if type(event) not in self._contract.events:
            raise TypeError(
                f"contract {self._contract.name} does not declare the event {type(event).__name__}"
            )
        self.events.append(Event(self._contract.name, wire_name(type(event)), to_value(event)))

    def schedule(self, at: int, message: Any) -> None:
        """Have this contract handle `message`, without signers, in the first later block whose time is at least `at`.

        Args:
            at: block time, ms; the next block if it is past.
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
        self.timers.append((max(at, self.time), self._contract.name, plain))

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
    _digest: ClassVar[bytes]

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        handlers, tables = dict(cls.handlers), dict(cls.tables)
        for attribute, value in vars(cls).items():
            if isinstance(value, Table):
                tables[attribute] = value
            elif (handled := getattr(value, "__handles__", None)) is not None:
                name = wire_name(handled)
                if handlers.get(name, (handled,))[0] is not handled:
                    raise TypeError(f"{cls.__name__} handles two messages called {name}")
                handlers[name] = (handled, attribute)
        cls.handlers, cls.tables = handlers, tables
        for event in cls.events:
            if event.__dict__.get("__contract__", cls.name) != cls.name:
                raise TypeError(f"event {event.__name__} belongs to another contract")
            event.__contract__ = cls.name  # type: ignore[attr-defined]  # what Event.is_a compares

    def handle(self, context: Context, name: str, message: Any) -> None:
        """Run the handler of a message, which is an instance of its class."""
        context.bind(type(self))
        getattr(self, self.handlers[name][1])(context, message)

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


def check(contract: type[Contract]) -> None:
    """Refuse a contract that is plainly not deterministic or not well formed.

    Raises:
        TypeError: with what is wrong and where.
    """
    given: object = contract
    if not (inspect.isclass(given) and issubclass(given, Contract)):
        raise TypeError(f"{contract!r} is no Contract class")
    who = contract.__name__
    name: object = getattr(contract, "name", "")
    if not isinstance(name, str) or not NAME.fullmatch(name) or name in RESERVED_NAMES:
        raise TypeError(f"{who}: name is [a-z][a-z0-9_]* of at most 32 characters, and not 'ledger'")
    if type(contract.version) is not int or not 1 <= contract.version < 1 << 31:
        raise TypeError(f"{who}: version is an int from 1")
    if not contract.handlers:
        raise TypeError(f"{who} handles no message")
    for code in contract.codes:
        if not CODE.fullmatch(code) or code in RESERVED_CODES:
            raise TypeError(
                f"{who}: code {code!r} is not [a-z][a-z0-9-]* of at most 32 characters, or is reserved"
            )
    for attribute, table in contract.tables.items():
        if table.contract != contract.name or not NAME.fullmatch(attribute):
            raise TypeError(f"{who}: table {attribute} is another contract's, or not named [a-z][a-z0-9_]*")
    messages = (kind for kind, _ in contract.handlers.values())
    for kind in (*messages, *contract.events, *(table.value for table in contract.tables.values())):
        if not attrs.has(kind) or getattr(kind.__setattr__, "__name__", "") != "_frozen_setattrs":
            raise TypeError(f"{who}: {kind.__name__} is no frozen attrs class")
        try:
            describe(kind)
        except (TypeError, NameError) as error:
            raise TypeError(f"{who}: {kind.__name__}: {error}") from error
    for each in contract.__mro__:
        if issubclass(each, Contract) and each is not Contract:
            _check_source(each)


def _check_source(contract: type[Contract]) -> None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(contract)))
    except (OSError, TypeError):  # defined where there is no source; nothing to look at
        return
    module_globals = vars(inspect.getmodule(contract) or contract)
    for node in ast.walk(tree):
        where = f"{contract.__name__}, line {getattr(node, 'lineno', '?')} of the class"
        if isinstance(node, ast.Global | ast.Nonlocal | ast.Import | ast.ImportFrom):
            raise TypeError(f"{where}: {type(node).__name__.lower()} has no place in a contract")
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            raise TypeError(f"{where}: a float ({node.value}); nodes may round differently")
        if isinstance(node, ast.Div):
            raise TypeError(f"{contract.__name__}: / makes a float; use //")
        if isinstance(node, ast.Name) and (
            node.id in FORBIDDEN_NAMES or _home(module_globals.get(node.id)) in FORBIDDEN_MODULES
        ):
            raise TypeError(f"{where}: {node.id} depends on more than the state and the message")


def _home(thing: object) -> str:
    """The top-level module that something is, or comes from."""
    module = thing.__name__ if inspect.ismodule(thing) else getattr(thing, "__module__", None)
    return str(module).partition(".")[0]
