"""Depth is known before anything is built, and agrees with what a parser would find."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.http import limits
from rerankd.http.dialects.cohere import CohereV1Request
from rerankd.http.dialects.own import OwnRequest
from rerankd.http.dialects.union import UnionRequest
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
        with pytest.raises(Refusal, match=f"at most {most} levels are allowed, got {most + 1} or more"):
            limits.parse(body, policy)
    elif not any(0xD800 <= ord(char) <= 0xDFFF for char in json.dumps(value, ensure_ascii=False)):
        assert limits.parse(body, policy) == value


def test_brackets_in_strings_do_not_count():
    body = json.dumps({"a": "[" * 50 + '\\"[[[{{{' + '"'}).encode()
    assert limits.parse(body, HttpPolicy())["a"].startswith("[[[")


def test_a_body_that_never_closes_its_brackets_is_refused_as_too_deep():
    with pytest.raises(Refusal, match="levels"):
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


MANY = 200_000
UNKNOWN = {str(number): 1 for number in range(MANY)}


@pytest.mark.parametrize(
    ("model", "body", "said"),
    [
        (UnionRequest, {"query": "q", "documents": [1] * MANY}, r"documents\[0\]: must be a string"),
        (CohereV1Request, {"query": "q", "documents": [], "rank_fields": [1] * MANY}, r"rank_fields\[0\]: "),
        (CohereV1Request, {"query": "q", "documents": [], "rank_fields": ["a"] * MANY}, "at most 100 items"),
        (OwnRequest, {"query": "q", "candidates": [], **UNKNOWN}, "0: is not a field"),
        (
            OwnRequest,
            {"query": "q", "candidates": ["a", {"text": "b", **UNKNOWN}]},
            r"candidates\[1\]\.0: is not a field",
        ),
    ],
)
def test_of_very_many_wrong_values_only_the_first_is_told(model, body, said):
    """Pydantic makes a record of each, at tens of microseconds apiece: nobody else is served meanwhile."""
    with pytest.raises(Refusal, match=said) as refused:
        limits.validated(model, body)
    # pydantic's error, with one problem for each type that is allowed there; none where we looked first
    error = refused.value.__context__
    assert error is None or error.error_count() <= 2


def test_too_many_candidates_are_refused_before_any_is_looked_at():
    policy = HttpPolicy(max_candidates=2)
    with pytest.raises(Refusal, match="documents: at most 2 candidates are allowed, got 3"):
        limits.check_count({"documents": [1, 2, 3]}, policy, "documents")
    limits.check_count({"documents": [1, 2]}, policy, "documents")
    limits.check_count({"documents": "not a list"}, policy, "documents")
