"""The public fakes are what the ports ask for, and only a store is taken for one."""

from rerankd.core.flag import Flag
from rerankd.core.ports import Clock, FlagStore, Model, Observer, Scorer, ScorerTraits, Tokenizer
from rerankd.engine.clock import SystemClock
from rerankd.flags.memory import MemoryFlag
from rerankd.testing import FakeClock, FakeScorer, FakeTokenizer, RecordingObserver


class ReadOnly:
    """A source that cannot be set from here."""

    name = "elsewhere"
    immediate = True

    def read(self, context: object) -> Flag | None:
        return None


def test_a_source_that_can_be_set_is_a_store_and_another_is_not() -> None:
    assert isinstance(MemoryFlag(Flag()), FlagStore)
    assert not isinstance(ReadOnly(), FlagStore)


def test_an_unknown_scorer_is_fed_with_care() -> None:
    traits = ScorerTraits(model="m", device="cpu")
    assert (traits.unit, traits.concurrency) == ("pair", 1)
    assert not traits.batch_invariant
    assert not traits.interruptible


def test_the_fakes_fit_their_ports() -> None:
    # assignments that mypy checks; at run time they only have to exist
    clocks: list[Clock] = [FakeClock(), SystemClock()]
    scorer: Scorer = FakeScorer()
    tokenizer: Tokenizer = FakeTokenizer()
    observer: Observer = RecordingObserver()
    assert all(clock.now() >= 0 for clock in clocks)
    assert scorer.traits.model == "fake"
    assert (tokenizer, observer) != (None, None)


def test_a_cascade_is_named_after_both_its_models_and_closes_both() -> None:
    small, large = FakeScorer(), FakeScorer()
    closed: list[FakeScorer] = []
    for each in (small, large):
        each.close = lambda each=each: closed.append(each)  # type: ignore[method-assign, misc]
    refiner = Model(scorer=large, tokenizer=None, max_tokens=512)
    cascade = Model(scorer=small, tokenizer=None, max_tokens=512, refiner=refiner)
    assert cascade.name == "fake+fake"
    cascade.close()
    assert closed == [small, large]
