"""A caller's text appears nowhere but in the answer: in no log, event, metric or error, whatever fails."""

import dataclasses
import io
import json
import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from rerankd.core.events import Event
from rerankd.core.ports import Stop
from rerankd.core.types import Pair, Text
from rerankd.errors import BackendError, InvalidRequest, OutOfMemory
from rerankd.logs import JsonFormatter, LogObserver, TextFormatter
from rerankd.metrics import PrometheusObserver
from rerankd.reranker import Reranker
from rerankd.summary import Summary
from rerankd.testing import FakeClock, FakeScorer, FakeTokenizer, RecordingObserver, fake_reranker

pytestmark = pytest.mark.threads

CANARY = "canary-7f3a"
QUERY = f"where does the {CANARY} sing"
TEXTS = [f"the {CANARY} number {number} sings in a tree" for number in range(12)]


class Panic(BaseException):
    """As extensions written in Rust raise when they fail inside; the message may quote the text."""


class BadTokenizer(FakeTokenizer):
    def encode(self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1) -> Any:
        if not any(CANARY in text for text in texts):  # the calibration's own texts
            return super().encode(query, texts, max_tokens=max_tokens, max_chunks=max_chunks)
        raise ValueError(f"cannot encode {query} with {texts}")


class ShortScorer(FakeScorer):
    """Answers too few scores."""

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        scores = list(super().score(pairs, stop))
        return scores if not any(CANARY in pair.text for pair in pairs) else scores[1:]


class BadObserver:
    def on(self, event: Event) -> None:
        raise RuntimeError(f"{CANARY} {event}")


def raising(kind: type[BaseException]) -> Callable[[Pair], Any]:
    def score(pair: Pair) -> float:
        if CANARY in pair.text:
            raise kind(f"cannot score {pair.query!s} with {pair.text!s}")
        return 0.0

    return score


def giving(value: Any) -> Callable[[Pair], Any]:
    return lambda pair: value(pair) if callable(value) else value


FAULTS: dict[str, Callable[[], tuple[FakeScorer, FakeTokenizer | None]]] = {
    "none": lambda: (FakeScorer(), FakeTokenizer()),
    "the scorer raises": lambda: (FakeScorer(raising(ValueError)), None),
    "it runs out of memory": lambda: (FakeScorer(raising(OutOfMemory)), None),
    "it panics": lambda: (FakeScorer(raising(Panic)), None),
    "it gives NaN": lambda: (FakeScorer(giving(math.nan)), None),
    "it gives infinity": lambda: (FakeScorer(giving(math.inf)), None),
    "it gives nothing": lambda: (FakeScorer(giving(None)), None),
    "it gives the text": lambda: (FakeScorer(giving(lambda pair: pair.text)), None),
    "it gives too few scores": lambda: (ShortScorer(), None),
    "the tokenizer raises": lambda: (FakeScorer(), BadTokenizer()),
}


@dataclasses.dataclass
class Ears:
    """Everything that the library says to anybody but the caller."""

    logs: list[io.StringIO]
    recorder: RecordingObserver
    prometheus: PrometheusObserver
    summary: Summary

    @property
    def observers(self) -> list[Any]:
        return [self.recorder, LogObserver(FakeClock()), self.prometheus, self.summary, BadObserver()]

    def heard(self) -> str:
        parts = [stream.getvalue() for stream in self.logs]
        for event in self.recorder.events:
            parts += [repr(event), str(event), json.dumps(dataclasses.asdict(event), default=str)]
        parts += [self.prometheus.render().decode(), json.dumps(self.summary.as_dict())]
        return "\n".join(parts)


@pytest.fixture
def ears() -> Iterator[Ears]:
    handlers = []
    for formatter in (
        TextFormatter(),
        JsonFormatter(),
        logging.Formatter("%(message)s %(args)s %(exc_text)s"),
    ):
        handler = logging.StreamHandler(io.StringIO())
        handler.setFormatter(formatter)
        handlers.append(handler)
    logger = logging.getLogger("rerankd")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    for handler in handlers:
        logger.addHandler(handler)
    yield Ears(
        logs=[handler.stream for handler in handlers],
        recorder=RecordingObserver(),
        prometheus=PrometheusObserver(),
        summary=Summary(batch_size=32),
    )
    for handler in handlers:
        logger.removeHandler(handler)
    logger.setLevel(level)


def ask(reranker: Reranker, **options: Any) -> str:
    """What the answers to several requests say of themselves, apart from the texts that they return."""
    said = []
    for _ in range(3):
        ranking = reranker.rerank(QUERY, TEXTS, flag_key=f"user of {CANARY}", **options)
        assert sorted(candidate.text for candidate in ranking) == sorted(TEXTS)
        said += [repr(ranking), str(ranking.timings), repr(list(ranking))]
    try:
        reranker.score(QUERY, TEXTS)
    except BackendError as error:
        said.append(repr(error))
    return "\n".join([*said, repr(reranker.status())])


@pytest.mark.parametrize("fault", FAULTS)
def test_no_text_is_told_whatever_fails(
    fault: str, ears: Ears, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, tokenizer = FAULTS[fault]()
    with fake_reranker(scorer, tokenizer=tokenizer, observers=ears.observers) as reranker:
        assert ears.prometheus.bind(reranker.status) is None
        said = ask(reranker, budget_ms=2_000)
    printed = "".join(capfd.readouterr())
    assert ears.recorder.events, "nothing was heard at all"
    for where, told in (("answer", said), ("observers and logs", ears.heard()), ("console", printed)):
        assert CANARY not in told, f"{where}: {_around(told)}"


def test_no_text_is_told_when_the_deadline_comes_first(ears: Ears, capfd: pytest.CaptureFixture[str]) -> None:
    go_on = threading.Event()

    def score(pair: Pair) -> float:
        if CANARY in pair.text:
            go_on.wait(5)
        return 1.0

    with fake_reranker(score, observers=ears.observers) as reranker:
        ranking = reranker.rerank(QUERY, TEXTS, budget_ms=30)
        go_on.set()
    assert ranking.outcome == "skipped"
    assert CANARY not in repr(ranking) + ears.heard() + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("query", "candidates", "options"),
    [
        ("   ", TEXTS, {}),
        (QUERY, CANARY, {}),
        (QUERY, [{"id": CANARY, "text": CANARY}, {"id": CANARY, "text": CANARY}], {}),
        (QUERY, [{"text": [CANARY]}], {}),
        (QUERY, [{"body": CANARY}], {}),
        (QUERY, [CANARY], {"text": lambda item: [item]}),
        (QUERY, TEXTS, {"budget_ms": -1}),
        (QUERY, TEXTS, {"top_k": 0}),
        ([QUERY], TEXTS, {}),
    ],
)
def test_a_refusal_names_the_argument_and_quotes_no_text(query: Any, candidates: Any, options: Any) -> None:
    with fake_reranker() as reranker, pytest.raises(InvalidRequest) as caught:
        reranker.rerank(query, candidates, **options)
    assert CANARY not in repr(caught.value) + str(caught.value)
    assert caught.value.argument


def _around(told: str) -> str:
    place = told.index(CANARY)
    return told[max(0, place - 200) : place + 50]
