"""The model is loaded on a thread of its own, again until that succeeds, and nobody waits for ever."""

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rerankd.core.ports import Model
from rerankd.engine.clock import SystemClock
from rerankd.engine.loader import Loader
from rerankd.engine.ticket import wait
from rerankd.errors import BackendError
from rerankd.testing import FakeScorer

pytestmark = pytest.mark.threads


class Heard:
    def __init__(self, load: Callable[[], Model], **options: Any) -> None:
        self.loaded: list[Model] = []
        self.failed: list[str] = []
        self.loader = Loader(
            load,
            clock=SystemClock(),
            retry=0.001,
            retry_max=0.002,
            loaded=lambda model, measured, seconds: self.loaded.append(model),
            failed=self.failed.append,
            **options,
        )


def a_model(scorer: FakeScorer | None = None) -> Model:
    return Model(scorer=scorer or FakeScorer(), tokenizer=None, max_tokens=512)


def test_a_model_that_loads_is_handed_over_with_its_timing() -> None:
    model = a_model()
    heard = Heard(lambda: model)
    wait(heard.loader.ended, math.inf)
    assert heard.loaded == [model]
    assert heard.failed == []
    assert heard.loader.tried.done()


def test_it_is_tried_again_until_it_loads() -> None:
    """A file that appears later heals the process without a restart."""
    attempts = []

    def load() -> Model:
        attempts.append(None)
        if len(attempts) < 4:
            raise BackendError("model.onnx: missing")
        return a_model()

    heard = Heard(load)
    wait(heard.loader.ended, math.inf)
    assert len(heard.loaded) == 1
    assert heard.failed == ["model.onnx: missing"] * 3


def test_the_first_attempt_can_be_waited_for_even_when_it_fails() -> None:
    """Entering a reranker waits for one attempt, not for a model that may never come."""

    def load() -> Model:
        raise BackendError("model.onnx: missing")

    heard = Heard(load)
    wait(heard.loader.tried, math.inf)
    assert heard.failed
    heard.loader.close()
    wait(heard.loader.ended, math.inf)


@pytest.mark.parametrize("error", [ValueError("odd"), SystemExit(3), MemoryError()])
def test_whatever_loading_raises_is_an_answer(error: BaseException) -> None:
    def load() -> Model:
        raise error

    heard = Heard(load)
    wait(heard.loader.tried, math.inf)
    heard.loader.close()
    assert heard.failed[0].startswith("loading failed: " + type(error).__name__)


def test_a_model_that_cannot_be_run_is_closed_before_the_next_attempt() -> None:
    """It may hold a process, or a device's memory."""
    scorers: list[FakeScorer] = []

    def broken(pair: Any) -> float:
        raise ValueError

    def load() -> Model:
        scorers.append(FakeScorer(broken if len(scorers) < 2 else lambda pair: 1.0))
        return a_model(scorers[-1])

    heard = Heard(load)
    wait(heard.loader.ended, math.inf)
    assert [scorer.closed.is_set() for scorer in scorers] == [True, True, False]
    assert heard.loaded[0].scorer is scorers[-1]


def test_a_model_that_comes_after_closing_is_closed_and_not_handed_over() -> None:
    go_on, scorer = threading.Event(), FakeScorer()

    def load() -> Model:
        go_on.wait(5)
        return a_model(scorer)

    heard = Heard(load)
    heard.loader._closed.set()
    go_on.set()
    wait(heard.loader.ended, math.inf)
    assert scorer.closed.is_set()
    assert heard.loaded == []


def test_a_loader_made_for_a_closed_engine_loads_nothing() -> None:
    heard = Heard(a_model, closed=True)
    wait(heard.loader.ended, math.inf)
    assert heard.loaded == heard.failed == []
