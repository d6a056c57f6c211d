"""A replica answers within what it is told, with raw values as the candidates came, and says when it is lost."""

import time

import pytest

from rerankd.core.breaker import BreakerPolicy
from rerankd.core.types import Pair
from rerankd.errors import BackendError
from rerankd.scale.replica import Replica
from rerankd.settings import Settings
from rerankd.testing import FakeScorer, fake_reranker

pytestmark = pytest.mark.threads


async def test_it_gives_each_text_s_raw_value_and_tells_its_model() -> None:
    replica = Replica(Settings(), fake_reranker(max_tokens=64))
    answer = await replica.score("a b", ["a", "c", "a b"], 5_000)
    assert (answer.logits, answer.reason) == ((1.0, 0.0, 2.0), None)
    assert answer.served == await replica.describe()
    assert (answer.served.model, answer.served.max_tokens, answer.served.activation) == (
        "fake",
        64,
        "sigmoid",
    )
    replica.check_health()


async def test_what_does_not_fit_into_the_budget_has_no_value_and_a_reason() -> None:
    replica = Replica(Settings(), fake_reranker(lambda pair: time.sleep(0.05) or 1.0))
    answer = await replica.score("a", [f"text {number}" for number in range(50)], 120)
    assert answer.reason == "deadline"
    assert None in answer.logits


async def test_an_open_circuit_is_told_at_once() -> None:
    def broken(pair: Pair) -> float:
        if pair.text == "b":  # loading scores a text of its own
            raise ValueError
        return 1.0

    breaker = BreakerPolicy(
        min_calls=2, window_calls=2, open_ms=60_000, open_max_ms=60_000, open_max_remote_ms=60_000
    )
    replica = Replica(Settings(), fake_reranker(FakeScorer(broken), breaker=breaker))
    reasons = [(await replica.score("a", ["b"], 5_000)).reason for _ in range(4)]
    assert reasons == ["model_error", "model_error", "circuit_open", "circuit_open"]
    replica.check_health()


def test_it_is_not_made_where_the_model_cannot_be_loaded_and_is_unhealthy_without_one() -> None:
    from rerankd.reranker import Reranker

    def none() -> None:
        raise BackendError("model.onnx: is not there")

    with pytest.raises(BackendError, match=r"model.onnx: is not there"):
        Replica(Settings(), Reranker(none, name="m", require_model=True))  # type: ignore[arg-type]
    replica = Replica(Settings(), fake_reranker())
    replica._reranker.close()
    with pytest.raises(BackendError, match="the model is lost"):
        replica.check_health()
