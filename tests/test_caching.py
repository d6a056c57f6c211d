"""A score that is known is not computed again, and changes no order; nobody finds what another has left."""

import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.core.breaker import BreakerPolicy
from rerankd.core.cache import CachePolicy
from rerankd.core.events import Settled
from rerankd.core.flag import Flag, Mode
from rerankd.core.ports import Model
from rerankd.core.request import RerankPolicy
from rerankd.core.types import Outcome, Pair, Reason
from rerankd.errors import DeviceLost, InvalidRequest
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.testing import FakeScorer, FakeTokenizer, RecordingObserver, word_overlap

pytestmark = pytest.mark.threads

QUERY = "blue sky"
TEXTS = ["the red sea", "why a blue sky is so", "sky"]
TWENTY = [f"text {number} of a blue sky" if number % 3 else f"text {number}" for number in range(20)]
PATIENT = RerankPolicy(budget_ms=10_000)
"""The tests are not about time."""
SOON = BreakerPolicy(
    window_calls=4, min_calls=4, open_ms=60_000, open_max_ms=60_000, open_max_remote_ms=60_000
)


class Counting(FakeScorer):
    """Tells of which texts it was asked."""

    @property
    def scored(self) -> list[str]:
        return sorted(str(pair.text) for run in self.runs for pair in run)


def caching(
    scorer: Counting,
    *,
    scores: int = 1_000,
    digest: str = "d1",
    tokenizer: FakeTokenizer | None = None,
    refiner: Model | None = None,
    **options: Any,
) -> Reranker:
    model = Model(
        scorer=scorer,
        tokenizer=tokenizer or FakeTokenizer(),
        max_tokens=64,
        digest=digest,
        refiner=refiner,
    )
    options.setdefault("policy", PATIENT)
    return Reranker(lambda: model, name="fake", cache=CachePolicy(scores=scores), **options)


def seen(reranker: Reranker) -> tuple[int, int]:
    cache = reranker.status().cache
    assert cache is not None
    return cache.hits, cache.misses


def told(ranking: Any) -> list[tuple[Any, ...]]:
    return [
        (each.id, each.rank, each.retrieval_rank, each.logit, each.score, each.scored) for each in ranking
    ]


def test_what_was_scored_once_is_not_scored_again() -> None:
    scorer = Counting()
    with caching(scorer) as reranker:
        first = reranker.rerank(QUERY, TEXTS, tenant="t")
        scorer.runs.clear()
        again = reranker.rerank(QUERY, TEXTS, tenant="t")
        assert seen(reranker) == (3, 3)
    assert scorer.runs == []
    assert told(again) == told(first)
    assert (again.outcome, again.reason, again.depth) == (Outcome.RERANKED, None, 3)


def test_only_the_candidates_that_are_new_are_scored() -> None:
    scorer = Counting()
    with caching(scorer) as reranker:
        reranker.rerank(QUERY, TEXTS, tenant="t")
        scorer.runs.clear()
        ranking = reranker.rerank(QUERY, ["new", *reversed(TEXTS), "a new sky"], tenant="t")
    assert scorer.scored == ["a new sky", "new"]
    assert ranking.depth == 5
    assert [each.logit for each in ranking] == [2.0, 1.0, 1.0, 0.0, 0.0]
    assert [each.text for each in ranking] == [TEXTS[1], "sky", "a new sky", "new", TEXTS[0]]


