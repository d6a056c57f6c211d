"""An engine around each encoder that a host brings, which ends with it."""

import gc
import threading
import weakref
from typing import Any

import pytest

from rerankd.core.breaker import BreakerPolicy
from rerankd.core.flag import Flag, Mode
from rerankd.dropin.encoders import CrossEncoder, Device, Foreign, Own
from rerankd.errors import BackendError, InvalidRequest
from rerankd.testing import FakeScorer, fake_reranker


class Encoder:
    def predict(self, pairs: Any, **_: Any) -> Any:
        return [0.0] * len(pairs)


@pytest.fixture
def foreign() -> Foreign:
    return Foreign(batch_size=lambda: 32, breaker=BreakerPolicy)


def test_one_encoder_has_one_engine_and_two_have_two(foreign: Foreign) -> None:
    one, other = Encoder(), Encoder()
    first, again, second = (foreign.get(lambda e=e: e).result(10) for e in (one, one, other))
    assert first.reranker is again.reranker
    assert first.reranker is not second.reranker
    assert first.encoder is one


def test_an_engine_is_ready_when_it_is_handed_out(foreign: Foreign) -> None:
    encoder = Encoder()
    assert foreign.get(lambda: encoder).result(10).reranker.status().model_state == "ready"


def test_an_engine_ends_with_its_encoder(foreign: Foreign) -> None:
    loaded = foreign.get(Encoder).result(10)
    engine, watched = loaded.reranker, weakref.ref(loaded.encoder)
    del loaded
    gc.collect()
    assert watched() is None
    foreign.get(Encoder).result(10)  # ended engines are closed in passing
    ended = [t for t in threading.enumerate() if t.name == "rerankd-encoder"]
    for thread in ended:
        thread.join(10)
    assert engine.status().model_state == "unavailable"


def test_of_encoders_that_cannot_be_watched_a_few_are_kept(foreign: Foreign) -> None:
    class Slotted:
        __slots__ = ()
        predict = Encoder.predict

    engines = []
    for _ in range(20):
        encoder = Slotted()
        engines.append(foreign.get(lambda e=encoder: e).result(10).reranker)
    for thread in [t for t in threading.enumerate() if t.name == "rerankd-encoder"]:
        thread.join(10)
    states = [engine.status().model_state for engine in engines]
    assert states == ["unavailable"] * 4 + ["ready"] * 16


def test_a_getter_under_way_is_shared(foreign: Foreign) -> None:
    released, encoder = threading.Event(), Encoder()

    def slow() -> Encoder:
        released.wait()
        return encoder

    first, second = foreign.get(slow), foreign.get(slow)
    assert first is second
    assert not first.done()
    released.set()
    assert first.result(10).encoder is encoder


def test_what_the_getter_raises_is_handed_on_and_the_next_call_tries_again(foreign: Foreign) -> None:
    def fail() -> Any:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            foreign.get(fail).result(10)


def test_an_exit_inside_the_getter_is_none_outside(foreign: Foreign) -> None:
    def leave() -> Any:
        raise SystemExit(1)

    with pytest.raises(BackendError, match="SystemExit"):
        foreign.get(leave).result(10)


def test_something_without_predict_is_refused(foreign: Foreign) -> None:
    with pytest.raises(BackendError, match=r"a object has no predict\(\)"):
        foreign.get(object).result(10)


@pytest.mark.parametrize(("name", "kind", "index"), [("cpu", "cpu", None), ("cuda:1", "cuda", 1)])
def test_a_device_reads_like_torch_s(name: str, kind: str, index: int | None) -> None:
    device = Device(name)
    assert (device, device.type, device.index) == (name, kind, index)


class TestCrossEncoder:
    """The face of our own engine."""

    def test_logits_come_back_in_the_order_of_the_pairs_whatever_their_queries(self) -> None:
        with fake_reranker(FakeScorer()) as reranker:
            pairs = [["a b", "a"], ["c", "c"], ["a b", "a b"], ["c", "d"]]
            assert list(Own(reranker).encoder.predict(pairs)) == [1.0, 1.0, 2.0, 0.0]

    @pytest.mark.parametrize("pairs", [["one text"], [["q"]], [["q", "t", "x"]]])
    def test_what_is_no_pair_is_refused(self, pairs: Any) -> None:
        with (
            fake_reranker(FakeScorer()) as reranker,
            pytest.raises(InvalidRequest, match=r"must be \[query, text\] pairs"),
        ):
            Own(reranker).encoder.predict(pairs)

    def test_pairs_that_could_not_be_scored_are_an_error(self) -> None:
        with fake_reranker(FakeScorer()) as reranker:
            reranker.set_flag(Flag(Mode.OFF))
            with pytest.raises(BackendError, match="only 0 of 1 pairs were scored: disabled"):
                Own(reranker).encoder.predict([["q", "t"]])

    def test_a_model_that_cannot_be_loaded_is_an_error(self) -> None:
        def fail(pair: Any) -> float:
            raise BackendError("model.onnx is truncated")

        reranker = fake_reranker(FakeScorer(fail))
        with pytest.raises(BackendError, match=r"model\.onnx is truncated"):
            Own(reranker).require()
        reranker.close()

    def test_a_replaced_predict_is_noticed_on_the_object_and_on_the_class(self) -> None:
        encoder = CrossEncoder(Own(fake_reranker()))
        assert encoder.replaced_predict() is None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(encoder, "predict", len)
            assert encoder.replaced_predict() is len
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CrossEncoder, "predict", len)
            assert encoder.replaced_predict() is len
        assert encoder.replaced_predict() is None
