"""How soon the circuit opens, and how soon reranking is back, in virtual time."""

import pytest

from tests.sim.bounds import OPENING, RECOVERING, opening, recovery


@pytest.mark.parametrize("kind", OPENING)
def test_it_opens_within_twenty_bad_calls_and_two_seconds_and_a_budget(kind: str):
    """Also when a hang blocks every worker, and at any rate at which ten calls come in two seconds."""
    for rate in (6.0, 20.0):
        seen = opening(kind, rate=rate, seed=1)
        assert not seen.broken
        assert seen.opened is not None
        assert seen.bad_calls <= 20
        assert seen.due is None or seen.opened <= seen.due


@pytest.mark.parametrize("kind", RECOVERING)
def test_reranking_is_back_within_three_seconds(kind: str):
    """Counted from the end of the fault to the first answer with a whole head."""
    for lasts in (0.5, 4.0):
        seen = recovery(kind, lasts=lasts, rate=4.0, seed=1)
        assert not seen.broken
        assert seen.seconds <= 3.0


@pytest.mark.parametrize("kind", ["hang", "raise", "slow"])
def test_a_remote_scorer_is_back_within_thirty_seconds_and_three_requests(kind: str):
    """Its probes are callers' own requests."""
    seen = recovery(kind, lasts=20.0, rate=4.0, seed=1, local=False)
    assert not seen.broken
    assert seen.seconds <= 30.0 or seen.requests <= 3
