"""Contracts that are not deterministic, one way each. The registration check refuses most; here it is not asked."""

from __future__ import annotations

import os
import random
import time
from typing import Any

from attrs import frozen

from medchain.ledger.contract import Context, Contract, handles
from medchain.ledger.tables import Table


@frozen
class Take:
    """Remember words, in the order in which the contract comes upon them."""

    words: tuple[str, ...]


@frozen
class Took:
    """Words were remembered."""

    words: tuple[str, ...]


@frozen
class WordsRow:
    words: tuple[str, ...]


@frozen
class Thing:
    """Something that lies somewhere in memory."""

    word: str


class Planted(Contract):
    """Remembers words as they come: deterministic, and what the others are derived from."""

    name = "planted"
    codes = ("later",)
    words = Table(WordsRow, public=True)

    @handles(Take)
    def take(self, context: Context, message: Take) -> None:
        words = self._words(context, message.words)
        self.words["all"] = WordsRow((*self._before(), *words))

    def _before(self) -> tuple[str, ...]:
        row = self.words.get("all")
        return () if row is None else row.words

    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return words


class Telling(Planted):
    """Tells instead of remembering: shows in the outcome, not in the state."""

    events = (Took,)

    @handles(Take)
    def take(self, context: Context, message: Take) -> None:
        context.emit(Took(self._words(context, message.words)))

    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(set(words))


class BySet(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word in set(words))


class ById(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        things = [Thing(word) for word in words]
        return tuple(thing.word for thing in sorted(things, key=id))


class ByAddress(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return (str(id(context)),)


class ByHash(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(words, key=hash))


class ByDict(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        counts = {word: len(word) for word in set(words)}
        return tuple(counts)


class ByDefaultRepr(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return (repr(context),)


class ByClock(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return (str(time.time_ns()),)


class ByZone(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return time.tzname


class ByChance(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(random.sample(words, len(words)))


class ByProcess(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        return (str(os.getpid()),)


class ByAssertion(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        try:
            assert len(words) > 100
        except AssertionError:
            context.refuse("later")
        return words


class ByGlobal(Planted):
    seen: Any = []  # noqa: RUF012

    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        self.seen.append(str(len(self.seen) + os.getpid()))
        return (*self.seen,)


class ByCrash(Planted):
    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        if hash(words[0]) % 2:
            raise ZeroDivisionError
        return words


class Talking(Planted):
    """Says aloud what it does, which changes nothing."""

    def _words(self, context: Context, words: tuple[str, ...]) -> tuple[str, ...]:
        print(*words)
        os.write(1, b"by another way, too")
        return words


class ByTimer(Planted):
    """Schedules what it will not come upon again."""

    @handles(Take)
    def take(self, context: Context, message: Take) -> None:
        if context.signers:
            context.schedule(context.time + 1, Take(tuple(set(message.words))))
        else:
            self.words["all"] = WordsRow(message.words)
