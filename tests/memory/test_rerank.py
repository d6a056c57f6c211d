"""The names that host applications import from `src.memory.rerank`, and what they have always promised.

The first classes follow the suite that came with those names; the later ones hold what was added: an answer
by its time-out whatever the encoder does, and nothing ever lost.
"""

import asyncio
import importlib
import inspect
import json
import logging
import math
import multiprocessing
import threading
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import src.memory.rerank as drop_in
from src.memory.rerank import (
    RerankedResult,
    get_cross_encoder,
    get_rerank_metrics,
    maybe_rerank,
    rerank,
    rerank_latencies,
)

TEXTS = [f"doc {number}" for number in range(24)]
PATIENT_MS = 30_000.0
"""A time-out that no test waits for: whoever answers within it answered for another reason."""


class FakeEncoder:
    """An encoder whose `predict` does what the test says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[list[list[str]]], Any]) -> None:
        self.answer = answer
        self.calls: list[tuple[list[list[str]], dict[str, Any]]] = []

    def predict(self, pairs: list[list[str]], **options: Any) -> Any:
        self.calls.append((pairs, options))
        return self.answer(pairs)


def by_length(pairs: list[list[str]]) -> Any:
    """A crude relevance that a test can foresee: longer texts are better."""
    return np.array([float(len(text)) for _, text in pairs], dtype=np.float32)


Use = Callable[[Callable[[list[list[str]]], Any]], FakeEncoder]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Put an encoder in the place of ours, the way that hosts' tests do."""

    def put(answer: Callable[[list[list[str]]], Any]) -> FakeEncoder:
        encoder = FakeEncoder(answer)
        monkeypatch.setattr("src.memory.rerank.get_cross_encoder", lambda: encoder)
        return encoder

    return put


@pytest.fixture
def blocked() -> Iterator[Callable[[list[list[str]]], Any]]:
    """A `predict` that does not return before the test is over."""
    released = threading.Event()

    def wait(pairs: list[list[str]]) -> Any:
        released.wait()
        return by_length(pairs)

    yield wait
    released.set()


def in_retrieval_order(results: Sequence[RerankedResult], candidates: Sequence[Any]) -> bool:
    """Whether this is the whole input, in its order, with scores 1 - i/n and ranks from 1."""
    count = len(candidates)
    return (
        [r.candidate for r in results] == list(candidates)
        and [r.rank for r in results] == list(range(1, count + 1))
        and [r.score for r in results] == pytest.approx([1 - i / count for i in range(count)])
    )


@pytest.mark.model
class TestCrossEncoderInit:
    """Loading the model."""

    def test_the_first_call_loads_and_later_ones_give_the_same_instance(self) -> None:
        encoder = get_cross_encoder()
        assert encoder is not None
        assert get_cross_encoder() is encoder

    def test_it_runs_on_the_device_that_is_named(self) -> None:
        device = get_cross_encoder().model.device
        assert device == drop_in.DEVICE
        assert (device.type, device.index) in (("cpu", None), ("cuda", 0))

    def test_predict_gives_one_logit_a_pair_whatever_the_batch_size(self) -> None:
        pairs = [["green tea", "brewing green tea"], ["green tea", "a flat tyre"], ["tyre", "a flat tyre"]]
        scores = get_cross_encoder().predict(pairs, batch_size=2, show_progress_bar=False)
        assert isinstance(scores, np.ndarray)
        assert scores.shape == (3,)
        assert scores.dtype == np.float32
        assert scores[0] > 0 > scores[1]  # logits, not probabilities
        assert scores[2] > 0

    def test_predict_of_one_bare_pair_gives_one_number(self) -> None:
        one = get_cross_encoder().predict(("green tea", "brewing green tea"))
        many = get_cross_encoder().predict([["green tea", "brewing green tea"]])
        assert float(one) == pytest.approx(float(many[0]), abs=1e-4)

    def test_predict_of_nothing_gives_nothing(self) -> None:
        assert get_cross_encoder().predict([]).shape == (0,)

    def test_another_device_or_batch_size_makes_another_engine(self, monkeypatch: pytest.MonkeyPatch) -> None:
        encoder = get_cross_encoder()
        monkeypatch.setenv("RERANK_BATCH_SIZE", "4")
        other = get_cross_encoder()
        assert other is not encoder
        assert other is get_cross_encoder()