_WORDS = st.lists(st.sampled_from(["blue", "sky", "red", "sea", "a"]), max_size=4).map(" ".join)
_ASKED = st.lists(
    st.tuples(
        st.sampled_from(["blue sky", "red sea", "a"]), st.lists(_WORDS, max_size=12), st.sampled_from("tu")
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(_ASKED, st.integers(1, 6), st.sampled_from(["truncate", "chunk", "fit"]))
def test_a_reranker_that_remembers_gives_the_same_orders(
    asked: list[tuple[str, list[str], str]], scores: int, long_text: Any
) -> None:
    with caching(Counting(), scores=scores) as reranker, caching(Counting(), scores=0) as plain:
        for query, texts, tenant in asked:
            one = reranker.rerank(query, texts, tenant=tenant, long_text=long_text)
            other = plain.rerank(query, texts, tenant=tenant, long_text=long_text)
            assert told(one) == told(other)
            assert (one.outcome, one.depth) == (other.outcome, other.depth)
        status = reranker.status().cache
        assert status is not None
        assert status.entries <= scores


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "u"},
        {"tenant": ""},
        {"query": "blue  sky"},
        {"long_text": "chunk"},
        {"tenant": "t", "texts": [text + " " for text in TEXTS]},
    ],
)
def test_a_score_is_found_for_exactly_the_same_question_only(other: dict[str, Any]) -> None:
    scorer = Counting()
    with caching(scorer) as reranker:
        reranker.rerank(QUERY, TEXTS, tenant="t")
        scorer.runs.clear()
        query, texts = other.pop("query", QUERY), other.pop("texts", TEXTS)
        reranker.rerank(query, texts, **({"tenant": "t"} | other))
        assert seen(reranker) == (0, 6)
    assert len(scorer.scored) == 3


def test_who_names_no_tenant_shares_with_nobody() -> None:
    scorer = Counting()
    with caching(scorer) as reranker:
        for _ in range(2):
            reranker.rerank(QUERY, TEXTS)
        assert seen(reranker) == (0, 0)
    assert len(scorer.scored) >= 6


def test_a_tenant_that_is_no_string_is_refused() -> None:
    with caching(Counting()) as reranker, pytest.raises(InvalidRequest, match="tenant"):
        reranker.rerank(QUERY, TEXTS, tenant=7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "traits", "asked"),
    [
        ({"scores": 0}, {}, {}),
        ({"digest": ""}, {}, {}),
        ({}, {"unit": "query"}, {}),
        ({}, {}, {"long_text": "fit"}),
    ],
)
def test_some_scores_are_never_kept(
    options: dict[str, Any], traits: dict[str, Any], asked: dict[str, Any]
) -> None:
    """Where it is off; of a model that is not known by its file, or takes a request whole; cut to a budget."""
    scorer = Counting(**traits)
    with caching(scorer, **options) as reranker:
        for _ in range(2):
            scorer.runs.clear()
            assert reranker.rerank(QUERY, TEXTS, tenant="t", **asked).depth == 3
            assert scorer.scored == sorted(TEXTS)
        status = reranker.status().cache
        assert status is None or (status.hits, status.entries) == (0, 0)


