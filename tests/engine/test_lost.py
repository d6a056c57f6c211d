"""A device that fails under a run costs the requests of that moment, and the model is loaded anew."""

import threading
from collections.abc import Callable

import pytest

from rerankd.core.events import ModelChanged
from rerankd.core.ports import Model
from rerankd.core.types import Outcome, Pair, Reason
from rerankd.errors import BackendError, DeviceLost
from rerankd.reranker import Reranker
from rerankd.testing import FakeScorer, RecordingObserver, word_overlap

pytestmark = pytest.mark.threads

LOST = "CUDA error: an illegal memory access was encountered"


class Loads:
    """Hands out one model after another; the last again and again."""

    def __init__(self, *models: Model | BackendError) -> None:
        self.models = list(models)
        self.count = 0
        self.seen = threading.Condition()

    def __call__(self) -> Model:
        with self.seen:
            self.count += 1
            self.seen.notify_all()
        model = self.models.pop(0) if len(self.models) > 1 else self.models[0]
        if isinstance(model, BackendError):
            raise model
        return model

    def wait(self, count: int) -> bool:
        with self.seen:
            return self.seen.wait_for(lambda: self.count >= count, 10)


def model(
    device: str, score: Callable[[Pair], float] = word_overlap, stands_in_s: float | None = None
) -> Model:
    scorer = FakeScorer(score, device=device, model="m", concurrency=2)
    return Model(scorer=scorer, tokenizer=None, max_tokens=512, stands_in_s=stands_in_s)


def failing() -> tuple[Model, threading.Event]:
    """A model on CUDA, and what breaks it."""
    broken = threading.Event()

    def score(pair: Pair) -> float:
        if broken.is_set():
            raise DeviceLost(LOST)
        return word_overlap(pair)

    return model("cuda:0", score), broken


def ready(reranker: Reranker, device: str) -> bool:
    """Whether the model comes to be ready there."""
    for _ in range(2_000):
        status = reranker.status()
        if status.model_state == "ready" and status.device == device:
            return True
        threading.Event().wait(0.005)
    return False


def test_after_a_loss_the_next_model_answers_and_the_old_one_is_freed() -> None:
    first, broken = failing()
    loads, observer = Loads(first, model("cpu")), RecordingObserver()
    with Reranker(loads, name="m", observers=[observer]) as reranker:
        assert reranker.status().device == "cuda:0"
        broken.set()
        ranking = reranker.rerank("b", ["a", "b"], budget_ms=None)
        assert [each.text for each in ranking] == ["a", "b"], "in retrieval order, and at once"
        assert ranking.reason in (Reason.MODEL_ERROR, Reason.MODEL_UNAVAILABLE)
        assert ready(reranker, "cpu")
        assert reranker.status().circuit == "closed"
        assert [each.text for each in reranker.rerank("b", ["a", "b"], budget_ms=None)] == ["b", "a"]
        assert isinstance(first.scorer, FakeScorer)
        assert first.scorer.closed.wait(10)
    assert loads.count == 2, "two workers that saw the loss load once"
    told = [(event.state, event.device, event.error) for event in observer.of(ModelChanged)]
    assert told == [("ready", "cuda:0", None), ("loading", "cuda:0", LOST), ("ready", "cpu", None)]


def test_until_it_is_loaded_again_requests_fall_open_and_none_is_stranded() -> None:
    first, broken = failing()
    loads = Loads(first, BackendError("cuda:0 is gone"), model("cpu"))
    with Reranker(loads, name="m", retry_ms=50, retry_max_ms=50) as reranker:
        broken.set()
        reranker.rerank("b", ["a", "b"], budget_ms=None)
        assert loads.wait(2)
        ranking = reranker.rerank("b", ["a", "b"])
        assert ranking.outcome in (Outcome.SKIPPED, Outcome.RERANKED)
        assert ready(reranker, "cpu")


def test_a_request_under_way_when_another_loses_the_device_is_answered() -> None:
    entered, let_go = threading.Event(), threading.Event()

    def score(pair: Pair) -> float:
        if pair.text == "slow":
            entered.set()
            let_go.wait(10)
            return 1.0
        if pair.text == "lost":
            raise DeviceLost(LOST)
        return 0.0

    loads = Loads(model("cuda:0", score), model("cpu"))
    answers: list[Reason | None] = []
    with Reranker(loads, name="m") as reranker:
        waiting = threading.Thread(
            target=lambda: answers.append(reranker.rerank("q", ["slow", "other"], budget_ms=None).reason)
        )
        waiting.start()
        assert entered.wait(10)
        reranker.rerank("q", ["lost"], budget_ms=None)
        assert ready(reranker, "cpu"), "nobody waits for a run that may hang in the driver"
        let_go.set()
        waiting.join(10)
        assert not waiting.is_alive()
    assert len(answers) == 1


def test_what_stands_in_makes_room_when_the_device_is_usable_again() -> None:
    stand_in, better = model("cpu", stands_in_s=0.05), model("cuda:0")
    loads = Loads(stand_in, better)
    with Reranker(loads, name="m") as reranker:
        assert ready(reranker, "cuda:0")
        assert [each.text for each in reranker.rerank("b", ["a", "b"], budget_ms=None)] == ["b", "a"]
        assert isinstance(stand_in.scorer, FakeScorer)
        assert stand_in.scorer.closed.wait(10)


def test_what_stands_in_stays_and_is_asked_for_again_while_the_device_is_not_usable() -> None:
    stand_in, useless = model("cpu", stands_in_s=0.02), model("cpu", stands_in_s=0.02)
    loads, observer = Loads(stand_in, useless), RecordingObserver()
    with Reranker(loads, name="m", observers=[observer]) as reranker:
        assert loads.wait(3)
        assert reranker.status().model_state == "ready"
        assert isinstance(stand_in.scorer, FakeScorer)
        assert not stand_in.scorer.closed.is_set()
        assert isinstance(useless.scorer, FakeScorer)
        assert useless.scorer.closed.wait(10)
    assert [event.state for event in observer.of(ModelChanged)] == ["ready"]


def test_a_reranker_that_is_closed_while_it_reloads_ends() -> None:
    first, broken = failing()
    loads = Loads(first, BackendError("gone"))
    with Reranker(loads, name="m", retry_ms=10, retry_max_ms=10) as reranker:
        broken.set()
        reranker.rerank("b", ["a", "b"], budget_ms=None)
        assert loads.wait(3)
    assert reranker.status().model_state == "unavailable"