def test_a_model_that_cannot_be_loaded_is_said_by_get_cross_encoder_and_survived_by_rerank(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSS_ENCODER_MODEL", str(tmp_path))
    with pytest.raises(Exception, match=str(tmp_path)):
        get_cross_encoder()
    assert in_retrieval_order(asyncio.run(rerank("query", TEXTS)), TEXTS)


class TestReranking:
    """Quality, and the shape of an answer."""

    @pytest.mark.model
    async def test_it_reranks_by_meaning(self) -> None:
        candidates = [
            "Deep learning uses neural networks",
            "Pizza recipes for beginners",
            "ML algorithms and optimization",
            "Sports statistics this season",
        ]
        reranked = await rerank("machine learning algorithms", candidates, PATIENT_MS)
        assert {r.candidate for r in reranked[:2]} == {candidates[0], candidates[2]}

    @pytest.mark.model
    @pytest.mark.parametrize(
        ("query", "best"),
        [
            ("how do I reset my password", "Open Settings, choose Security and press Reset password."),
            ("my order never arrived", "If a parcel is lost on its way, we send the goods again at no cost."),
            ("can I get my money back", "Refunds go to your original payment method within five days."),
            ("the app crashes when it starts", "Clear the cache, then reinstall if it still closes at once."),
        ],
    )
    async def test_the_answer_to_a_question_comes_first(self, query: str, best: str) -> None:
        candidates = [
            "Our office is closed on public holidays.",
            "Open Settings, choose Security and press Reset password.",
            "We ship to forty countries.",
            "If a parcel is lost on its way, we send the goods again at no cost.",
            "Refunds go to your original payment method within five days.",
            "Clear the cache, then reinstall if it still closes at once.",
        ]
        reranked = await rerank(query, candidates, PATIENT_MS)
        assert reranked[0].candidate == best

    @pytest.mark.model
    async def test_scores_are_the_model_s_own_logits(self) -> None:
        candidates = ["brewing green tea", "a flat tyre", "tea ceremony"]
        reranked = await rerank("green tea", candidates, PATIENT_MS)
        logits = get_cross_encoder().predict([["green tea", r.candidate] for r in reranked])
        assert [r.score for r in reranked] == pytest.approx(list(logits), abs=1e-4)

    @pytest.mark.model
    async def test_24_candidates_are_all_reranked(self) -> None:
        reranked = await rerank("test query", TEXTS, PATIENT_MS)
        assert sorted(r.candidate for r in reranked) == sorted(TEXTS)
        scores = [r.score for r in reranked]
        assert scores == sorted(scores, reverse=True)

    @pytest.mark.model
    async def test_control_characters_emoji_surrogates_and_long_texts_get_an_answer(self) -> None:
        candidates = ["\x00\x07", "🍵" * 50, "\ud800", "x" * 200_000, " "]
        reranked = await rerank("tea \ud83c", candidates, PATIENT_MS)
        assert sorted(r.rank for r in reranked) == [1, 2, 3, 4, 5]
        assert {r.candidate for r in reranked} == set(candidates)

    async def test_no_candidates_give_no_results(self) -> None:
        assert await rerank("query", []) == []

    async def test_rank_is_the_place_in_the_answer_from_1(self, use: Use) -> None:
        use(by_length)
        reranked = await rerank("query", ["a", "aaa", "aa"], PATIENT_MS)
        assert [(r.candidate, r.rank, r.score) for r in reranked] == [
            ("aaa", 1, 3.0),
            ("aa", 2, 2.0),
            ("a", 3, 1.0),
        ]

    async def test_equal_scores_stay_in_retrieval_order(self, use: Use) -> None:
        use(lambda pairs: np.zeros(len(pairs)))
        reranked = await rerank("query", TEXTS, PATIENT_MS)
        assert [r.candidate for r in reranked] == TEXTS

    async def test_the_caller_s_list_is_left_as_it_is(self, use: Use) -> None:
        use(by_length)
        candidates = ["a", "aaa", "aa"]
        await rerank("query", candidates, PATIENT_MS)
        assert candidates == ["a", "aaa", "aa"]

    async def test_equal_texts_are_all_kept(self, use: Use) -> None:
        use(by_length)
        reranked = await rerank("query", ["same", "same", "longer"], PATIENT_MS)
        assert [r.candidate for r in reranked] == ["longer", "same", "same"]

    async def test_the_encoder_is_called_once_with_all_pairs_as_it_always_was(self, use: Use) -> None:
        encoder = use(by_length)
        await rerank("query", TEXTS, PATIENT_MS)
        pairs = [["query", text] for text in TEXTS]
        assert encoder.calls == [(pairs, {"batch_size": 32, "show_progress_bar": False})]
        assert all(type(text) is str for pair in encoder.calls[0][0] for text in pair)

    async def test_the_batch_size_in_force_is_handed_on(
        self, use: Use, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoder = use(by_length)
        monkeypatch.setenv("RERANK_BATCH_SIZE", "7")
        await rerank("query", TEXTS, PATIENT_MS)
        assert encoder.calls[0][1]["batch_size"] == 7

    def test_the_signature_is_the_one_that_hosts_know(self) -> None:
        parameters = inspect.signature(rerank).parameters
        assert list(parameters) == ["query", "candidates", "timeout_ms"]
        assert parameters["timeout_ms"].default == 250
        assert inspect.iscoroutinefunction(rerank)
        assert inspect.iscoroutinefunction(maybe_rerank)
        assert RerankedResult(candidate="a", score=0.5, rank=1) == RerankedResult("a", 0.5, 1)

    async def test_rows_and_objects_with_a_text_are_reranked_and_come_back_untouched(self, use: Use) -> None:
        use(by_length)
        rows: list[Any] = [{"text": "a", "id": 7}, {"text": "aaa", "id": 8}]
        reranked = await rerank("query", rows, PATIENT_MS)
        assert [r.candidate for r in reranked] == [rows[1], rows[0]]
        assert reranked[0].candidate is rows[1]


class TestTimeOut:
    """The answer comes by its time-out, whatever the encoder does."""

    async def test_an_encoder_that_never_answers_costs_the_order_and_not_the_answer(
        self, use: Use, blocked: Any
    ) -> None:
        encoder = use(blocked)
        reranked = await asyncio.wait_for(rerank("query", TEXTS, 50), 20)
        assert in_retrieval_order(reranked, TEXTS)
        assert len(encoder.calls) == 1  # it was asked, and it is still at it

    async def test_the_time_out_is_rerank_circuit_ms_at_the_time_of_the_call(
        self, use: Use, blocked: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        use(blocked)
        monkeypatch.setenv("RERANK_CIRCUIT_MS", "50")
        assert in_retrieval_order(await asyncio.wait_for(rerank("query", TEXTS), 20), TEXTS)
        assert in_retrieval_order(await asyncio.wait_for(rerank("query", TEXTS, None), 20), TEXTS)

    async def test_the_event_loop_goes_on_while_the_encoder_hangs(self, use: Use, blocked: Any) -> None:
        use(blocked)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        await rerank("query", TEXTS, 50)
        counting.cancel()
        assert turns > 10

    async def test_several_at_once_are_all_answered(self, use: Use, blocked: Any) -> None:
        use(blocked)
        answers = await asyncio.wait_for(
            asyncio.gather(*(rerank("query", TEXTS[: 1 + n], 50) for n in range(12))), 20
        )
        assert all(in_retrieval_order(answer, TEXTS[: 1 + n]) for n, answer in enumerate(answers))

    async def test_a_getter_that_never_returns_costs_the_order_only(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        released = threading.Event()
        calls = 0

        def hang() -> FakeEncoder:
            nonlocal calls
            calls += 1
            released.wait()
            return FakeEncoder(by_length)

        monkeypatch.setattr("src.memory.rerank.get_cross_encoder", hang)
        for _ in range(3):
            assert in_retrieval_order(await asyncio.wait_for(rerank("query", TEXTS, 20), 20), TEXTS)
        assert calls == 1  # the later requests waited for the first one's call
        released.set()

    async def test_a_caller_that_is_cancelled_is_let_go_at_once(self, use: Use, blocked: Any) -> None:
        use(blocked)
        waiting = asyncio.create_task(rerank("query", TEXTS, PATIENT_MS))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    @pytest.mark.model
    async def test_a_budget_too_small_for_any_pair_gives_the_retrieval_order(self) -> None:
        get_cross_encoder()
        assert in_retrieval_order(await rerank("query", TEXTS, 0), TEXTS)


class TestCircuit:
    """A slow or failing encoder is soon left alone."""

    async def open_it(self, encoder: FakeEncoder, timeout_ms: float) -> list[Any]:
        """Ask until somebody is answered without the encoder being asked."""
        reasons: list[Any] = []
        for _ in range(20):
            answer = await asyncio.wait_for(rerank("query", TEXTS, timeout_ms), 20)
            assert in_retrieval_order(answer, TEXTS)
            reasons.append(answer.reason)  # type: ignore[attr-defined]
            if reasons[-1] == "circuit_open":
                break
        return reasons

    async def test_a_failing_encoder_is_not_asked_any_more(self, use: Use) -> None:
        def fail(pairs: Any) -> Any:
            raise RuntimeError("no")

        encoder = use(fail)
        reasons = await self.open_it(encoder, PATIENT_MS)
        assert reasons[-1] == "circuit_open"
        asked = len(encoder.calls)
        assert asked == len(reasons) - 1
        assert in_retrieval_order(await rerank("query", TEXTS), TEXTS)
        assert len(encoder.calls) == asked

    async def test_a_slow_encoder_is_not_waited_for_any_more(self, use: Use, blocked: Any) -> None:
        encoder = use(blocked)
        reasons = await self.open_it(encoder, 60)
        assert reasons[-1] == "circuit_open"
        # from now on nobody waits: this would take half a minute if somebody did
        answer = await asyncio.wait_for(rerank("query", TEXTS, PATIENT_MS), 20)
        assert in_retrieval_order(answer, TEXTS)

    async def test_one_encoder_s_failures_do_not_open_the_next_one_s_circuit(self, use: Use) -> None:
        def fail(pairs: Any) -> Any:
            raise RuntimeError("no")

        assert (await self.open_it(use(fail), PATIENT_MS))[-1] == "circuit_open"
        use(by_length)
        reranked = await rerank("query", ["a", "aa"], PATIENT_MS)
        assert [r.candidate for r in reranked] == ["aa", "a"]

    async def test_an_encoder_that_fails_now_and_then_goes_on_being_asked(self, use: Use) -> None:
        turns = iter(range(1_000))

        def one_in_four(pairs: Any) -> Any:
            if next(turns) % 4 == 0:
                raise RuntimeError("no")
            return by_length(pairs)

        encoder = use(one_in_four)
        for _ in range(24):
            assert len(await rerank("query", TEXTS, PATIENT_MS)) == 24
        assert len(encoder.calls) == 24


NONSENSE: dict[str, Callable[[list[list[str]]], Any]] = {
    "too few": lambda pairs: [1.0] * (len(pairs) - 1),
    "too many": lambda pairs: [1.0] * (len(pairs) + 1),
    "none at all": lambda pairs: [],
    "None": lambda pairs: None,
    "a list of None": lambda pairs: [None] * len(pairs),
    "a string": lambda pairs: "x" * len(pairs),
    "strings": lambda pairs: ["0.5"] * len(pairs),
    "a number": lambda pairs: 0.5,
    "a mapping": lambda pairs: dict.fromkeys(range(len(pairs)), 0.5),
    "a generator": lambda pairs: (0.5 for _ in pairs),
    "two numbers a pair": lambda pairs: np.zeros((len(pairs), 2)),
    "NaN": lambda pairs: np.full(len(pairs), np.nan),
    "infinity": lambda pairs: [math.inf] * len(pairs),
    "objects": lambda pairs: [object()] * len(pairs),
}


class TestErrors:
    """It never raises, and loses no candidate."""

    @pytest.mark.parametrize("kind", NONSENSE)
    async def test_an_encoder_that_answers_nonsense_costs_the_order_only(self, use: Use, kind: str) -> None:
        use(NONSENSE[kind])
        assert in_retrieval_order(await rerank("query", TEXTS, PATIENT_MS), TEXTS)

    @pytest.mark.parametrize("error", [RuntimeError("boom"), MemoryError(), ValueError(), KeyError("q")])
    async def test_an_encoder_that_raises_costs_the_order_only(self, use: Use, error: Exception) -> None:
        def fail(pairs: Any) -> Any:
            raise error

        use(fail)
        assert in_retrieval_order(await rerank("query", TEXTS, PATIENT_MS), TEXTS)

    @pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(1), KeyboardInterrupt()])
    async def test_a_getter_that_raises_costs_the_order_only(
        self, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        def fail() -> Any:
            raise error

        monkeypatch.setattr("src.memory.rerank.get_cross_encoder", fail)
        assert in_retrieval_order(await rerank("query", TEXTS, PATIENT_MS), TEXTS)

    @pytest.mark.parametrize("encoder", [None, object(), "encoder"])
    async def test_something_without_predict_costs_the_order_only(
        self, monkeypatch: pytest.MonkeyPatch, encoder: Any
    ) -> None:
        monkeypatch.setattr("src.memory.rerank.get_cross_encoder", lambda: encoder)
        assert in_retrieval_order(await rerank("query", TEXTS, PATIENT_MS), TEXTS)

    async def test_an_async_predict_costs_the_order_only(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Async:
            async def predict(self, pairs: Any, **_: Any) -> Any:
                return by_length(pairs)

        encoder = Async()
        monkeypatch.setattr("src.memory.rerank.get_cross_encoder", lambda: encoder)
        assert in_retrieval_order(await rerank("query", TEXTS, PATIENT_MS), TEXTS)

    async def test_a_candidate_without_a_finite_score_keeps_its_slot(self, use: Use) -> None:
        use(lambda pairs: [1.0, math.nan, 3.0])
        reranked = await rerank("query", ["a", "b", "c"], PATIENT_MS)
        assert [(r.candidate, r.score) for r in reranked] == [("c", 3.0), ("b", 2.0), ("a", 1.0)]

    async def test_scores_never_rise_along_an_answer_that_was_scored_in_part(self, use: Use) -> None:
        use(lambda pairs: [math.nan if i % 3 == 0 else float(i) for i in range(len(pairs))])
        scores = [r.score for r in await rerank("query", TEXTS, PATIENT_MS)]
        assert scores == sorted(scores, reverse=True)
        assert all(math.isfinite(score) for score in scores)

    @pytest.mark.parametrize("query", ["", "  ", None, 7, b"query", ["query"]])
    async def test_a_query_that_is_none_gives_the_retrieval_order(self, use: Use, query: Any) -> None:
        encoder = use(by_length)
        assert in_retrieval_order(await rerank(query, TEXTS, PATIENT_MS), TEXTS)
        assert encoder.calls == []

    @pytest.mark.parametrize("timeout", [-1, math.nan, "250", True, [250]])
    async def test_a_time_out_that_is_none_gives_the_retrieval_order(self, use: Use, timeout: Any) -> None:
        encoder = use(by_length)
        assert in_retrieval_order(await rerank("query", TEXTS, timeout), TEXTS)
        assert encoder.calls == []

    @pytest.mark.parametrize("odd", [None, 7, b"bytes", 0.5, object(), ["a"], {"body": "a"}])
    async def test_a_candidate_that_is_no_text_comes_back_as_it_was(self, use: Use, odd: Any) -> None:
        use(by_length)
        candidates = ["a", odd, "aaa"]
        assert in_retrieval_order(await rerank("query", candidates, PATIENT_MS), candidates)

    @pytest.mark.parametrize("candidates", [None, 7, object()])
    async def test_candidates_that_are_no_list_give_nothing(self, candidates: Any) -> None:
        assert await rerank("query", candidates) == []
        assert await maybe_rerank("query", candidates) == []

    async def test_any_iterable_will_do(self, use: Use) -> None:
        use(by_length)
        reranked = await rerank("query", (text for text in ("a", "aa")), PATIENT_MS)  # type: ignore[arg-type]
        assert [r.candidate for r in reranked] == ["aa", "a"]

    async def test_an_error_s_own_words_are_not_logged(
        self, use: Use, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(pairs: Any) -> Any:
            raise RuntimeError(f"cannot score {pairs}")

        use(fail)
        with caplog.at_level(logging.DEBUG):
            await rerank("canary-query", ["canary-text"], PATIENT_MS)
            await rerank("canary-query", ["canary-text", 7], PATIENT_MS)  # type: ignore[list-item]
        assert "canary" not in caplog.text


class TestMaybeRerank:
    """What query handlers call."""

    async def test_the_best_8_come_back_as_plain_texts(self, use: Use) -> None:
        use(by_length)
        candidates = ["x" * n for n in range(1, 25)]
        assert await maybe_rerank("query", candidates) == candidates[:-9:-1]

    async def test_fewer_than_8_all_come_back(self, use: Use) -> None:
        use(by_length)
        assert await maybe_rerank("query", ["a", "aa"]) == ["aa", "a"]

    async def test_disabled_it_gives_the_input_unchanged_and_whole(
        self, use: Use, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        encoder = use(by_length)
        monkeypatch.setenv("RERANK_ENABLED", "false")
        assert await maybe_rerank("query", TEXTS) is TEXTS
        assert encoder.calls == []

    async def test_disabled_by_the_flag_file_it_gives_the_input_unchanged(
        self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        switch = tmp_path / "flag.json"
        switch.write_text('{"mode": "off", "percent": 100}')
        monkeypatch.setenv("RERANKD_FLAG_FILE", str(switch))
        monkeypatch.setenv("CROSS_ENCODER_MODEL", str(tmp_path))  # nothing there to load
        assert await maybe_rerank("query", TEXTS) is TEXTS

    async def test_when_it_fails_the_first_8_come_back(self, use: Use) -> None:
        use(NONSENSE["None"])
        assert await maybe_rerank("query", TEXTS) == TEXTS[:8]

    async def test_a_host_s_own_rerank_is_used_and_its_errors_survived(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake = unittest.mock.AsyncMock(return_value=[RerankedResult("b", 1.0, 1)])
        monkeypatch.setattr("src.memory.rerank.rerank", fake)
        assert await maybe_rerank("query", ["a", "b"]) == ["b"]
        fake.side_effect = TimeoutError()
        assert await maybe_rerank("query", ["a", "b"]) == ["a", "b"]


class TestFeatureFlag:
    """`RERANK_ENABLED`, looked up each time."""

    def test_false_in_the_environment_disables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RERANK_ENABLED", "false")
        from src.memory.rerank import RERANK_ENABLED

        assert not RERANK_ENABLED

    def test_it_is_enabled_when_nothing_is_said(self) -> None:
        from src.memory.rerank import RERANK_ENABLED

        assert RERANK_ENABLED is True

    async def test_it_can_be_switched_back_and_forth(self, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
        use(by_length)
        for enabled in (True, False, True):
            monkeypatch.setenv("RERANK_ENABLED", str(enabled))
            reranked = await rerank("query", ["a", "aa"], PATIENT_MS)
            assert [r.candidate for r in reranked] == (["aa", "a"] if enabled else ["a", "aa"])

    async def test_setting_the_name_itself_works_too_and_ends_with_the_test(self, use: Use) -> None:
        use(by_length)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drop_in, "RERANK_ENABLED", False)
            assert not drop_in.RERANK_ENABLED
            assert await maybe_rerank("query", ["a", "aa"]) == ["a", "aa"]
        assert drop_in.RERANK_ENABLED
        assert await maybe_rerank("query", ["a", "aa"]) == ["aa", "a"]

    async def test_a_value_that_makes_no_sense_is_ignored_with_one_warning(
        self, use: Use, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        use(by_length)
        monkeypatch.setenv("RERANK_ENABLED", "perhaps")
        monkeypatch.setenv("RERANK_CIRCUIT_MS", "soon")
        for _ in range(3):
            assert len(await rerank("query", ["a", "aa"])) == 2
        assert drop_in.RERANK_ENABLED
        assert drop_in.RERANK_CIRCUIT_MS == 250
        said = [record.getMessage() for record in caplog.records]
        assert sum("RERANK_ENABLED is ignored" in line for line in said) == 1
        assert sum("RERANK_CIRCUIT_MS is ignored" in line for line in said) == 1


class TestConstants:
    """The other names, with their defaults and their variables."""

    @pytest.mark.parametrize(
        ("name", "usual", "given", "then"),
        [
            ("RERANK_BUDGET_MS", 200, "180", 180),
            ("RERANK_CIRCUIT_MS", 250, "300.5", 300.5),
            ("RERANK_BATCH_SIZE", 32, "8", 8),
            ("RERANK_BATCH_SIZE", 32, "0", 32),
            ("RERANK_BUDGET_MS", 200, "-1", 200),
        ],
    )
    def test_each_is_looked_up_when_it_is_used(
        self, monkeypatch: pytest.MonkeyPatch, name: str, usual: float, given: str, then: float
    ) -> None:
        assert getattr(drop_in, name) == usual
        monkeypatch.setenv(name, given)
        assert getattr(drop_in, name) == then
        monkeypatch.delenv(name)
        assert getattr(drop_in, name) == usual

    def test_the_model_is_named_by_its_hub_id(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert drop_in.MODEL_NAME == "cross-encoder/ms-marco-MiniLM-L-12-v2"
        monkeypatch.setenv("CROSS_ENCODER_MODEL", "cross-encoder/mmarco-MiniLMv2-L12-H384-v1")
        assert drop_in.MODEL_NAME == "cross-encoder/mmarco-mMiniLMv2-L12-H384-v1"
        monkeypatch.setenv("CROSS_ENCODER_MODEL", "somebody/else-s-model")
        assert drop_in.MODEL_NAME == "somebody/else-s-model"

    def test_every_name_that_hosts_import_is_there(self) -> None:
        names = "DEVICE MODEL_NAME RERANK_BATCH_SIZE RERANK_BUDGET_MS RERANK_CIRCUIT_MS RERANK_ENABLED"
        names += " RerankedResult get_cross_encoder get_rerank_metrics maybe_rerank rerank"
        names += " rerank_latencies rerank_skips_total"
        module = importlib.import_module("src.memory.rerank")
        assert set(module.__all__) == set(names.split())
        assert all(hasattr(module, name) for name in names.split())


class TestMetrics:
    """Latencies and skips."""

    def test_the_shape_is_the_one_that_hosts_know(self) -> None:
        metrics = get_rerank_metrics()
        assert set(metrics) == {"rerank_skipped_total", "rerank_latency_ms", "rerank_batch_size", "device"}
        assert set(metrics["rerank_latency_ms"]) == {"p50", "p95", "max"}
        assert json.loads(json.dumps(metrics)) == metrics
        assert metrics["rerank_batch_size"] == 32
        assert metrics["device"] == drop_in.DEVICE

    async def test_an_answer_leaves_its_latency(self, use: Use) -> None:
        use(by_length)
        await rerank("query", TEXTS, PATIENT_MS)
        latencies = list(rerank_latencies)
        assert 0 < latencies[-1] < PATIENT_MS
        figures = get_rerank_metrics()["rerank_latency_ms"]
        assert figures["max"] == max(latencies)
        assert figures["p50"] == pytest.approx(float(np.percentile(latencies, 50)))
        assert figures["p95"] == pytest.approx(float(np.percentile(rerank_latencies, 95)))

    async def test_a_skip_is_counted_and_an_answer_in_time_is_not(self, use: Use) -> None:
        before = drop_in.rerank_skips_total
        use(by_length)
        await rerank("query", TEXTS, PATIENT_MS)
        assert drop_in.rerank_skips_total == before
        use(NONSENSE["None"])
        await rerank("query", TEXTS, PATIENT_MS)
        await rerank("", TEXTS, PATIENT_MS)
        assert drop_in.rerank_skips_total == before + 2
        assert get_rerank_metrics()["rerank_skipped_total"] == before + 2

    async def test_what_was_switched_off_is_no_skip(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = drop_in.rerank_skips_total
        monkeypatch.setenv("RERANK_ENABLED", "false")
        await rerank("query", TEXTS)
        await maybe_rerank("query", TEXTS)
        assert drop_in.rerank_skips_total == before

    async def test_the_latencies_are_bounded(self, use: Use) -> None:
        use(by_length)
        for _ in range(1_010):
            await rerank("", ["a"])  # the cheapest answer there is
        assert len(rerank_latencies) == 1_000

    def test_latencies_and_skips_are_views_that_cannot_be_written(self) -> None:
        assert isinstance(rerank_latencies, Sequence)
        assert not hasattr(rerank_latencies, "append")
        with pytest.raises(TypeError):
            rerank_latencies[0] = 1.0  # type: ignore[index]
        with pytest.raises(AttributeError):
            drop_in.rerank_skips_total = 0


class TestHosting:
    """Event loops, threads, processes, and encoders of many kinds."""

    def test_one_encoder_serves_one_event_loop_after_another(self, use: Use) -> None:
        encoder = use(by_length)
        for _ in range(3):
            reranked = asyncio.run(rerank("query", ["a", "aa"], PATIENT_MS))
            assert [r.candidate for r in reranked] == ["aa", "a"]
        assert len(encoder.calls) == 3

    @pytest.mark.threads
    def test_event_loops_in_several_threads_share_it(self, use: Use) -> None:
        use(by_length)
        answers: list[list[str]] = []

        def ask() -> None:
            reranked = asyncio.run(rerank("query", ["a", "aa"], PATIENT_MS))
            answers.append([r.candidate for r in reranked])

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [["aa", "a"]] * 6

    @pytest.mark.model
    @pytest.mark.threads
    @pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
    def test_a_forked_child_reranks_with_a_model_of_its_own(self) -> None:
        get_cross_encoder()
        here, there = multiprocessing.Pipe()
        child = multiprocessing.get_context("fork").Process(target=_ask_and_tell, args=(there,))
        child.start()
        told = here.recv() if here.poll(60) else None
        child.join(10)
        assert told == ["green tea", "a flat tyre"]

    async def test_an_encoder_with_slots_will_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Slotted:
            __slots__ = ()

            def predict(self, pairs: Any, **_: Any) -> Any:
                return by_length(pairs)

        encoder = Slotted()
        monkeypatch.setattr("src.memory.rerank.get_cross_encoder", lambda: encoder)
        reranked = await rerank("query", ["a", "aa"], PATIENT_MS)
        assert [r.candidate for r in reranked] == ["aa", "a"]

    async def test_an_encoder_made_anew_for_each_call_will_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("src.memory.rerank.get_cross_encoder", lambda: FakeEncoder(by_length))
        for _ in range(3):
            reranked = await rerank("query", ["a", "aa"], PATIENT_MS)
            assert [r.candidate for r in reranked] == ["aa", "a"]

    async def test_a_mock_in_the_place_of_the_getter_will_do(self) -> None:
        encoder = unittest.mock.MagicMock()
        encoder.predict.side_effect = lambda pairs, **_: by_length(pairs)
        with unittest.mock.patch("src.memory.rerank.get_cross_encoder", return_value=encoder):
            reranked = await rerank("query", ["a", "aa"], PATIENT_MS)
        assert [r.candidate for r in reranked] == ["aa", "a"]
        encoder.predict.assert_called_once()

    @pytest.mark.model
    async def test_predict_of_our_own_encoder_may_be_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        encoder = get_cross_encoder()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoder, "predict", lambda pairs, **_: by_length(pairs))
            reranked = await rerank("query", ["a", "aaaa"], PATIENT_MS)
            assert [r.score for r in reranked] == [4.0, 1.0]
        assert (await rerank("query", ["a", "aaaa"], PATIENT_MS))[0].score != 4.0

    @pytest.mark.parametrize("answer", [by_length, lambda pairs: [len(t) for _, t in pairs]])
    async def test_arrays_lists_and_columns_of_scores_are_read(self, use: Use, answer: Any) -> None:
        use(answer)
        assert [r.score for r in await rerank("q", ["a", "aa"], PATIENT_MS)] == [2.0, 1.0]
        use(lambda pairs: by_length(pairs).reshape(-1, 1))
        assert [r.score for r in await rerank("q", ["a", "aa"], PATIENT_MS)] == [2.0, 1.0]


def _ask_and_tell(pipe: Any) -> None:
    reranked = asyncio.run(rerank("green tea", ["a flat tyre", "green tea"], PATIENT_MS))
    pipe.send([r.candidate for r in reranked])
