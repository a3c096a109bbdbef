"""The guard reads source: each offence planted alone, the same code without it let through, and what it cannot see."""

from __future__ import annotations

import builtins
import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ledger.counting import Counting, Other, Put

from medchain.access import AccessContract
from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.governance import Governance
from medchain.ledger.guard import BUILTINS, MODULES
from medchain.ledger.keys import Keys
from medchain.ledger.registration import check

MODULE = """
from __future__ import annotations
import collections, contextlib, functools, itertools, math, operator
from attrs import field, frozen
from medchain.errors import ContractError, MedchainError, StorageError
from medchain.ledger import Context, Contract, Table, handles
{top}

@frozen
class Ask:
    words: tuple[str, ...]
    number: int

@frozen
class Said:
    words: tuple[str, ...]

@frozen
class Row:
    number: int

class Asking(Contract):
    name = "asking"
    events = (Said,)
    codes = ("no",)
    rows = Table(Row, public=True)
    {attribute}

    @handles(Ask)
    def ask(self, context: Context, message: Ask) -> None:
        words = message.words
{body}

    def help_out(self, context: Context, words: tuple[str, ...]) -> None:
{helper}
"""

Make = Callable[..., type[Contract]]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Writes modules of a package and imports the contract in them."""
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "planted"
    package.mkdir()
    (package / "__init__.py").touch()
    made: list[str] = []

    def write(name: str, text: str) -> Any:
        (package / f"{name}.py").write_text(textwrap.dedent(text))
        spec = importlib.util.find_spec(f"planted.{name}")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        made.append(spec.name)
        spec.loader.exec_module(module)
        return module

    def build(
        body: str = "pass", top: str = "", attribute: str = "", helper: str = "pass", beside: str = ""
    ) -> type[Contract]:
        if beside:
            write("beside", beside)
        text = MODULE.format(
            top=textwrap.dedent(top),
            attribute=attribute,
            body=textwrap.indent(textwrap.dedent(body).strip(), " " * 8),
            helper=textwrap.indent(textwrap.dedent(helper).strip(), " " * 8),
        )
        contract: type[Contract] = write(f"contract{len(made)}", text).Asking
        return contract

    yield build
    for name in ("planted", *made):
        sys.modules.pop(name, None)


def test_what_is_bundled_passes() -> None:
    for contract in (Keys, Governance, AccessContract, Counting, Other):
        check(contract)


def test_the_planted_contract_is_good_without_an_offence(make: Make) -> None:
    check(make())


DEPENDS = "depends on more"

OFFENCES: dict[str, tuple[dict[str, str], str]] = {
    # clocks, randomness, input and output
    "clock": ({"top": "import time", "body": "time.time()"}, DEPENDS),
    "clock by name": ({"top": "from time import time_ns", "body": "time_ns()"}, DEPENDS),
    "clock by another name": ({"top": "from time import time as now", "body": "now()"}, DEPENDS),
    "date": ({"top": "import datetime", "body": "datetime.date.today()"}, DEPENDS),
    "zone": ({"top": "import zoneinfo", "body": "zoneinfo.ZoneInfo('UTC')"}, DEPENDS),
    "random": ({"top": "import random", "body": "random.choice(words)"}, DEPENDS),
    "a generator of numbers": (
        {"top": "import random\nrng = random.Random(1)", "body": "rng.random()"},
        DEPENDS,
    ),
    "a method of one": ({"top": "import random\nroll = random.randint", "body": "roll(1, 6)"}, DEPENDS),
    "a partial of one": (
        {"top": "import random\nroll = functools.partial(random.randint, 1)", "body": "roll(6)"},
        DEPENDS,
    ),
    "secrets": ({"top": "import secrets", "body": "secrets.token_bytes(8)"}, DEPENDS),
    "uuid": ({"top": "import uuid", "body": "uuid.uuid4()"}, DEPENDS),
    "environment": ({"top": "import os", "body": "os.environ['HOME']"}, DEPENDS),
    "environment by name": ({"top": "from os import environ", "body": "environ['HOME']"}, DEPENDS),
    "path": ({"top": "from pathlib import Path", "body": "Path('x').read_text()"}, DEPENDS),
    "file": ({"body": "open('/etc/hostname')"}, DEPENDS),
    "print": ({"body": "print(words)"}, DEPENDS),
    "thread": ({"top": "import threading", "body": "threading.Lock()"}, DEPENDS),
    "system": ({"top": "import sys", "body": "sys.maxsize"}, DEPENDS),
    "unicode": ({"top": "import unicodedata", "body": "unicodedata.name('x')"}, DEPENDS),
    "a C module": ({"top": "import _thread", "body": "_thread.get_ident()"}, DEPENDS),
    "logging": ({"top": "import logging\nlog = logging.getLogger()", "body": "log.info('x')"}, DEPENDS),
    # builtins
    "id": ({"body": "id(message)"}, DEPENDS),
    "hash": ({"body": "hash(words)"}, DEPENDS),
    "hash by another name": ({"top": "digest = hash", "body": "digest(words)"}, DEPENDS),
    "hash as a key": ({"body": "sorted(words, key=hash)"}, DEPENDS),
    "its method": ({"body": "message.__hash__()"}, DEPENDS),
    "object": ({"body": "object()"}, DEPENDS),
    "eval": ({"body": "eval('1')"}, DEPENDS),
    "globals": ({"body": "globals()['x']"}, DEPENDS),
    "builtins": ({"body": "__builtins__['id'](1)"}, DEPENDS),
    "builtins by name": ({"top": "import builtins", "body": "builtins.id(1)"}, DEPENDS),
    "setattr": ({"body": "setattr(message, 'number', 1)"}, DEPENDS),
    "exit": ({"body": "raise SystemExit"}, DEPENDS),
    "an error that nobody catches": (
        {"top": "class Odd(BaseException): pass", "body": "raise Odd"},
        "no Exception",
    ),
    "one from elsewhere": (
        {"top": "from _pytest.outcomes import OutcomeException", "body": "raise OutcomeException"},
        "no Exception",
    ),
    "a group of them": ({"body": "raise BaseExceptionGroup('x', [ValueError()])"}, "no Exception"),
    # floats
    "a float": ({"body": "message.number * 1.5"}, "a float"),
    "a float in a constant": ({"top": "RATE = 1.5", "body": "message.number * RATE"}, "a float"),
    "division": ({"body": "message.number / 2"}, "use //"),
    "division in place": ({"body": "x = 1\nx /= 2"}, "use //"),
    "division by name": ({"body": "operator.truediv(1, 2)"}, "makes a float"),
    "float": ({"body": "float(1)"}, DEPENDS),
    "a root": ({"body": "math.sqrt(2)"}, "gives a float"),
    "a root by name": ({"top": "from math import sqrt", "body": "sqrt(2)"}, "gives a float"),
    "pi": ({"body": "math.pi"}, "a float"),
    "a power below zero": ({"body": "2 ** -1"}, "gives a float"),
    "one by a name": ({"body": "10 ** -message.number"}, "gives a float"),
    "one in place": ({"body": "x = 2\nx **= -1"}, "gives a float"),
    "one by a function": ({"body": "pow(2, -1)"}, "gives a float"),
    "one by an operator": ({"body": "operator.pow(2, -1)"}, "gives a float"),
    "one by a method": ({"body": "(5).__pow__(-1)"}, "may give a float"),
    "division by a method": ({"body": "(1).__truediv__(3)"}, "may give a float"),
    "division by a method of a class": ({"body": "int.__rtruediv__(3, 1)"}, "may give a float"),
    "division in place by name": ({"body": "operator.itruediv(1, 2)"}, "makes a float"),
    "a float by a method": ({"body": "message.number.__float__()"}, "may give a float"),
    # what outlives the execution
    "a global": ({"top": "seen = 0", "body": "global seen\nseen += 1"}, "global has no place"),
    "a global list": ({"top": "seen = []", "body": "seen.append(1)"}, "for all executions"),
    "a global dict": ({"top": "seen = {}", "body": "seen['x'] = 1"}, "for all executions"),
    "a global dict, deleted from": ({"top": "seen = {}", "body": "del seen['x']"}, "for all executions"),
    "a class attribute": ({"body": "Asking.seen = 1"}, "for all executions"),
    "a class attribute by type": ({"body": "type(self).seen = 1"}, "for all executions"),
    "a class attribute by class": ({"body": "self.__class__.seen = 1"}, "for all executions"),
    "an attribute that can change": ({"attribute": "seen = []"}, "can change"),
    "an iterator": ({"attribute": "seen = itertools.count()"}, "can change"),
    "a global iterator": ({"top": "seen = itertools.count()", "body": "next(seen)"}, "goes on"),
    "a default": ({"body": "def inner(seen=[]): seen.append(1)\ninner()"}, "the default"),
    "a default that is made": ({"body": "def inner(seen=dict()): pass\ninner()"}, "the default"),
    "an import": ({"body": "import json"}, "import has no place"),
    "a part of an import": ({"body": "from json import dumps"}, "importfrom has no place"),
    "waiting": ({"body": "async def inner(): await 1"}, "await has no place"),
    # limits of the process
    "everything": ({"body": "try:\n    pass\nexcept:\n    pass"}, "catches everything"),
    "all exceptions": ({"body": "try:\n    pass\nexcept Exception:\n    pass"}, "catches Exception"),
    "recursion": ({"body": "try:\n    pass\nexcept RecursionError:\n    pass"}, "catches RecursionError"),
    "one of several": (
        {"body": "try:\n    pass\nexcept (KeyError, MemoryError):\n    pass"},
        "catches MemoryError",
    ),
    "storage": ({"body": "try:\n    pass\nexcept StorageError:\n    pass"}, "catches StorageError"),
    "all of medchain": ({"body": "try:\n    pass\nexcept MedchainError:\n    pass"}, "catches MedchainError"),
    "suppressed": ({"body": "with contextlib.suppress(Exception):\n    pass"}, "catches Exception"),
    # the ledger's own
    "events of others": ({"body": "context.events.append(1)"}, "context.events is the ledger's own"),
    "timers of others": ({"body": "context.timers.append(1)"}, "the ledger's own"),
    "rows of others": ({"body": "context._rows.get(b'x')"}, "the ledger's own"),
    "in a method beside": ({"helper": "context._rows.get(b'x')"}, "the ledger's own"),
    # sets
    "a loop over a set": (
        {"body": "for word in set(words):\n    context.emit(Said((word,)))"},
        "the order of the set",
    ),
    "a literal": ({"body": "for word in {'a', 'b'}:\n    pass"}, "the order of the set"),
    "a list of one": ({"body": "list(set(words))"}, "the order of the set"),
    "a tuple of one": ({"body": "context.emit(Said(tuple(frozenset(words))))"}, "the order of the set"),
    "the first": ({"body": "next(iter(set(words)))"}, "the order of the set"),
    "any": ({"body": "s = set(words)\ns.pop()"}, "the order of the set"),
    "by a name": ({"body": "s = {w for w in words}\nfor w in s:\n    pass"}, "the order of the set"),
    "by a name with a type": (
        {"body": "s: set[str] = help(words)\nfor w in s:\n    pass"},
        "the order|depends",
    ),
    "by a walrus": ({"body": "if (s := set(words)):\n    [w for w in s]"}, "the order of the set"),
    "a difference": ({"body": "for w in set(words) - {'a'}:\n    pass"}, "the order of the set"),
    "a method": ({"body": "for w in set(words).union('a'):\n    pass"}, "the order of the set"),
    "keys of two dicts": (
        {"body": "a = {}\nfor k in a.keys() & a.keys():\n    pass"},
        "the order of the set",
    ),
    "one or the other": (
        {"body": "for w in (set(words) if words else ()):\n    pass"},
        "the order of the set",
    ),
    "a comprehension": ({"body": "[w for w in set(words)]"}, "the order of the set"),
    "a dict from one": ({"body": "{w: 1 for w in set(words)}"}, "the order of the set"),
    "a dict from one by keys": ({"body": "dict.fromkeys(set(words))"}, "the order of the set"),
    "joined": ({"body": "','.join(set(words))"}, "the order of the set"),
    "unpacked": ({"body": "a, b = set(words)"}, "the order of the set"),
    "spread": ({"body": "(*set(words),)"}, "the order of the set"),
    "enumerated": ({"body": "list(enumerate(set(words)))"}, "the order of the set"),
    "sorted by less than all": ({"body": "sorted(set(words), key=len)"}, "the order of the set"),
    "the longest of one": ({"body": "max(set(words), key=len)"}, "the order of the set"),
    "a global one": ({"top": "ALL = {'a', 'b'}", "body": "for w in ALL:\n    pass"}, "the order of the set"),
    "yielded": ({"helper": "yield from set(words)"}, "the order of the set"),
    "given": (
        {"top": "def go(some: set[str]):\n    return list(some)", "body": "go(words)"},
        "the order of the set",
    ),
    "in a text": ({"body": "str(set(words))"}, "the order of the set"),
    "in its repr": ({"body": "repr({*words})"}, "the order of the set"),
    "in an f-string": ({"body": "s = set(words)\nf'{s}'"}, "the order of the set"),
    "in an f-string with a form": ({"body": "s = set(words)\nf'{s!r:>9}'"}, "the order of the set"),
    "formatted": ({"body": "'{}'.format(set(words))"}, "the order of the set"),
    "formatted by a name": ({"body": "'{s}'.format(s=set(words))"}, "the order of the set"),
    "formatted by a builtin": ({"body": "format(set(words))"}, "the order of the set"),
    "formatted by percent": ({"body": "'%s' % set(words)"}, "the order of the set"),
    "formatted in a tuple": ({"body": "'%s' % (set(words),)"}, "the order of the set"),
    "formatted in a dict": ({"body": "'%(s)s' % {'s': set(words)}"}, "the order of the set"),
    "in the text of a tuple": ({"body": "str((1, [set(words)]))"}, "the order of the set"),
    "by its own methods": ({"body": "s = set(words)\ns.__repr__(), s.__iter__()"}, "the order of the set"),
    "as bytes": ({"body": "bytes({len(w) for w in words})"}, "the order of the set"),
    "in a deque": ({"body": "collections.deque(set(words))"}, "the order of the set"),
    "counted": ({"body": "collections.Counter(set(words))"}, "the order of the set"),
    "chained": ({"body": "itertools.chain(set(words))"}, "the order of the set"),
    "sliced": ({"body": "itertools.islice(set(words), 1)"}, "the order of the set"),
    "reduced": ({"body": "functools.reduce(operator.add, set(words))"}, "the order of the set"),
    "added up": ({"body": "sum({(w,) for w in words}, ())"}, "the order of the set"),
    "added up by a name": ({"body": "sum({(w,) for w in words}, start=())"}, "the order of the set"),
    "added up from a generator": ({"body": "sum(((w,) for w in set(words)), ())"}, "the order of the set"),
    "copied": (
        {"top": "import copy", "body": "[w for w in words]\ncopy.copy(set(words))"},
        "the order of the set",
    ),
    "put into a list": ({"body": "found = []\nfound.extend(set(words))"}, "the order of the set"),
    "put into a dict": (
        {"body": "found = {}\nfound.update({(w, 1) for w in words})"},
        "the order of the set",
    ),
    "the smallest set of some": ({"body": "min({frozenset([w]) for w in words})"}, "the order of the set"),
    "passed on": (
        {"helper": "list(words)", "body": "self.help_out(context, set(words))"},
        "the order of the set",
    ),
    # found elsewhere
    "in a method that is called": ({"helper": "id(words)", "body": "self.help_out(context, words)"}, DEPENDS),
    "in a method that nobody calls": ({"helper": "id(words)"}, DEPENDS),
    "in a function": ({"top": "def go():\n    return id(1)", "body": "go()"}, DEPENDS),
    "two functions deep": (
        {"top": "def go():\n    return on()\ndef on():\n    return id(1)", "body": "go()"},
        DEPENDS,
    ),
    "in a cached function": (
        {"top": "@functools.cache\ndef go():\n    return id(1)", "body": "go()"},
        DEPENDS,
    ),
    "in a wrapper": (
        {
            "top": """
                def timed(method):
                    @functools.wraps(method)
                    def wrapper(*args):
                        id(args)
                        return method(*args)
                    return wrapper
            """,
            "attribute": "other = timed(lambda self: None)",
        },
        DEPENDS,
    ),
    "in a lambda": ({"attribute": "other = lambda self: id(self)"}, DEPENDS),
    "in a class": (
        {"top": "class Box:\n    def go(self):\n        return id(self)", "body": "Box().go()"},
        DEPENDS,
    ),
    "in a property": ({"attribute": "other = property(lambda self: id(self))"}, DEPENDS),
    "in a static method": ({"attribute": "other = staticmethod(lambda: id(1))"}, DEPENDS),
    "in a module beside": (
        {"beside": "def go():\n    return id(1)", "top": "from planted.beside import go", "body": "go()"},
        DEPENDS,
    ),
    "in a module beside, by its name": (
        {"beside": "def go():\n    return id(1)", "top": "from planted import beside", "body": "beside.go()"},
        DEPENDS,
    ),
    "in a base beside": (
        {
            "beside": "class Base:\n    def go(self):\n        return id(self)",
            "top": "from planted.beside import Base\nclass Contract(Base, Contract): pass",
        },
        DEPENDS,
    ),
    "in a comprehension": ({"body": "[id(w) for w in words]"}, DEPENDS),
    "in a nested function": ({"body": "def inner():\n    return id(1)\ninner()"}, DEPENDS),
    "in a default": ({"body": "def inner(x=id(1)): pass\ninner()"}, DEPENDS),
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_an_offence_is_refused(make: Make, offence: str) -> None:
    pieces, match = OFFENCES[offence]
    with pytest.raises(TypeError, match=match) as caught:
        check(make(**pieces))
    assert ".py" in str(caught.value) or "can change" in str(caught.value)


HARMLESS: dict[str, dict[str, str]] = {
    "names that are local": {"body": "time = id = hash = 1\ntime + id + hash"},
    "arguments of such names": {
        "body": "def inner(id, *, open, **input): return id, open, input\ninner(1, open=2)"
    },
    "targets of such names": {"body": "for id in words:\n    id\n[hash for hash in words]"},
    "caught under such a name": {"body": "try:\n    pass\nexcept KeyError as id:\n    id"},
    "matched under such names": {"body": "match words:\n    case (id, *hash):\n        id, hash"},
    "attributes of such names": {"body": "context.id, context.time"},
    "named exceptions": {"body": "try:\n    pass\nexcept (KeyError, ValueError, ContractError):\n    pass"},
    "whole numbers": {"body": "math.isqrt(9), math.gcd(4, 6), 7 // 2, 7 % 2, divmod(7, 2)"},
    "constants": {
        "top": "LIMITS = {'a': 1}\nNAMES = ('a', 'b')",
        "body": "LIMITS['a'], NAMES[0], list(LIMITS)",
    },
    "lists of its own": {"body": "found = []\nfound.append(1)\nfound[0] = 2\nself.note = found"},
    "its rows": {"body": "self.rows['x'] = Row(1)\nfor key in self.rows:\n    pass\ndel self.rows['x']"},
    "members": {"body": "s = set(words)\n'a' in s, len(s), s <= {'a'}, s == s, s | s"},
    "sets among sets": {
        "body": "s = {frozenset('a')}\ns.add(frozenset(words))\ns.update({frozenset(words)})\n"
        "s.issubset({1}), s.isdisjoint({1}), set.union(s, {1}), s.union({1}, {2}), len(s.copy())"
    },
    "whether a set is empty": {
        "body": "s = set(words)\nbool(s), isinstance(s, set), not s\ncontext.require(s - {'a'}, 'no')"
    },
    "the number in a text": {"body": "s = set(words)\nstr(len(s)), f'{len(s)}', '%d' % len(s), 7 % len(s)"},
    "lists of sets": {"body": "sorted([{1}, {2}], key=len), max([{1}, {2}], key=len)"},
    "powers": {"body": "2 ** 3, pow(2, -1, 7), pow(2, 3), 2 ** message.number, -2 ** 2"},
    "a sorted set": {"body": "for word in sorted(set(words)):\n    pass"},
    "what has no order": {
        "body": "min(set(words)), sum({1, 2}), any(w for w in set(words)), {w for w in set(words)}"
    },
    "a set that is a list by now": {"body": "s = set(words)\ns = sorted(s)\nfor w in s:\n    pass"},
    "dicts": {
        "body": "d = {w: 1 for w in words}\nfor k in d:\n    pass\nfor k, v in d.items():\n    pass\nd.pop('a')"
    },
    "a cached function": {"top": "@functools.lru_cache\ndef go(x):\n    return x", "body": "go(1)"},
    "a function that nobody uses": {"top": "def show():\n    print(id(1))"},
    "annotations": {
        "top": "import datetime",
        "body": "x: datetime.datetime = None\ndef inner(x: float) -> float: ...",
    },
}


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_harmless_passes(make: Make, what: str) -> None:
    check(make(**HARMLESS[what]))


def test_messages_and_rows_are_read(make: Make) -> None:
    for planted in (
        "words: tuple[str, ...] = field(validator=late)",
        "words: tuple[str, ...] = field(converter=later)",
        "words: tuple[str, ...] = field(factory=latest)",
    ):
        top = f"""
            import time
            def late(instance, attribute, value):
                if time.time() < 0: raise ValueError
            def later(value):
                return value if time.time() else ()
            def latest():
                return (str(time.time()),)
            @frozen
            class Tell:
                {planted}
        """
        attribute = "@handles(Tell)\n    def tell(self, context, message): pass"
        with pytest.raises(TypeError, match=r"time\.time depends on more"):
            check(make(top=top, attribute=attribute))
    top = """
        import time
        @frozen
        class Tell:
            number: int
            def __attrs_post_init__(self):
                time.time()
    """
    for attribute in (
        "@handles(Tell)\n    def tell(self, context, message): pass",
        "telling = Table(Tell)",
        "events = (Said, Tell)",
    ):
        with pytest.raises(TypeError, match=r"Tell\.__attrs_post_init__.*time.time depends on more"):
            check(make(top=top, attribute=attribute))


def test_a_contract_without_source() -> None:
    place: dict[str, Any] = {"__name__": "nowhere", "Counting": Counting}
    exec("class Bare(Counting):\n    name = 'counting'\n    def more(self): pass", place)
    with pytest.raises(TypeError, match="no source to be read"):
        check(place["Bare"])


class TestHandlers:
    """A handler that would never run, or not as it should."""

    def refuse(self, method: Any, match: str) -> None:
        made = type("Made", (Contract,), {"name": "made", "put": method})
        with pytest.raises(TypeError, match=match):
            check(made)

    def test_coroutines_and_generators(self) -> None:
        @handles(Put)
        async def coroutine(self: Any, context: Context, message: Put) -> None: ...

        @handles(Put)
        def generator(self: Any, context: Context, message: Put) -> Any:
            yield

        @handles(Put)
        async def both(self: Any, context: Context, message: Put) -> Any:
            yield

        for method in (coroutine, generator, both):
            self.refuse(method, "calling it runs nothing")

    def test_arguments(self) -> None:
        @handles(Put)
        def few(self: Any, context: Context) -> None: ...

        @handles(Put)
        def many(self: Any, context: Context, message: Put, more: int) -> None: ...

        @handles(Put)
        def right(self: Any, context: Context, message: Put, more: int = 0) -> None: ...

        for method in (few, many):
            self.refuse(method, r"does not take \(self, context, message\)")
        self.refuse(staticmethod(right), "no plain method")
        self.refuse(classmethod(right), "no plain method")
        check(type("Made", (Contract,), {"name": "made", "put": right}))


def test_the_lists_name_what_there_is() -> None:
    assert all(hasattr(builtins, name) for name in BUILTINS)
    here = {name for name in MODULES if name.isidentifier()}
    assert here == MODULES
    assert not [name for name in ("math", "json", "hashlib", "decimal", "medchain") if name in MODULES]


class TestBlindSpots:
    """What the guard is known not to see. If one of these is refused one day, the documentation has to change."""

    def test_calls_into_other_packages(self, make: Make) -> None:
        """What a function of another package does inside is not read: this one looks at the clock."""
        check(make(top="import email.utils", body="email.utils.localtime()"))

    def test_sets_behind_a_call(self, make: Make) -> None:
        check(make(top="def some(words):\n    return set(words)", body="for w in some(words):\n    pass"))

    def test_names_that_are_looked_up(self, make: Make) -> None:
        check(make(top="import itertools as tools", body="getattr(tools, 'cou' + 'nt')"))

    def test_endless_loops(self, make: Make) -> None:
        check(make(body="while True:\n    pass"))
