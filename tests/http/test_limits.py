"""Depth is known before anything is built, and agrees with what a parser would find."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.http import limits
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal

_LEAF = st.none() | st.booleans() | st.integers() | st.text()
_JSON = st.dictionaries(
    st.text(),
    st.recursive(_LEAF, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20),
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0


@given(_JSON, st.integers(3, 6), st.booleans())
def test_a_body_is_refused_exactly_when_it_is_nested_too_deeply(value, most, ascii_only):
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    policy = HttpPolicy(max_json_depth=most)
    if depth(value) > most:
        with pytest.raises(Refusal, match=f"deeper than {most} levels"):
            limits.parse(body, policy)
    elif not any(0xD800 <= ord(char) <= 0xDFFF for char in json.dumps(value, ensure_ascii=False)):
        assert limits.parse(body, policy) == value


def test_brackets_in_strings_do_not_count():
    body = json.dumps({"a": "[" * 50 + '\\"[[[{{{' + '"'}).encode()
    assert limits.parse(body, HttpPolicy())["a"].startswith("[[[")


def test_a_body_that_never_closes_its_brackets_is_refused_as_too_deep():
    with pytest.raises(Refusal, match="deeper"):
        limits.parse(b'{"a":' * 1_000, HttpPolicy())


def test_very_many_lists_are_refused_before_any_is_built():
    with pytest.raises(Refusal, match="at most 50000 objects and lists are allowed, got 60001"):
        limits.parse(b'{"a":[' + b"[]," * 59_998 + b"[]]}", HttpPolicy())


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b'"}'])
def test_a_string_that_never_ends_does_not_make_the_check_try_again(end):
    # quadratic work would take minutes here
    with pytest.raises(Refusal):
        limits.parse(b'[[[[[[[[[{"a":"' + b'[\\"' * 400_000 + end, HttpPolicy())


def test_numbers_that_json_does_not_have_are_refused():
    with pytest.raises(Refusal, match="not valid JSON"):
        limits.parse(b'{"a": Infinity}', HttpPolicy())
