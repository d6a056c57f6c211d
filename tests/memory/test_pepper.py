"""A user's hash depends on pepper, tenant and user id, and on where one ends and the other begins."""

import hashlib
import hmac
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.memory.epochs import FileEpochs, MissingKey
from rerankd.memory.pepper import Peppers, hash_user

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def test_it_is_hmac_sha_256_of_the_length_prefixed_parts() -> None:
    message = b"\0\0\0\4user" + b"\0\0\0\1t" + b"\0\0\0\3ada"
    assert hash_user(b"p" * 32, "t", "ada") == hmac.digest(b"p" * 32, message, hashlib.sha256).hex()


@given(one=st.tuples(words, words), other=st.tuples(words, words))
def test_different_users_have_different_hashes(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (hash_user(b"p", *one) == hash_user(b"p", *other)) == (one == other)


def test_it_has_the_form_that_the_database_checks() -> None:
    assert re.fullmatch("[0-9a-f]{64}", hash_user(b"p", "", "ä"))


def test_a_new_pepper_gives_another_hash_and_the_old_one_stays_until_it_is_destroyed(tmp_path: Path) -> None:
    peppers = Peppers(FileEpochs("pepper", tmp_path, announce=lambda message: None))
    first = peppers.current_id()
    before = peppers.hash(first, "t", "ada")
    second = peppers.advance(first)
    assert peppers.ids() == [first, second]
    assert peppers.hash(second, "t", "ada") != before
    assert peppers.hash(first, "t", "ada") == before
    assert peppers.destroy(first)
    with pytest.raises(MissingKey):
        peppers.hash(first, "t", "ada")
