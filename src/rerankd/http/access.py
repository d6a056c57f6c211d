"""Who may ask for what."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from starlette.datastructures import Headers

from rerankd.http.refusal import Refusal

__all__ = ["Access", "Caller", "Entry", "OpenAccess"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a key stands for."""

    key_id: str | None
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Raises `Refusal` (403) unless the caller has the scope."""
        if scope not in self.scopes:
            raise Refusal("forbidden", f"this needs a key with the scope {scope}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A request under way."""

    rate_limited: bool
    """The caller is over its rate or its concurrency: it is answered, and nothing is scored."""


class Access(Protocol):
    """The door."""

    def admit(self, headers: Headers) -> Caller:
        """Raises `Refusal` (401) for a key that is missing or not good."""
        ...

    def enter(self, caller: Caller) -> AbstractContextManager[Entry]:
        """Counts the request while it is under way."""
        ...


class OpenAccess:
    """Loopback without keys: everybody may rerank; administration and memory need a key all the same."""

    def admit(self, headers: Headers) -> Caller:
        return Caller(None, frozenset({"rerank"}))

    @contextmanager
    def enter(self, caller: Caller) -> Iterator[Entry]:
        yield Entry(rate_limited=False)
