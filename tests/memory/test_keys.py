"""A data key unwraps under the key that its id names, in its own place, and under no other."""

from pathlib import Path

import pytest

from rerankd.errors import SealError
from rerankd.memory.epochs import FileEpochs, MissingKey
from rerankd.memory.keys import LocalKeys


@pytest.fixture
def keys(tmp_path: Path) -> LocalKeys:
    return LocalKeys(FileEpochs("key", tmp_path, announce=lambda message: None))


async def test_what_was_wrapped_unwraps_in_its_place(keys: LocalKeys) -> None:
    current = await keys.current_id()
    wrapped = await keys.wrap(current, b"data key", b"users", b"ada")
    assert await keys.unwrap(current, wrapped, b"users", b"ada") == b"data key"
    with pytest.raises(SealError):
        await keys.unwrap(current, wrapped, b"users", b"bob")


async def test_the_id_picks_one_key_and_no_other_is_tried(keys: LocalKeys) -> None:
    first = await keys.current_id()
    wrapped = await keys.wrap(first, b"data key")
    second = await keys.advance(first)
    assert await keys.ids() == [first, second]
    assert await keys.current_id() == second
    with pytest.raises(SealError, match="another key"):
        await keys.unwrap(second, wrapped)
    assert await keys.unwrap(first, wrapped) == b"data key"


async def test_nothing_unwraps_under_a_destroyed_key(keys: LocalKeys) -> None:
    first = await keys.current_id()
    wrapped = await keys.wrap(first, b"data key")
    await keys.advance(first)
    assert await keys.destroy(first)
    with pytest.raises(MissingKey):
        await keys.unwrap(first, wrapped)
