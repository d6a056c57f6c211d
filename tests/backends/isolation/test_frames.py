"""What is packed comes out again as it was, and nonsense is refused instead of believed."""

import socket
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.backends.isolation import frames
from rerankd.backends.isolation.frames import Kind
from rerankd.core.types import Pair, Text
from rerankd.errors import BackendError

ids = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20)
texts = st.text(st.characters(), max_size=20).map(Text)


@st.composite
def pairs(draw) -> Pair:
    query, text = draw(texts), draw(texts)
    if draw(st.booleans()):
        return Pair(query, text, draw(st.integers(0, 512)))
    row = draw(ids)
    types = draw(st.none() | st.lists(st.integers(0, 1), min_size=len(row), max_size=len(row)))
    return Pair(query, text, len(row), row, types)


@given(st.lists(pairs(), max_size=8))
def test_pairs_keep_their_ids_types_and_lengths_and_unencoded_ones_their_texts(given_pairs) -> None:
    got = frames.unpack_pairs(frames.pack_pairs(given_pairs))
    assert len(got) == len(given_pairs)
    for before, after in zip(given_pairs, got, strict=True):
        assert after.tokens == before.tokens
        if before.ids is None:
            assert (after.query, after.text, after.ids) == (before.query, before.text, None)
        else:
            assert list(after.ids or ()) == list(before.ids)
            assert (after.type_ids is None) == (before.type_ids is None)
            assert list(after.type_ids or ()) == list(before.type_ids or ())


def test_texts_of_encoded_pairs_do_not_travel() -> None:
    packed = frames.pack_pairs([Pair(Text("canary"), Text("canary"), 2, [1, 2], [0, 1])])
    assert b"canary" not in packed


def test_compact_ids_of_any_width_are_the_same_ids() -> None:
    wide = Pair(Text(""), Text(""), 3, array("q", [1, 2, 3]), array("q", [0, 0, 1]))
    narrow = Pair(Text(""), Text(""), 3, array("i", [1, 2, 3]), array("B", [0, 0, 1]))
    assert frames.pack_pairs([wide]) == frames.pack_pairs([narrow])


@given(texts, st.lists(texts, max_size=5))
def test_texts_survive_lone_surrogates_included(query, candidates) -> None:
    packed = frames.pack_texts(query, candidates, max_tokens=7, max_chunks=3)
    assert frames.unpack_texts(packed) == (query, candidates, 7, 3)


def test_chunks_come_back_to_their_texts() -> None:
    query, both = Text("q"), [Text("one two"), Text("three")]
    rows = [[1], [2, 3], [4]]
    encoded = [
        (Pair(query, Text("one"), 1, rows[0]), Pair(query, Text("two"), 2, rows[1])),
        (Pair(query, both[1], 1, rows[2]),),
    ]
    got = frames.unpack_encoded(frames.pack_encoded(encoded), query, both)
    assert [[list(pair.ids or ()) for pair in each] for each in got] == [[[1], [2, 3]], [[4]]]
    assert [pair.text for each in got for pair in each] == [both[0], both[0], both[1]]


def test_an_answer_for_another_number_of_texts_is_refused() -> None:
    packed = frames.pack_encoded([(Pair(Text(""), Text(""), 1, [1]),)])
    with pytest.raises(BackendError, match="1 texts instead of 2"):
        frames.unpack_encoded(packed, Text(""), [Text("a"), Text("b")])


@pytest.mark.parametrize("value", [0.0, -1.5, float("inf"), 1e-300])
def test_scores_keep_every_bit(value: float) -> None:
    assert frames.unpack_scores(frames.pack_scores([value, 2.0])) == [value, 2.0]


def test_a_frame_of_any_length_is_read_whole() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        frames.send(ours, Kind.SCORE, channel=3, run=1 << 40, payload=b"x" * 150_000)
        frames.send(ours, Kind.STOP, run=9)
        assert frames.receive(theirs) == (Kind.SCORE, 3, 1 << 40, b"x" * 150_000)
        assert frames.receive(theirs) == (Kind.STOP, 0, 9, b"")


@pytest.mark.parametrize("cut", [0, 5, 18])
def test_a_stream_that_ends_within_a_frame_has_ended(cut: int) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(frames.pack(Kind.SCORES, payload=b"12345678")[:cut])
        assert frames.receive(theirs) is None


@pytest.mark.parametrize(
    "header", [b"\x02" + bytes(15), bytes([frames.VERSION]) + bytes(11) + b"\xff\xff\xff\xff"]
)
def test_a_header_of_another_version_or_of_an_absurd_length_is_refused(header: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(header)
        with pytest.raises(BackendError, match="not one of ours"):
            frames.receive(theirs)
