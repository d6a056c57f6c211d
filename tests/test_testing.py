"""The public fakes do what they say, for those who test their own code with them."""

import pytest

import rerankd
from rerankd.core.events import Settled
from rerankd.core.ports import Clock, Observer, Scorer, Tokenizer
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.testing import (
    FakeClock,
    FakeScorer,
    FakeTokenizer,
    RecordingObserver,
    fake_reranker,
    word_overlap,
)


def a_pair(query: str = "red fox", text: str = "The red dog") -> Pair:
    return Pair(Text(query), Text(text), 5)


def test_the_fakes_fit_their_ports() -> None:
    """Also for mypy: each is handed over as what it stands for."""
    clock: Clock = FakeClock()
    scorer: Scorer = FakeScorer()
    tokenizer: Tokenizer = FakeTokenizer()
    observer: Observer = RecordingObserver()
    assert all((clock, scorer, tokenizer, observer))


def test_the_clock_stands_still_until_it_is_told_to_go_on() -> None:
    clock = FakeClock(5.0)
    assert clock.now() == clock.now() == 5.0
    assert clock.advance(2.5) == clock.now() == 7.5


def test_relevance_is_how_many_of_the_querys_words_the_text_has() -> None:
    assert word_overlap(a_pair()) == 1.0
    assert word_overlap(a_pair("Red FOX", "a fox so red")) == 2.0
    assert word_overlap(a_pair("bear")) == 0.0


def test_the_scorer_records_what_it_was_asked_and_what_became_of_it() -> None:
    scorer, stop = FakeScorer(lambda pair: 7.0, concurrency=3), StopSignal()
    assert scorer.traits.concurrency == 3
    assert scorer.score([a_pair()], stop) == [7.0]
    assert scorer.runs == [(a_pair(),)]
    assert not scorer.stopped.is_set()
    stop.fire()
    assert scorer.stopped.is_set()
    scorer.close()
    assert scorer.closed.is_set()


@pytest.mark.parametrize(
    ("words", "chunks", "lengths"), [(3, 1, [5]), (20, 1, [10]), (20, 2, [10, 10]), (0, 1, [2])]
)
def test_the_tokenizer_counts_words_and_cuts_the_text_never_the_query(
    words: int, chunks: int, lengths: list[int]
) -> None:
    text = Text(" ".join(["word"] * words))
    (pairs,) = FakeTokenizer().encode(Text("two words"), [text], max_tokens=10, max_chunks=chunks)
    assert [pair.tokens for pair in pairs] == lengths
    assert all(pair.query == "two words" for pair in pairs)


@pytest.mark.threads
def test_a_fake_reranker_reranks_by_a_function_and_tells_its_observers() -> None:
    observer = RecordingObserver()
    with fake_reranker(lambda pair: float(len(pair.text)), observers=[observer]) as reranker:
        ranking = reranker.rerank("which is longest", ["a", "aaa", "aa"], budget_ms=None)
    assert [candidate.text for candidate in ranking] == ["aaa", "aa", "a"]
    assert ranking.outcome is rerankd.Outcome.RERANKED
    assert [event.depth for event in observer.of(Settled)] == [3]
    assert len(observer.events) > 1


@pytest.mark.threads
def test_a_fake_that_raises_costs_relevance_only() -> None:
    def broken(pair: Pair) -> float:
        raise RuntimeError("broken")

    with fake_reranker(broken) as reranker:
        ranking = reranker.rerank("why", ["one", "two"], budget_ms=None)
    assert [candidate.text for candidate in ranking] == ["one", "two"]
    assert ranking.outcome is rerankd.Outcome.SKIPPED
