"""A user is found under whichever pepper, and a key or pepper in force that is not here is an error."""

import pytest

from rerankd.core.deadline import Deadline
from rerankd.memory.directory import Directory
from rerankd.memory.epochs import MissingKey
from rerankd.memory.keys import LocalKeys
from rerankd.memory.pepper import Peppers
from rerankd.memory.testing import InMemoryEpochs, InMemoryStore

NEVER = Deadline.after(0, None)


class Parts:
    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.keys, self.peppers = InMemoryEpochs("key"), InMemoryEpochs("pepper")

    def directory(self) -> Directory:
        return Directory(self.store, LocalKeys(self.keys), Peppers(self.peppers))


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_the_first_to_open_puts_its_newest_in_force_and_others_follow(parts: Parts) -> None:
    first, second = parts.directory(), parts.directory()
    await first.refresh(deadline=NEVER)
    await second.refresh(deadline=NEVER)
    assert (first.key_id, first.pepper_id) == (second.key_id, second.pepper_id)
    assert dict(await parts.store.current(deadline=NEVER)) == {
        "key": first.key_id,
        "pepper": first.pepper_id,
    }


async def test_what_is_in_force_is_used_and_not_what_is_newest_here(parts: Parts) -> None:
    directory = parts.directory()
    await directory.refresh(deadline=NEVER)
    old = directory.key_id
    parts.keys.after(old)
    await directory.refresh(deadline=NEVER)
    assert directory.key_id == old


@pytest.mark.parametrize("kind", ["key", "pepper"])
async def test_what_is_in_force_and_not_here_is_an_error_and_nothing_is_made_for_it(
    parts: Parts, kind: str
) -> None:
    await parts.directory().refresh(deadline=NEVER)
    epochs = parts.keys if kind == "key" else parts.peppers
    epochs.destroy(epochs.first().id)
    with pytest.raises(MissingKey, match=f"{kind} 1-.* not held here"):
        await parts.directory().refresh(deadline=NEVER)
    assert dict(epochs.all()) == {}


async def test_the_pepper_in_force_is_asked_first_then_the_older_ones_then_it_again(parts: Parts) -> None:
    directory = parts.directory()
    await directory.refresh(deadline=NEVER)
    old = directory.pepper_id
    new = parts.peppers.after(old).id
    await parts.store.maintenance().advance("pepper", old=old, new=new)
    await directory.refresh(deadline=NEVER)
    asked: list[str] = []

    async def ask(user_hash: str) -> None:
        asked.append(user_hash)

    assert await directory.look("t", "ada", ask, deadline=NEVER) is None
    hashes = Peppers(parts.peppers)
    assert asked == [hashes.hash(each, "t", "ada") for each in (new, old, new)]


async def test_a_pepper_that_came_into_force_meanwhile_is_tried_before_nobody_is_found(parts: Parts) -> None:
    directory = parts.directory()
    await directory.refresh(deadline=NEVER)
    old = directory.pepper_id
    new = parts.peppers.after(old).id
    await parts.store.maintenance().advance("pepper", old=old, new=new)
    parts.peppers.destroy(old)
    wanted = Peppers(parts.peppers).hash(new, "t", "ada")

    async def ask(user_hash: str) -> str | None:
        return "found" if user_hash == wanted else None

    assert await directory.look("t", "ada", ask, deadline=NEVER) == "found"


async def test_a_user_is_asked_for_once_where_there_is_one_pepper(parts: Parts) -> None:
    directory = parts.directory()
    await directory.refresh(deadline=NEVER)
    asked: list[str] = []

    async def ask(user_hash: str) -> None:
        asked.append(user_hash)

    await directory.look("t", "ada", ask, deadline=NEVER)
    assert asked == [directory.hash("t", "ada")]
