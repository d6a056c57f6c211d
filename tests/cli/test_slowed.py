from rerankd.cli.slowed import slowed
from rerankd.core.ports import Model
from rerankd.core.types import Pair, Text
from rerankd.engine.stop import StopSignal
from rerankd.testing import FakeScorer

PAIR = Pair(Text("dog"), Text("the dog"), 3)


def test_it_scores_as_the_model_does_until_it_is_made_slow() -> None:
    fake = FakeScorer()
    model, scorer = slowed(Model(scorer=fake, tokenizer=None, max_tokens=64))
    assert model.scorer is scorer
    assert scorer.traits == fake.traits
    assert list(scorer.score([PAIR], StopSignal())) == [1.0]
    scorer.close()
    assert fake.closed.is_set()


def test_a_slow_run_ends_when_nobody_waits_for_it_any_more() -> None:
    _, scorer = slowed(Model(scorer=FakeScorer(), tokenizer=None, max_tokens=64))
    scorer.delay_s = 3_600.0
    stop = StopSignal()
    stop.fire()
    assert list(scorer.score([PAIR], stop)) == [1.0]  # at once, or this test would take an hour
