"""Whatever the text, it becomes pairs of the ids that the model's own tokenizer gives, within the window."""

import itertools
import threading
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from rerankd.core.types import Text
from rerankd.errors import BackendError
from rerankd.models.pairs import CHARACTERS_PER_TOKEN, OVERLAP, PairTokenizer, chunks
from tests.tokenizer_files import write_backwards, write_bert, write_bytes, write_roberta

KINDS = {"bert": write_bert, "roberta": write_roberta, "bytes": write_bytes}
ANY_TEXT = st.text(st.characters(), max_size=400)
"""Of all code points, lone surrogates and control characters among them."""


@pytest.fixture(scope="module", params=KINDS)
def both(request, tmp_path_factory) -> tuple[PairTokenizer, Tokenizer]:
    """Ours, and the library's own with padding and truncation off."""
    path = KINDS[request.param](tmp_path_factory.mktemp("tokenizer") / "tokenizer.json")
    plain = Tokenizer.from_file(str(path))
    plain.no_padding()
    plain.no_truncation()
    return PairTokenizer(path), plain


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> PairTokenizer:
    return PairTokenizer(write_bert(tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"))


def one(tokenizer: PairTokenizer, query: str, text: str, max_tokens: int = 512):
    ((pair,),) = tokenizer.encode(Text(query), [Text(text)], max_tokens=max_tokens)
    return pair


@settings(max_examples=150, deadline=None)
@given(query=st.text(st.characters(exclude_categories=["Cs"]), max_size=60), text=ANY_TEXT)
def test_pairs_that_fit_get_the_ids_and_types_of_the_library_itself(both, query, text):
    ours, plain = both
    pair = one(ours, query, text)
    clean = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    (theirs,) = plain.encode_batch([(query, clean)])
    if len(theirs.ids) <= 512:
        assert list(pair.ids) == theirs.ids
        assert list(pair.type_ids) == theirs.type_ids


@settings(max_examples=150, deadline=None)
@given(
    query=ANY_TEXT,
    text=ANY_TEXT,
    max_tokens=st.integers(6, 300),
    max_chunks=st.integers(1, 5),
)
def test_no_pair_is_longer_than_asked_and_the_caller_text_is_untouched(
    both, query, text, max_tokens, max_chunks
):
    ours, _ = both
    (pairs,) = ours.encode(Text(query), [Text(text)], max_tokens=max_tokens, max_chunks=max_chunks)
    assert 1 <= len(pairs) <= max_chunks
    for pair in pairs:
        assert pair.tokens == len(pair.ids) == len(pair.type_ids) <= max_tokens
        assert pair.query == query
        assert pair.text in text
    if len(pairs) == 1:
        assert pairs[0].text == text


def test_the_text_is_cut_and_never_the_query_while_it_fills_less_than_half(bert):
    pair = one(bert, "why is the sky blue", "rain " * 100, max_tokens=16)
    short = one(bert, "why is the sky blue", "", max_tokens=16)
    assert pair.tokens == 16
    assert list(pair.ids)[:7] == list(short.ids)[:7]


def test_a_query_that_is_too_long_fills_half_of_what_is_free_and_leaves_the_rest_to_the_text(bert):
    pair = one(bert, "sky " * 100, "rain " * 100, max_tokens=23)
    sky, rain = (one(bert, word, "").ids[1] for word in ("sky", "rain"))
    assert list(pair.ids).count(sky) == 10
    assert list(pair.ids).count(rain) == 10


def test_a_window_without_room_for_anything_is_an_error(bert):
    with pytest.raises(BackendError, match="max_tokens=4"):
        one(bert, "a", "b", max_tokens=4)


def test_no_text_gives_no_pairs(bert):
    assert bert.encode(Text("a"), [], max_tokens=64) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\x00\x01\x02",
        "\ud800",
        "a\udfffb",
        "😀" * 2000,
        "e\u0301" * 2000,
        "\u202e\u200b",
        "\n" * 9000,
    ],
    ids=ascii,
)
def test_odd_texts_are_answered(both, text):
    ours, _ = both
    for max_chunks in (1, 4):
        (pairs,) = ours.encode(Text(text), [Text(text)], max_tokens=128, max_chunks=max_chunks)
        assert all(pair.tokens <= 128 for pair in pairs)


@pytest.mark.parametrize("max_chunks", [1, 4])
def test_the_library_never_sees_more_characters_than_the_window_can_use(tmp_path, monkeypatch, max_chunks):
    tokenizer = PairTokenizer(write_bert(tmp_path / "tokenizer.json"))
    seen: list[str] = []

    class Watched:
        def __init__(self, inner: Tokenizer) -> None:
            self.inner = inner

        def __getattr__(self, name):
            assert name in ("encode_batch", "encode_batch_fast"), "`encode` would hold the interpreter lock"

            def encode(inputs, **how):
                seen.extend(inputs)
                return getattr(self.inner, name)(inputs, **how)

            return encode

    monkeypatch.setattr(tokenizer, "_tokenizer", Watched(tokenizer._tokenizer))
    huge = Text("x" * 1_000_000)
    tokenizer.encode(huge, [huge, Text("y" * 50)], max_tokens=64, max_chunks=max_chunks)
    limit = CHARACTERS_PER_TOKEN * 64
    assert [len(text) for text in seen] == [limit, limit if max_chunks == 1 else 8 * 64 * 4, 50]
    assert all(type(text) is str for text in seen)


