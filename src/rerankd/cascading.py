"""Loads what a model's name stands for: one model, the two of a cascade, or what suits this machine best.

`auto` in words. On CUDA the large model: it takes a few milliseconds there. On a CPU both are timed, as any model
is when it is loaded, and held against the reference request: 24 candidates of 80 tokens. The large one alone where
that takes it at most half of the usual budget, so that the other half is left to load; the cascade where the small
one leaves the large one time for a tier; else the small one alone. Nothing is downloaded for it: where one of the
two is not on this machine, it is the other.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

from rerankd.core.cascade import CascadePolicy
from rerankd.core.estimate import Estimate, EstimatePolicy, pair_weight
from rerankd.core.ports import Clock, Model
from rerankd.engine.calibration import calibrate
from rerankd.errors import BackendError, ConfigError, RerankdError
from rerankd.models.names import AUTO, members_of
from rerankd.models.policy import ModelPolicy

__all__ = ["choose", "load_named"]

_log = logging.getLogger(__name__)

_SMALL, _LARGE = "small", "large"
_PAIRS, _TOKENS = 24, 80
"""The reference request."""
_ENOUGH = 0.5
"""The share of the budget within which the large model alone is fast enough."""

Load = Callable[[ModelPolicy], Model]


def load_named(
    policy: ModelPolicy, load: Load, *, clock: Clock, budget_ms: float, cascade: CascadePolicy
) -> Model:
    """Load what `policy.model` stands for, each model by `load`.

    `budget_ms`: the usual one, which `auto` is chosen for. A cascade whose large model cannot be loaded is its
    small one, with a warning. Raises what `load` raises for a single or small one.
    """
    if policy.model == AUTO:
        return _load_auto(policy, load, clock=clock, budget_ms=budget_ms, cascade=cascade)
    names = members_of(policy.model)
    first = load(replace(policy, model=names[0]))
    if len(names) == 1:
        return first
    try:
        second = load(replace(policy, model=names[1]))
    except BackendError as error:
        # an order by the small one is better than none
        _log.warning("nothing rescores what %s has ordered: %s", first.name, error)
        return first
    return _joined(first, second)


def choose(small: float, large: float, *, cuda: bool, tier: float, budget: float) -> str:
    """Which of the two, or the cascade, given each one's seconds for the reference request.

    `tier`: the large one's for a tier; `budget`: in seconds.
    """
    if cuda or large <= budget * _ENOUGH:
        return _LARGE
    return f"{_SMALL}+{_LARGE}" if small + tier <= budget else _SMALL


def _load_auto(
    policy: ModelPolicy, load: Load, *, clock: Clock, budget_ms: float, cascade: CascadePolicy
) -> Model:
    here = replace(policy, download=False)
    found: dict[str, Model] = {}
    failed: RerankdError | None = None
    for name in (_SMALL, _LARGE):
        try:
            found[name] = load(replace(here, model=name))
        except (BackendError, ConfigError) as error:
            failed = error
    if not found:
        assert failed is not None
        raise failed
    if len(found) == 1:
        (picked,) = found.values()
        _log.info("auto: picked %s: nothing else is on this machine", picked.name)
        return picked
    small, large = found[_SMALL], found[_LARGE]
    try:
        times = {
            name: _seconds(model, clock, tier=cascade.tier if name == _LARGE else _PAIRS)
            for name, model in found.items()
        }
    except BaseException:
        small.close()
        large.close()
        raise
    (small_s, _), (large_s, tier_s) = times[_SMALL], times[_LARGE]
    device = large.scorer.traits.device
    choice = choose(small_s, large_s, cuda=device.startswith("cuda"), tier=tier_s, budget=budget_ms / 1000)
    picked = _joined(small, large) if choice not in found else found[choice]
    for name, model in found.items():
        if choice in found and name != choice:
            model.close()
    _log.info(
        "auto: picked %s on %s: %d candidates of %d tokens take %.0f ms with the small model, %.0f ms with the"
        " large one; the budget is %.0f ms",
        picked.name,
        device,
        _PAIRS,
        _TOKENS,
        small_s * 1000,
        large_s * 1000,
        budget_ms,
    )
    return picked


def _joined(small: Model, large: Model) -> Model:
    if "query" in (small.scorer.traits.unit, large.scorer.traits.unit):
        raise ConfigError("model: only models that score pair by pair make a cascade")
    return replace(small, refiner=large)


def _seconds(model: Model, clock: Clock, *, tier: int) -> tuple[float, float]:
    """What the reference request takes, and what so many of its candidates take."""
    measured = Estimate(EstimatePolicy())
    now = clock.now()
    measured.calibrate(calibrate(model, clock).runs, now)
    one = measured.seconds(pair_weight(_TOKENS), now)
    workers = model.scorer.traits.concurrency
    return one * _PAIRS / workers, one * -(-tier // workers)
