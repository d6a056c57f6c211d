"""A freshly loaded model is timed at two lengths, so that the first request can be predicted."""

from rerankd.core.estimate import Estimate, EstimatePolicy, pair_weight
from rerankd.core.ports import Model
from rerankd.core.types import Pair
from rerankd.engine.calibration import calibrate
from rerankd.testing import FakeClock, FakeScorer, FakeTokenizer


def test_the_baseline_predicts_the_runs_that_it_was_made_from() -> None:
    """A machine that takes 1 ms and 0.1 ms a unit of weight is found to do just that."""
    clock = FakeClock()

    def score(pair: Pair) -> float:
        clock.advance(0.001 + 0.0001 * pair_weight(pair.tokens))
        return 1.0

    model = Model(scorer=FakeScorer(score), tokenizer=FakeTokenizer(), max_tokens=512)
    measured = calibrate(model, clock)
    estimate = Estimate(EstimatePolicy())
    estimate.calibrate(measured.runs, clock.now())
    for tokens in (16, 64, 256):
        expected = 0.001 + 0.0001 * pair_weight(tokens)
        assert abs(estimate.seconds(pair_weight(tokens), clock.now()) - expected) < 1e-9


def test_the_quickest_of_several_runs_counts() -> None:
    """The first runs pay for warming up, and would make everything look slow."""
    clock, seen = FakeClock(), set()

    def score(pair: Pair) -> float:
        clock.advance(0.010 if pair.tokens in seen else 0.500)
        seen.add(pair.tokens)
        return 1.0

    measured = calibrate(Model(scorer=FakeScorer(score), tokenizer=None, max_tokens=512), clock)
    assert [round(seconds, 6) for _, seconds in measured.runs] == [0.01, 0.01]


def test_remote_and_whole_request_scorers_are_not_called() -> None:
    """Their calls cost money, or a host's own model would be asked for nobody."""
    for traits in ({"local": False}, {"unit": "query"}):
        scorer = FakeScorer(**traits)
        measured = calibrate(Model(scorer=scorer, tokenizer=None, max_tokens=512), FakeClock())
        assert (scorer.runs, measured.runs, measured.encodings) == ([], [], [])