@pytest.mark.parametrize(
    ("options", "lines"), [({}, 0), ({"digest": ""}, 1), ({"digest": "", "scores": 0}, 0)]
)
def test_whoever_hopes_in_vain_is_told(
    options: dict[str, Any], lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caching(Counting(), **options):
        pass
    assert sum("scores of fake are not kept" in line for line in caplog.messages) == lines


def test_by_default_nothing_is_kept() -> None:
    assert Settings().cache.scores == 0


def test_what_is_known_is_the_answer_where_there_is_no_time_for_more() -> None:
    """A budget of nothing: what is new is refused at once, and what is known is sorted all the same."""
    with caching(Counting()) as reranker:
        reranker.rerank(QUERY, TEXTS, tenant="t")
        all_known = reranker.rerank(QUERY, TEXTS, tenant="t", budget_ms=0)
        some = reranker.rerank(QUERY, ["new", *TEXTS], tenant="t", budget_ms=0)
        strict = reranker.rerank(QUERY, ["new", *TEXTS], tenant="t", budget_ms=0, on_deadline="retrieval")
    assert (all_known.outcome, all_known.depth) == (Outcome.RERANKED, 3)
    assert (some.outcome, some.reason, some.depth) == (Outcome.PARTIAL, Reason.BUDGET_TOO_SMALL, 3)
    assert [each.text for each in some] == ["new", TEXTS[1], "sky", TEXTS[0]]
    assert (strict.outcome, strict.depth) == (Outcome.SKIPPED, 0)
    assert [each.text for each in strict] == ["new", *TEXTS]


def test_what_fails_is_not_kept_and_is_tried_again() -> None:
    broken = threading.Event()
    broken.set()

    def score(pair: Pair) -> float:
        if broken.is_set() and pair.text == "sky":
            raise RuntimeError
        return word_overlap(pair)

    with caching(Counting(score)) as reranker:
        assert reranker.rerank(QUERY, TEXTS, tenant="t").depth == 2
        broken.clear()
        assert reranker.rerank(QUERY, TEXTS, tenant="t").depth == 3
        assert seen(reranker) == (2, 4)


def test_what_was_scored_of_an_answer_in_retrieval_order_is_kept() -> None:
    def score(pair: Pair) -> float:
        if pair.text == "sky":
            raise RuntimeError
        return word_overlap(pair)

    with caching(Counting(score)) as reranker:
        assert reranker.rerank(QUERY, TEXTS, tenant="t", on_deadline="retrieval").depth == 0
        reranker.rerank(QUERY, TEXTS, tenant="t")
        assert seen(reranker) == (2, 4)


def breakable() -> tuple[threading.Event, "Counting"]:
    """A scorer that fails from the moment on at which the event is set."""
    broken = threading.Event()

    def score(pair: Pair) -> float:
        if broken.is_set():
            raise RuntimeError
        return word_overlap(pair)

    return broken, Counting(score)


def test_known_scores_say_nothing_good_of_a_scorer_that_fails() -> None:
    """Every request finds 19 scores and needs one more, which the scorer does not give."""
    broken, scorer = breakable()
    with caching(scorer, breaker=SOON) as reranker:
        reranker.rerank(QUERY, TWENTY, tenant="t")
        broken.set()
        for number in range(3):  # the fourth call of the window opens it
            partial = reranker.rerank(QUERY, [*TWENTY, f"new {number}"], tenant="t")
            assert (partial.outcome, partial.reason, partial.depth) == (
                Outcome.PARTIAL,
                Reason.MODEL_ERROR,
                20,
            )
        assert reranker.status().circuit == "open"


def test_requests_that_need_no_scorer_are_not_judged() -> None:
    """Good calls among the bad ones would keep the circuit closed."""
    broken, scorer = breakable()
    with caching(scorer, breaker=SOON) as reranker:
        reranker.rerank(QUERY, TEXTS, tenant="t")
        broken.set()
        for number in range(3):  # the fourth call of the window opens it
            for _ in range(3):
                assert reranker.rerank(QUERY, TEXTS, tenant="t").outcome is Outcome.RERANKED
            reranker.rerank(QUERY, [f"new {number}"], tenant="t")
        assert reranker.status().circuit == "open"
        # the gate comes first: what it refuses is refused whatever is known
        assert reranker.rerank(QUERY, TEXTS, tenant="t").reason is Reason.CIRCUIT_OPEN


def test_switched_off_is_off_whatever_is_known() -> None:
    with caching(Counting()) as reranker:
        reranker.rerank(QUERY, TEXTS, tenant="t")
        reranker.set_flag(Flag(mode=Mode.OFF))
        assert reranker.rerank(QUERY, TEXTS, tenant="t").reason is Reason.DISABLED
        assert seen(reranker) == (0, 3)


def test_in_shadow_mode_what_is_known_counts_as_scored() -> None:
    observer = RecordingObserver()
    with caching(Counting(), observers=[observer], initial_flag=Flag(mode=Mode.SHADOW)) as reranker:
        answers = [reranker.rerank(QUERY, TEXTS, tenant="t") for _ in range(2)]
        assert seen(reranker) == (3, 3)
    assert {answer.reason for answer in answers} == {Reason.SHADOW}
    one, other = [event.shadow for event in observer.of(Settled)]
    assert replace(one, elapsed_ms=0) == replace(other, elapsed_ms=0)


async def test_a_caller_that_watches_hears_of_known_scores_with_the_first_better_order() -> None:
    with caching(Counting()) as reranker:
        await reranker.arerank(QUERY, TEXTS, tenant="t")
        heard: list[int] = []
        last = await reranker.arerank(
            QUERY, TEXTS, tenant="t", progress=lambda order: heard.append(order.depth)
        )
    assert heard == [0]  # the answer itself comes at once
    assert last.depth == 3


def test_each_model_of_a_cascade_finds_its_own_scores() -> None:
    large = Counting(lambda pair: -word_overlap(pair), model="large")
    refiner = Model(scorer=large, tokenizer=FakeTokenizer(), max_tokens=64, digest="d2")
    small = Counting(model="small")
    with caching(small, refiner=refiner) as reranker:
        first = reranker.rerank(QUERY, TEXTS, tenant="t")
        assert first.refined_depth == 3
        small.runs.clear()
        large.runs.clear()
        again = reranker.rerank(QUERY, TEXTS, tenant="t")
        assert seen(reranker) == (6, 6)
        more = reranker.rerank(QUERY, [*TEXTS, "blue"], tenant="t")
    assert told(again) == told(first)
    assert again.refined_depth == 3
    assert (small.scored, large.scored) == (["blue"], ["blue"])
    assert more.refined_depth == 4


def test_a_model_that_is_loaded_anew_scores_anew() -> None:
    lost = threading.Event()

    def score(pair: Pair) -> float:
        if lost.is_set() and pair.text == "lose it":
            raise DeviceLost("gone")
        return word_overlap(pair)

    scorer = Counting(score)
    with caching(scorer, retry_ms=1) as reranker:
        reranker.rerank(QUERY, TEXTS, tenant="t")
        lost.set()
        reranker.rerank(QUERY, ["lose it"], tenant="t")
        lost.clear()
        assert reranker.wait_ready(10)
        scorer.runs.clear()
        reranker.rerank(QUERY, TEXTS, tenant="t")
        assert seen(reranker) == (0, 7)
    assert set(TEXTS) <= set(scorer.scored)


def test_a_forked_child_has_a_cache_and_a_secret_of_its_own() -> None:
    with caching(Counting()) as reranker:
        reranker.rerank(QUERY, TEXTS, tenant="t")
        before = reranker._caching._secret
        with reranker._caching._lock:  # as another thread may hold it at the moment of the fork
            reranker._forked()
            assert reranker._caching._secret != before
            assert seen(reranker) == (0, 0)
        reranker.rerank(QUERY, TEXTS, tenant="t", budget_ms=None)
        reranker.rerank(QUERY, TEXTS, tenant="t")
        assert seen(reranker) == (3, 3)


def test_many_threads_find_what_they_should() -> None:
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for turn in range(30):
            texts = [f"{'sky ' * ((turn + place) % 4)}{place % 5}" for place in range(8)]
            ranking = reranker.rerank("sky", texts, tenant=f"t{number % 2}")
            wrong.extend(each for each in ranking if each.logit != float("sky" in each.text))

    with caching(Counting(), scores=7) as reranker:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = reranker.status().cache
    assert wrong == []
    assert status is not None
    assert status.entries <= 7
    assert status.hits + status.misses == 4 * 30 * 8


def test_nothing_that_is_kept_holds_a_text() -> None:
    """Not the cache, and not what waits for a job to end."""
    canary = "canary-5ad1"
    with caching(Counting()) as reranker:
        reranker.rerank(f"{canary} q", [f"{canary} {number}" for number in range(5)], tenant=f"{canary} t")
        kept = reranker._caching._cache._scores
        assert len(kept) == 5
        assert {type(part) for item in kept.items() for part in item} == {bytes, float}
        assert all(len(key) == 16 and canary.encode() not in key for key in kept)
        assert canary not in repr(reranker.status())
