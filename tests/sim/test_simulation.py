"""Whatever goes wrong, and whenever: every promise to every caller holds, in virtual time."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankd.core.cache import CachePolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.types import Reason
from tests.sim.machine import KINDS, Fault, MachinePolicy
from tests.sim.scenario import Report, Scenario, Simulation, random_scenario, run
from tests.sim.traffic import Mix


@pytest.mark.parametrize("seed", range(48))
def test_any_scenario_keeps_every_promise(seed: int):
    """Any machine, any faults, any callers: nothing lost or doubled, on time, each permit ended once."""
    report = run(random_scenario(seed, 150))
    assert not report.broken


@pytest.mark.parametrize("seed", range(100, 124))
def test_a_cascade_keeps_every_promise_too(seed: int):
    """On time, nothing lost or doubled, and only what the larger model has scored changes places among itself."""
    report = run(random_scenario(seed, 120, refiner=2.5))
    assert not report.broken


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    refiner=st.floats(0.5, 10),
    load=st.sampled_from([0.05, 0.2, 0.7, 4.0]),
    cascade=st.builds(
        CascadePolicy,
        tier=st.integers(1, 6),
        depth=st.integers(0, 12),
        margin=st.sampled_from([8.0, 1e9, 0.5]),
    ),
    machine=st.fixed_dictionaries(
        {
            "concurrency": st.integers(1, 3),
            "interruptible": st.booleans(),
            "encodes": st.booleans(),
            "noise": st.sampled_from([0.0, 0.3]),
            "unit": st.sampled_from([0.00001, 0.00005, 0.0002]),
        }
    ),
    budget=st.tuples(st.floats(10, 600), st.floats(0, 400)),
    faults=st.lists(
        st.builds(
            Fault,
            kind=st.sampled_from(KINDS),
            start=st.floats(0, 2),
            end=st.floats(2, 4),
            share=st.sampled_from([0.1, 0.5]),
            lasts=st.sampled_from([0.1, 0.8]),
        ),
        max_size=2,
    ),
)
def test_a_larger_model_makes_no_answer_late_and_betters_only_a_complete_first_pass(
    seed: int,
    refiner: float,
    load: float,
    cascade: CascadePolicy,
    machine: dict[str, Any],
    budget: tuple[float, float],
    faults: list[Fault],
):
    """However slow it is, whatever its tiers are and whenever the deadline falls."""
    report = run(
        Scenario(
            seed=seed,
            requests=30,
            load=load,
            cascade=cascade,
            machine=MachinePolicy(refiner=refiner, **machine),
            mix=Mix(frozen=0.0, large=0.0, budgets=((1.0, budget[0], sum(budget)),)),
            faults=faults,
        )
    )
    assert not report.broken


@pytest.mark.parametrize("seed", range(200, 216))
@pytest.mark.parametrize("refiner", [0.0, 2.5])
def test_where_scores_are_kept_every_promise_holds_too(seed: int, refiner: float):
    """Whatever fails, and however few are kept: each score is its own text's, and everybody is answered in time."""
    scenario = random_scenario(seed, 120, refiner=refiner)
    scenario = replace(scenario, cache=CachePolicy(scores=300), mix=replace(scenario.mix, tenants=2))
    assert not run(scenario).broken


def _kept(scores: int, *, load: float, seed: int) -> Report:
    """The same callers whatever is kept, most of whom come again, on a machine that always takes as long."""
    mix = Mix(cancels=0, frozen=0, plain=True, tenants=1, budgets=((1.0, 250.0, 250.0),))
    report = run(
        Scenario(
            seed=seed,
            requests=200,
            load=load,
            mix=mix,
            machine=MachinePolicy(noise=0.0),
            cache=CachePolicy(scores=scores),
            trace=True,
        )
    )
    assert not report.broken
    return report


def test_nobody_is_answered_later_because_scores_are_kept():
    """Of callers who come one at a time each has at least as many scores, and at no later moment."""
    without, kept = (_kept(scores, load=0.02, seed=5) for scores in (0, 10_000))
    assert without.hits == 0
    assert kept.hits > 300
    for (arrived, before, *_, depth, _), (again, now, *_, deeper, _) in zip(
        without.answers, kept.answers, strict=True
    ):
        assert arrived == again
        assert now <= before + 1e-9
        assert deeper >= depth


@pytest.mark.parametrize("load", [0.7, 2.0, 10.0])
def test_what_kept_scores_save_goes_to_whoever_waits(load: float):
    """Under load less work is done, and more candidates have a score."""
    without, kept = (_kept(scores, load=load, seed=6) for scores in (0, 10_000))
    assert kept.begun < without.begun
    assert kept.depth > without.depth


