"""A model's name is loaded as what it stands for, and `auto` picks by what this machine can do."""

import logging
from typing import Any

import pytest

from rerankd.cascading import choose, load_named
from rerankd.core.cascade import CascadePolicy
from rerankd.core.ports import Model
from rerankd.errors import BackendError, ConfigError
from rerankd.models.policy import ModelPolicy
from rerankd.testing import FakeClock, FakeScorer, FakeTokenizer

LARGE = "cross-encoder/ms-marco-MiniLM-L-12-v2"


class Shelf:
    """Models by name, each as slow as is said: seconds for every token of a pair."""

    def __init__(self, **speeds: float) -> None:
        self.clock = FakeClock()
        self.speeds = speeds
        self.asked: list[ModelPolicy] = []
        self.made: dict[str, FakeScorer] = {}
        self.traits: dict[str, Any] = {}

    def load(self, policy: ModelPolicy) -> Model:
        self.asked.append(policy)
        speed = self.speeds.get(policy.model)
        if speed is None:
            raise BackendError(f"{policy.model}: not found")

        def score(pair: Any) -> float:
            self.clock.advance(speed * pair.tokens)
            return 0.0

        scorer = FakeScorer(score, model=policy.model, **self.traits)
        self.made[policy.model] = scorer
        return Model(scorer=scorer, tokenizer=FakeTokenizer(), max_tokens=512)

    def named(self, name: str, budget_ms: float = 250.0) -> Model:
        return load_named(
            ModelPolicy(model=name),
            self.load,
            clock=self.clock,
            budget_ms=budget_ms,
            cascade=CascadePolicy(),
        )


def test_a_cascade_is_the_small_model_with_the_large_one_behind_it() -> None:
    model = Shelf(**{"owner/tiny": 0.0, "large": 0.0}).named("owner/tiny+large")
    assert model.name == "owner/tiny+large"
    assert model.refiner is not None
    assert model.refiner.refiner is None


def test_a_large_model_that_is_missing_leaves_the_small_one_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = Shelf(**{"owner/tiny": 0.0}).named("owner/tiny+large")
    assert (model.name, model.refiner) == ("owner/tiny", None)
    assert "nothing rescores" in caplog.text
    with pytest.raises(BackendError, match="owner/tiny: not found"):
        Shelf(large=0.0).named("owner/tiny+large")


def test_what_takes_whole_requests_makes_no_cascade() -> None:
    shelf = Shelf(**{"owner/tiny": 0.0, "large": 0.0})
    shelf.traits = {"unit": "query"}
    with pytest.raises(ConfigError, match="pair by pair"):
        shelf.named("owner/tiny+large")


@pytest.mark.parametrize(
    ("per_token", "picked"),
    # 24 candidates of 80 tokens take 80 * 24 = 1,920 and a little more times as long as a token, on one worker
    [((1e-5, 5e-5), "large"), ((5e-5, 2e-4), "small+large"), ((1.25e-4, 4e-4), "small")],
)
def test_auto_picks_by_measured_speed_and_says_so(
    per_token: tuple[float, float], picked: str, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf(small=per_token[0], large=per_token[1])
    with caplog.at_level(logging.INFO, "rerankd"):
        model = shelf.named("auto")
    assert model.name == picked
    assert f"auto: picked {picked} on cpu" in caplog.text
    assert {name for name, scorer in shelf.made.items() if scorer.closed.is_set()} == {"small", "large"} - {
        *picked.split("+")
    }
    assert not any(policy.download for policy in shelf.asked), "it takes what is on this machine"


def test_auto_takes_what_is_there() -> None:
    assert Shelf(large=1.0).named("auto").name == "large"
    assert Shelf(small=1.0).named("auto").name == "small"
    with pytest.raises(BackendError, match="not found"):
        Shelf().named("auto")


def test_on_cuda_the_large_model_is_enough() -> None:
    assert choose(0.01, 0.9, cuda=True, tier=0.1, budget=0.25) == "large"
    assert choose(0.01, 0.125, cuda=False, tier=0.1, budget=0.25) == "large"
    assert choose(0.1, 0.2, cuda=False, tier=0.15, budget=0.25) == "small+large"
    assert choose(0.11, 0.2, cuda=False, tier=0.15, budget=0.25) == "small"
