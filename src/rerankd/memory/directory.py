"""Finds users by their hash, whichever pepper it was made with, also while the pepper is being rotated."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from rerankd.core.deadline import Deadline
from rerankd.memory.epochs import MissingKey
from rerankd.memory.keys import Keys
from rerankd.memory.pepper import Peppers
from rerankd.memory.store.port import Store
from rerankd.memory.types import EpochKind

__all__ = ["Directory"]

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _InForce:
    key_id: str = ""
    pepper_id: str = ""
    held: tuple[str, ...] = ()
    """Every pepper that is here, oldest first."""


class Directory:
    """Which key and pepper are in force, and under which hashes a user may be found."""

    def __init__(self, store: Store, keys: Keys, peppers: Peppers) -> None:
        self._store = store
        self._keys = keys
        self._peppers = peppers
        self._now = _InForce()

    @property
    def key_id(self) -> str:
        """What data keys of new users are wrapped by."""
        return self._now.key_id

    @property
    def pepper_id(self) -> str:
        """What the hashes of new users are made with."""
        return self._now.pepper_id

    async def refresh(self, *, deadline: Deadline) -> None:
        """Learn what is in force; where nothing ever was, put our newest in force.

        Raises `MissingKey` when what is in force is not held here: an answer without it would be wrong.
        """
        seen: Mapping[EpochKind, str] = {}
        while True:
            current = await self._current(deadline)
            held = {"key": await self._keys.ids(), "pepper": self._peppers.ids()}
            missing = [kind for kind in current if current[kind] not in held[kind]]
            if not missing:
                break
            if current == seen:
                raise MissingKey(
                    f"{missing[0]} {current[missing[0]]}, which is in force in this database, is not held here:"
                    " restore it from a backup of the keys (see `memory.key_dir`, `memory.keys` and"
                    " `memory.peppers`)"
                )
            # a whole rotation may have ended between the two looks: look again
            seen = current
        self._now = _InForce(current["key"], current["pepper"], tuple(held["pepper"]))

    async def _current(self, deadline: Deadline) -> dict[EpochKind, str]:
        current = dict(await self._store.current(deadline=deadline))
        kinds: tuple[tuple[EpochKind, Callable[[], Awaitable[str]]], ...] = (
            ("key", self._keys.current_id),
            ("pepper", self._newest_pepper),
        )
        for kind, newest in kinds:
            if kind not in current:
                current[kind] = await self._store.begin(kind, await newest(), deadline=deadline)
        return current

    def hash(self, tenant: str, user_id: str) -> str:
        """The user's hash under the pepper in force."""
        return self._peppers.hash(self.pepper_id, tenant, user_id)

    async def look(
        self,
        tenant: str,
        user_id: str,
        ask: Callable[[str], Awaitable[Answer | None]],
        *,
        deadline: Deadline,
    ) -> Answer | None:
        """What `ask` gives for the hash under which the user is found; None when there is no such user.

        A rotation moves users from an older pepper to the one in force, never back. So the newest is asked
        first, as nearly everybody is there; then the older ones; then the newest again, for a user who moved
        in between. When nobody was found, another pepper may have come into force meanwhile.
        """
        while True:
            known = self._now
            missing: MissingKey | None = None
            try:
                for user_hash in self._hashes(known, tenant, user_id):
                    answer = await ask(user_hash)
                    if answer is not None:
                        return answer
            except MissingKey as error:
                missing = error  # destroyed after a rotation that we have not heard of, perhaps
            # compared with what was asked with, as another task may have learned of it in between
            if self._now == known:
                await self.refresh(deadline=deadline)
            if self._now == known:
                if missing is not None:
                    raise missing
                return None

    def _hashes(self, known: _InForce, tenant: str, user_id: str) -> list[str]:
        older = [held for held in known.held if held != known.pepper_id]
        asked = [known.pepper_id, *older, known.pepper_id] if older else [known.pepper_id]
        hashes = []
        for pepper_id in asked:
            try:
                hashes.append(self._peppers.hash(pepper_id, tenant, user_id))
            except MissingKey:
                if pepper_id == known.pepper_id:
                    raise
                # an older one was destroyed: then nobody is left under it
        return hashes

    async def _newest_pepper(self) -> str:
        return self._peppers.current_id()
