"""Many replicas in virtual time: nobody is late, nobody is lost, and losses cost what they must and no more."""

from tests.sim.fleet import FleetScenario, draws, run_fleet


def test_everybody_is_answered_in_time_while_replicas_die_and_straggle() -> None:
    report = run_fleet(FleetScenario(replicas=10, seconds=4.0, failures=0.2, stragglers=0.2))
    assert report.requests == sum(report.outcomes.values()) == len(report.seconds) > 100
    assert report.deaths == 2
    # the ingress waits until 3 ms before the deadline at most; a simulated way back may end 2 ms later
    assert max(report.seconds) <= 0.250


def test_the_same_seed_gives_the_same_story_and_another_one_another() -> None:
    first, again, other = (run_fleet(FleetScenario(replicas=3, seconds=2.0, seed=seed)) for seed in (1, 1, 2))
    assert (first.outcomes, first.seconds) == (again.outcomes, again.seconds)
    assert first.seconds != other.seconds


def test_what_is_lost_is_about_what_the_dead_would_have_answered() -> None:
    scenario = FleetScenario(replicas=20, seconds=4.0, stragglers=0.0, failures=0.1, notice=1.0, restart=60.0)
    calm = run_fleet(FleetScenario(replicas=20, seconds=4.0, stragglers=0.0, failures=0.0))
    hurt = run_fleet(scenario)
    assert calm.share("skipped") == 0.0
    # two of twenty are asked in vain for one of four seconds: a fortieth, and less as their queues seem long
    assert 0.0 < hurt.share("skipped") < 0.05


def test_tenants_follow_a_power_law_and_the_load_is_the_one_that_was_asked_for() -> None:
    few, many = (len(draws(FleetScenario(replicas=replicas, seconds=20.0))) for replicas in (10, 100))
    assert 6 < many / few < 16