def test_a_long_text_becomes_chunks_that_cover_it_with_overlap_and_carry_their_own_text(bert):
    words = [f"{a}{b}" for a in "abcdefghijk" for b in "lmnopqrstu"]
    text = Text(" ".join(words))
    (pairs,) = bert.encode(Text("why"), [text], max_tokens=68, max_chunks=8)
    assert len(pairs) > 1
    starts = [text.index(pair.text) for pair in pairs]
    ends = [start + len(pair.text) for start, pair in zip(starts, pairs, strict=True)]
    assert starts[0] == 0
    assert ends[-1] == len(text)
    assert all(start < end for start, end in zip(starts[1:], ends, strict=False))
    lengths = [pair.tokens for pair in pairs]
    assert max(lengths) - min(lengths) <= 1


def test_chunks_of_emoji_are_cut_at_characters_not_bytes(bert):
    text = Text("😀 rain é " * 60)
    (pairs,) = bert.encode(Text("why"), [text], max_tokens=40, max_chunks=4)
    assert len(pairs) == 4
    assert all(pair.text in text for pair in pairs)
    for pair in pairs:
        assert list(one(bert, "why", pair.text, 40).ids) == list(pair.ids)


@given(tokens=st.integers(1, 5000), room=st.integers(1, 600), max_chunks=st.integers(1, 9))
def test_chunks_fit_overlap_and_leave_out_only_what_cannot_be_covered(tokens, room, max_chunks):
    spans = chunks(tokens, room, max_chunks)
    overlap = int(room * OVERLAP)
    covered = min(tokens, room + (max_chunks - 1) * (room - overlap))
    assert spans[0][0] == 0
    assert spans[-1][1] == covered
    assert len(spans) <= max_chunks
    assert all(0 < end - start <= room for start, end in spans)
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end - start >= overlap - 1
        assert start <= end
    fewer = room + (len(spans) - 2) * (room - overlap)
    assert len(spans) == 1 or fewer < tokens, "no more chunks than are needed"


def test_the_window_is_the_given_one_else_as_declared_else_512(tmp_path):
    declared = write_bert(tmp_path / "a.json", window=256)
    silent = write_bert(tmp_path / "b.json", padded=False)
    absurd = write_bert(tmp_path / "c.json", window=1_000_000)
    assert PairTokenizer(declared).max_tokens == 256
    assert PairTokenizer(declared, max_tokens=128).max_tokens == 128
    assert PairTokenizer(silent).max_tokens == 512
    assert PairTokenizer(absurd).max_tokens == 512


def test_more_than_the_window_is_never_given(tmp_path):
    tokenizer = PairTokenizer(write_bert(tmp_path / "a.json"), max_tokens=32)
    assert one(tokenizer, "why", "rain " * 100, max_tokens=500).tokens == 32


@pytest.mark.parametrize(("kind", "pad"), [("bert", 0), ("roberta", 1), ("bytes", 0)])
def test_the_pad_id_is_the_tokenizers_own(tmp_path, kind, pad):
    assert PairTokenizer(KINDS[kind](tmp_path / "tokenizer.json")).pad_id == pad


def test_ids_are_compact_and_compare(bert):
    assert isinstance(one(bert, "a", "b").ids, array)
    assert one(bert, "a", "b") == one(bert, "a", "b")
    assert one(bert, "a", "b") != one(bert, "a", "c")


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0"')
    with pytest.raises(BackendError, match=r"tokenizer\.json"):
        PairTokenizer(path)


def test_a_template_with_the_text_first_is_refused(tmp_path):
    with pytest.raises(BackendError, match="pair template"):
        PairTokenizer(write_backwards(tmp_path / "tokenizer.json"))


@pytest.mark.threads
def test_threads_share_one_tokenizer_without_getting_in_each_others_way(bert):
    """With the window, the chunking and the texts differing between the threads."""
    expected = [bert.encode(Text("why"), [Text("rain " * 400)], max_tokens=20 + n) for n in range(4)]
    wrong: list[object] = []

    def work(n: int) -> None:
        try:
            for _ in range(100):
                got = bert.encode(Text("why"), [Text("rain " * 400)], max_tokens=20 + n)
                bert.encode(Text("why"), [Text("sky " * 400)], max_tokens=64, max_chunks=n + 1)
                if got != expected[n]:
                    wrong.append(n)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
