"""Who may ask for what, and how much."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from rerankd.core.ports import Clock
from rerankd.errors import ConfigError
from rerankd.http.keyfile import KeyFile
from rerankd.http.policy import HttpPolicy
from rerankd.http.rates import Meter
from rerankd.http.refusal import Refusal

__all__ = ["Access", "Caller", "Entry", "KeyAccess", "OpenAccess"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a key stands for."""

    key_id: str | None
    """None: nobody in particular, on loopback."""
    scopes: frozenset[str]

    @property
    def tenant(self) -> str:
        """Whose scores it may find again: those of its own key; without a key, of everybody without one."""
        return "" if self.key_id is None else f"key {self.key_id}"

    def require(self, scope: str) -> None:
        """Raises `Refusal` (403; 401 where there was no key) unless the caller has the scope."""
        if scope in self.scopes:
            return
        if self.key_id is None:
            raise _unauthorized(f"this needs a key with the scope {scope}: Authorization: Bearer KEY")
        raise Refusal("forbidden", f"this needs a key with the scope {scope}", code="scope")

    def memory(self) -> tuple[str, str | None]:
        """The tenant whose memories the caller may use, and the one user that the key is for, if it is.

        Raises `Refusal`: 401 without a key; 403 without a memory scope, or with several, as which one is meant
        would be a guess.
        """
        if self.key_id is None:
            raise _unauthorized("memories need an API key, also on loopback: Authorization: Bearer KEY")
        found = [scope.removeprefix("memory:") for scope in self.scopes if scope.startswith("memory:")]
        if len(found) != 1:
            raise Refusal("forbidden", "this needs a key with one scope memory:TENANT", code="scope")
        tenant, _, user = found[0].partition("/")
        return tenant, user or None


@dataclass(frozen=True, slots=True)
class Entry:
    """A request under way."""

    rate_limited: bool
    """The caller is over its rate or its concurrency: it is answered, and nothing is scored."""


class Access(Protocol):
    """The door."""

    def admit(self, headers: Mapping[str, str]) -> Caller:
        """Raises `Refusal` (401) for a key that is missing or not good."""
        ...

    def enter(self, caller: Caller) -> AbstractContextManager[Entry]:
        """Counts the request while it is under way."""
        ...


_ANYBODY = Caller(None, frozenset({"rerank"}))


class OpenAccess:
    """No keys at all: everybody may rerank, nobody may administrate or use memories."""

    def admit(self, headers: Mapping[str, str]) -> Caller:
        return _ANYBODY

    @contextmanager
    def enter(self, caller: Caller) -> Iterator[Entry]:
        yield Entry(rate_limited=False)


class KeyAccess:
    """Keys of a file, each with its rate. For one event loop."""

    def __init__(self, keys: KeyFile, policy: HttpPolicy, clock: Clock, *, anybody: bool) -> None:
        """`anybody`: a request without a key may rerank, as on loopback; a wrong key is refused all the same,
        unless there are no keys at all: many clients do not work without one, and send anything."""
        self._keys = keys
        self._policy = policy
        self._clock = clock
        self._anybody = anybody
        self._meters: dict[str, Meter] = {}

    def admit(self, headers: Mapping[str, str]) -> Caller:
        given = headers.get("authorization")
        if given is None and self._anybody:
            return _ANYBODY
        scheme, _, key = (given or "").partition(" ")
        try:
            if self._anybody and not self._keys.keys():
                return _ANYBODY
            found = self._keys.find(key.strip()) if scheme.lower() == "bearer" else None
        except ConfigError:
            found = None  # fail closed
        if found is None:
            why = "the API key is not good" if given else "an API key is needed: Authorization: Bearer KEY"
            raise _unauthorized(why)
        return Caller(found.id, frozenset(found.scopes))

    @contextmanager
    def enter(self, caller: Caller) -> Iterator[Entry]:
        if caller.key_id is None:
            yield Entry(rate_limited=False)
            return
        meter = self._meters.get(caller.key_id)
        if meter is None:
            meter = Meter(self._policy.key_requests_per_minute, self._policy.key_concurrency)
            self._meters[caller.key_id] = meter
        within = meter.enter(self._clock.now())
        try:
            yield Entry(rate_limited=not within)
        finally:
            meter.leave()


def _unauthorized(why: str) -> Refusal:
    return Refusal("unauthorized", why, headers={"www-authenticate": "Bearer"})
