"""Where a published log is read from: a directory, or a server that may be hostile.

Nothing that is read is believed; a source only sees to it that reading ends and that no more comes than was asked for.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from medchain.errors import StorageError, Unreachable
from medchain.storage._guard import guarded
from medchain.transparency.http import SECONDS, Server

__all__ = ["DirectorySource", "HttpSource", "Source", "source_of"]

MISSING = (404, 410)
"""Statuses by which a server says that it has no such file."""


LARGEST_PAGE = 1 << 16
"""Most bytes of the page on which a server says that there is no such file."""


class Source(ABC):
    """Files by their paths. Several threads may read at once.

    Attributes:
        name: what messages call it.
        parallel: how many reads at a time are worth while.
    """

    name: str
    parallel: int = 1

    @abstractmethod
    def read(self, path: str, limit: int) -> bytes | None:
        """What lies under a path, None if nothing does.

        Raises:
            Unreachable: the server has not answered as it should, not in time, or with more than `limit` bytes.
            StorageError: the file cannot be read, has more than `limit` bytes, or lies outside of the directory.
        """

    def close(self) -> None:  # noqa: B027  # most have nothing to close
        """Give up connections; reading again opens others."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class DirectorySource(Source):
    """A directory, a copy from elsewhere for example. No link leads out of it, and nothing but files is read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self.name = str(self._path)

    def read(self, path: str, limit: int) -> bytes | None:
        named = self._path / path
        with guarded(f"read {named}"):
            try:
                place = named.resolve(strict=True)
                if not place.is_relative_to(self._path.resolve()):
                    raise StorageError(f"{named} leads out of the published directory")
                data = _read_file(place, limit)
            except (FileNotFoundError, NotADirectoryError):
                if not self._path.is_dir():
                    raise StorageError(f"{self._path} is no directory") from None
                return None
        if len(data) > limit:
            raise StorageError(f"{named} has more than {limit} bytes")
        return data


def _read_file(place: Path, limit: int) -> bytes:
    """At most one byte more than `limit`; StorageError for a pipe or a device, which might never end."""
    descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise StorageError(f"{place} is no file")
        return file.read(limit + 1)


class HttpSource(Source):
    """What a web server serves under a URL. Connections are kept for the next reads, as many as were in use at once.

    Args:
        url: ``http://`` or ``https://``, see `Server`.
        seconds: how long one answer may take, whole.
    """

    parallel = 4

    def __init__(self, url: str, *, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._idle = [Server(url, seconds=seconds)]
        self.name = self._idle[0].url

    def read(self, path: str, limit: int) -> bytes | None:
        try:
            server = self._idle.pop()
        except IndexError:
            server = Server(self.name, seconds=self._seconds)
        try:
            answer = server.get(path, limit=max(limit, LARGEST_PAGE))
        finally:
            self._idle.append(server)
        if answer.status in MISSING:
            return None
        if answer.status != 200:
            raise Unreachable(f"{self.name}/{path}: answered with status {answer.status}")
        if len(answer.body) > limit:
            raise Unreachable(f"{self.name}/{path}: a body of more than {limit} bytes")
        return answer.body

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()


def source_of(place: Source | str | os.PathLike[str]) -> Source:
    """A source by what names it: ``http(s)://…``, a path, or a source itself; ValueError for another kind of URL."""
    if isinstance(place, Source):
        return place
    if isinstance(place, str) and "://" in place:
        return HttpSource(place)
    return DirectorySource(place)