def test_the_more_there_is_to_do_the_less_a_cascades_larger_model_does():
    """What is simulated of it is not nothing, and it is what falls away under load."""
    machine = MachinePolicy(refiner=2.5, unit=0.00005)
    refined = []
    for load in (0.3, 1.0, 4.0):
        report = run(Scenario(seed=4, requests=200, load=load, machine=machine))
        assert not report.broken
        refined.append(report.refined)
    assert refined[0] > refined[1] > refined[2]
    assert refined[0] > 50


def test_the_same_seed_gives_the_same_trace():
    """A failure that the simulation finds can be looked at again."""
    traces = {run(random_scenario(7, 200, trace=True)).trace for _ in range(3)}
    assert len(traces) == 1
    assert run(random_scenario(8, 200, trace=True)).trace not in traces


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_fails_all_the_time_costs_relevance_only(kind: str):
    """With nothing but one fault from the first request to the last, everybody is answered in time."""
    fault = Fault(kind=kind, start=0.0, end=1_000.0, lasts=1e9 if kind == "hang" else 0.8)
    report = run(Scenario(seed=1, requests=150, load=1.0, faults=[fault]))
    assert not report.broken


@pytest.mark.parametrize("load", [0.5, 1.0, 4.0, 10.0])
@pytest.mark.parametrize("grouped", [False, True])
def test_load_and_long_texts_never_open_the_circuit(load: float, grouped: bool):
    """Whoever falls short because too much was asked says nothing about the model."""
    machine = MachinePolicy(noise=0.3, batch_invariant=grouped, max_batch_tokens=4_096 if grouped else 0)
    mix = Mix(long=0.2, budgets=((0.8, 250.0, 250.0), (0.2, 10.0, 60.0)))
    report = run(Scenario(seed=3, requests=250, load=load, machine=machine, mix=mix, pattern="bursts"))
    assert report.opened() == 0
    assert not report.broken


def test_a_burst_after_a_long_silence_does_not_open_the_circuit():
    """What was forgotten while nobody called is not held against the first runs afterwards."""
    mix = Mix(long=0.3, cancels=0)
    simulation = Simulation(
        Scenario(seed=5, requests=60, load=0.7, mix=mix, machine=MachinePolicy(unit=5e-4))
    )
    simulation.world.at(
        300.0, lambda: [simulation._arrive(simulation.pool.ask()) for _ in range(40)] and None
    )
    report = simulation.run()
    assert report.opened() == 0
    assert not report.broken


def test_nobody_without_a_limit_waits_for_ever_when_every_worker_hangs():
    """A caller who set no limit is answered when no worker is left, and the next ones at once."""
    mix = Mix(
        budgets=((0.5, 250.0, 250.0), (0.5, math.inf, math.inf)), cancels=0, frozen=0, plain=True, count=24
    )
    fault = Fault(kind="hang", start=5.0, end=1_000.0, lasts=1e9, released=False)
    report = run(
        Scenario(seed=1, requests=150, load=0.5, mix=mix, faults=[fault], until=300.0, epilogue=False)
    )
    assert not report.broken
    assert report.outcomes[f"skipped/{Reason.MODEL_UNAVAILABLE}"] > 0


def test_an_engine_that_hangs_for_ever_keeps_one_probe_arranged_and_no_more():
    """Time goes on for an hour, and there is no more to do at its end than at its beginning."""
    fault = Fault(kind="hang", start=5.0, end=4_000.0, lasts=1e9, released=False)
    mix = Mix(budgets=((1.0, 250.0, 250.0),), cancels=0, frozen=0, plain=True, count=24)
    scenario = Scenario(
        seed=1, requests=150, load=0.7, mix=mix, faults=[fault], until=3_600.0, epilogue=False
    )
    simulation = Simulation(scenario)
    simulation.world.most = 300_000
    report = simulation.run()
    assert not report.broken
    assert simulation.world.arranged < 10


def test_a_model_that_comes_late_is_used_from_then_on():
    """Until it is loaded, after three failures, requests fall open; then they are reranked."""
    machine = MachinePolicy(load_failures=3)
    report = run(Scenario(seed=2, requests=200, load=0.5, machine=machine, warm=False))
    assert not report.broken
    assert report.outcomes[f"skipped/{Reason.MODEL_LOADING}"] > 0
    assert report.outcomes["reranked/"] > 50


def test_closing_answers_everybody_who_still_waits():
    """Closed under load, in the middle of everything: no caller is left behind."""
    for at in (1.0, 2.0, 3.33):
        report = run(replace(random_scenario(11, 200), load=4.0, closes_at=at, faults=()))
        assert not report.broken
