"""The scheduler under any sequence of arrivals, runs, failures and closings, held against a book of our own."""

import math
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rerankd.core import cascade
from rerankd.core.batch import BatchPolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.conclusion import conclude
from rerankd.core.estimate import pair_weight
from rerankd.core.job import FIRST, REFINING, Item, Job
from rerankd.core.ports import ScorerTraits
from rerankd.core.types import Reason
from rerankd.core.work import Encode, Run, Work
from tests.core.make import UNIT, a_job, a_scheduler, pair_of

_ROUNDING = 1e-6


class SchedulerMachine(RuleBasedStateMachine):
    """Workers, callers and a model that does whatever it likes."""

    @initialize(
        unit=st.sampled_from(["pair", "pair", "pair", "query"]),
        grouped=st.booleans(),
        concurrency=st.integers(1, 3),
        encodes=st.booleans(),
        calibrated=st.booleans(),
        max_pairs=st.integers(1, 6),
        max_batch_tokens=st.sampled_from([30, 100, 1_000]),
        queue_pairs=st.sampled_from([12, 10_000]),
        encode_slice=st.integers(1, 5),
        refiner=st.sampled_from([ScorerTraits(model="large", device="cpu"), None]),
        refiner_encodes=st.booleans(),
    )
    def begin(self, **drawn: Any) -> None:
        self.unit, self.grouped = drawn["unit"], drawn["grouped"]
        self.most_pairs = drawn["max_pairs"] if self.grouped else 1
        self.most_tokens = drawn["max_batch_tokens"]
        # what takes whole requests makes no cascade
        refiner = drawn["refiner"] if self.unit == "pair" else None
        self.refines = refiner is not None
        self.scheduler = a_scheduler(
            unit=self.unit,
            batch_invariant=self.grouped,
            max_batch_tokens=self.most_tokens,
            concurrency=drawn["concurrency"],
            encodes=drawn["encodes"],
            calibrated=drawn["calibrated"],
            refiner=refiner,
            refiner_encodes=drawn["refiner_encodes"],
            batch=BatchPolicy(
                max_pairs=drawn["max_pairs"],
                queue_pairs=drawn["queue_pairs"],
                encode_slice=drawn["encode_slice"],
                regrow_runs=3,
            ),
        )
        if self.refines and drawn["calibrated"]:
            large = self.scheduler.lanes[REFINING].costs
            large.running.calibrate([(100.0, 300.0 * UNIT), (200.0, 600.0 * UNIT)], 0.0)
            large.encoding.calibrate([(1.0, 1e-9), (2.0, 2e-9)], 0.0)
        self.now = 0.0
        self.first_passes: list[Job] = []
        """Whose callers were told that everything is scored, and may wait for the larger model."""
        self.jobs: list[Job] = []
        self.work: list[Work] = []
        self.ran: Counter[Item] = Counter()
        self.closed: dict[Job, Any] = {}

    # -- what callers do ------------------------------------------------------------------------------------

    @rule(
        lengths=st.lists(st.integers(5, 60), min_size=1, max_size=8),
        budget=st.sampled_from([None, None, 0.001, 0.02, 0.1, 0.5]),
        head=st.integers(1, 5),
        max_chunks=st.sampled_from([1, 1, 3]),
    )
    def somebody_asks(self, lengths: list[int], budget: float | None, head: int, max_chunks: int) -> None:
        idle = not self.work and self.scheduler.waiting_pairs == 0
        deadline = math.inf if budget is None else self.now + budget
        job = a_job(lengths, arrived=self.now, deadline=deadline, head=head, max_chunks=max_chunks)
        refused = self.scheduler.refuse(job, self.now)
        assert not (idle and refused is Reason.OVERLOADED), "an idle engine is not overloaded"
        if refused is None:
            self.scheduler.add(job, self.now)
            self.jobs.append(job)
        else:
            assert refused in (Reason.BUDGET_TOO_SMALL, Reason.OVERLOADED)
            assert job not in self.scheduler.jobs()

    @precondition(lambda self: self.refines and self.first_passes)
    @rule(data=st.data(), tier=st.integers(1, 3))
    def the_larger_model_is_asked(self, data: st.DataObject, tier: int) -> None:
        self.ask_the_larger_model(data.draw(st.sampled_from(self.first_passes)), tier)

    def ask_the_larger_model(self, first: Job, tier: int) -> None:
        self.first_passes.remove(first)
        assert first.complete, "only a complete first pass is bettered"
        for number, positions in enumerate(cascade.tiers(first.results(), CascadePolicy(tier=tier))):
            lengths = [min(first.lengths[position], 60) for position in positions]
            job = a_job(lengths, arrived=self.now, deadline=first.deadline, head=len(lengths), tier=number)
            if not self.scheduler.refine(job, self.now):
                break
            assert self.now <= job.deadline
            self.jobs.append(job)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def a_caller_stops_waiting(self, data: st.DataObject) -> None:
        self.close(data.draw(st.sampled_from(self.jobs)))

    @rule()
    def callers_whose_time_is_over_go(self) -> None:
        for job in self.scheduler.expired(self.now):
            assert job.deadline <= self.now
            self.close(job)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.01, 0.1, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # -- what workers do ------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.work) < self.scheduler.workers)
    @rule()
    def a_worker_takes_work(self) -> None:
        limit = self.scheduler.limit.pairs
        work = self.scheduler.next(self.now)
        waiting = {job.lane for job in self.scheduler.jobs() if any(part.available for part in job.parts)}
        # as the engine does, before anybody else looks: what cannot be complete in time was given up
        self.tell_whoever_has_everything()
        if work is None:
            # a larger model runs once at a time
            busy = any(other.lane == REFINING for other in self.work)
            assert waiting <= ({REFINING} if busy else set())
            return
        if work.lane == REFINING:
            assert FIRST not in waiting, "first passes come first"
            assert not any(other.lane == REFINING for other in self.work)
        self.work.append(work)
        for job in work.jobs:
            assert not job.closed
            assert job.lane == work.lane, "the two models share no run"
            assert self.now + work.predicted <= job.deadline + _ROUNDING, (
                "begun although it cannot end in time"
            )
        if isinstance(work, Run):
            self.begun(work, limit)
        else:
            assert len(work.texts) > 0
            assert self.unit == "pair", "a scorer of whole requests takes plain text"

    def begun(self, run: Run, limit: int) -> None:
        for item in run.items:
            self.ran[item] += 1
            assert self.ran[item] == 1, "a pair runs once"
        if self.unit == "query":
            (job,) = run.jobs
            assert [item.candidate for item in run.items] == list(range(len(job.texts)))
            return
        assert len(run.items) <= limit <= self.most_pairs
        assert len(run.items) == 1 or self.grouped
        assert len(run.items) == 1 or run.padded_tokens <= self.most_tokens

    @precondition(lambda self: self.work)
    @rule(data=st.data(), how=st.sampled_from(["well", "well", "well", "nan", "error", "memory", "stopped"]))
    def work_ends(self, data: st.DataObject, how: str) -> None:
        work = self.work.pop(data.draw(st.integers(0, len(self.work) - 1)))
        if isinstance(work, Encode):
            self.encoding_ends(data, work, how)
        elif how in ("well", "nan"):
            bad = math.nan if how == "nan" else 1.0
            self.scheduler.scored(work, [bad, *[1.0] * (len(work.items) - 1)], self.now)
        elif how == "error":
            self.scheduler.failed(work, self.now)
        elif how == "stopped" and all(job.closed for job in work.jobs):
            self.scheduler.interrupted(work, self.now)
        else:
            self.runs_out_of_memory(work)
        assert work not in self.scheduler.active

    @rule(
        steps=st.integers(1, 12),
        seconds=st.sampled_from([0.0, 0.0001, 0.01]),
        tier=st.sampled_from([0, 1, 2]),
    )
    def all_goes_well_for_a_while(self, steps: int, seconds: float, tier: int) -> None:
        """Several takings and endings at once: single ones hardly ever come to the end of a request."""
        for _ in range(steps):
            if len(self.work) < self.scheduler.workers:
                self.a_worker_takes_work()
            if self.work:
                work = self.work.pop(0)
                if isinstance(work, Run):
                    self.scheduler.scored(work, [float(item.candidate) for item in work.items], self.now)
                else:
                    encoded = [[pair_of(10 + place)] for place in range(len(work.texts))]
                    self.scheduler.encoded(work, encoded, self.now)
            self.tell_whoever_has_everything()
            if self.refines and tier and self.first_passes:
                self.ask_the_larger_model(self.first_passes[-1], tier)
            self.now += seconds

    def encoding_ends(self, data: st.DataObject, work: Encode, how: str) -> None:
        if how == "error":
            self.scheduler.failed(work, self.now)
            return
        chunks = data.draw(
            st.lists(
                st.lists(st.integers(5, 60), min_size=1, max_size=work.job.max_chunks),
                min_size=len(work.texts),
                max_size=len(work.texts),
            )
        )
        self.scheduler.encoded(work, [[pair_of(tokens) for tokens in each] for each in chunks], self.now)

    def runs_out_of_memory(self, run: Run) -> None:
        before = self.scheduler.limit.pairs
        halved = self.scheduler.out_of_memory(run, self.now)
        assert halved == (len(run.items) > 1 and self.unit == "pair")
        if halved:
            assert 1 <= self.scheduler.limit.pairs <= min(before, max(1, len(run.items) // 2))
            for item in run.items:
                self.ran[item] -= 1

    @rule()
    def whoever_has_everything_is_told(self) -> None:
        self.tell_whoever_has_everything()

    def tell_whoever_has_everything(self) -> None:
        for job in self.scheduler.take_complete():
            assert job.complete
            if job.lane == FIRST:
                self.first_passes.append(job)
            self.close(job)

    # -- the book -------------------------------------------------------------------------------------------

    def close(self, job: Job) -> None:
        useless = self.scheduler.close(job, self.now)
        assert all(job in work.jobs and work in self.work for work in useless)
        self.jobs = [each for each in self.jobs if each is not job]
        self.closed.setdefault(job, self.look_of(job))

    def look_of(self, job: Job) -> Any:
        return (job.results(), job.errors, job.nonfinite, job.overran, job.dropped, conclude(job, "partial"))

    @invariant()
    def what_is_closed_does_not_change(self) -> None:
        for job, look in getattr(self, "closed", {}).items():
            assert self.look_of(job) == look
            assert job.waiting_pairs == 0
            assert not any(part.available or part.waiting_weight for part in job.parts)

    @invariant()
    def what_waits_is_counted_exactly(self) -> None:
        for job in getattr(self, "jobs", []):
            for part in job.parts:
                under_way = [
                    candidate
                    for work in self.work
                    if isinstance(work, Encode) and work.part is part
                    for candidate in range(work.first, work.last)
                ]
                unencoded = [*under_way, *range(part.next, part.last)]
                assert part.waiting_pairs == len(part.ready) + len(unencoded)
                weight = sum(pair_weight(item.pair.tokens) for item in part.ready)
                weight += sum(job.weight(job.lengths[candidate]) for candidate in unencoded)
                assert abs(part.waiting_weight - weight) < _ROUNDING * max(1.0, weight)
        if hasattr(self, "scheduler"):
            jobs = self.scheduler.jobs()
            assert self.scheduler.waiting_pairs == sum(job.waiting_pairs for job in jobs) >= 0

    @invariant()
    def a_job_is_complete_exactly_when_nothing_more_can_come(self) -> None:
        for job in getattr(self, "jobs", []):
            ready = any(job.wants(item) for part in job.parts for item in part.ready)
            unencoded = any(part.next < part.last for part in job.parts)
            under_way = any(
                isinstance(work, Encode) or any(item.job is job and job.wants(item) for item in work.items)
                for work in self.work
                if job in work.jobs
            )
            assert job.complete == (not ready and not unencoded and not under_way)

    @invariant()
    def the_work_under_way_is_known(self) -> None:
        if hasattr(self, "scheduler"):
            assert self.scheduler.active == set(self.work)

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        for job in list(self.jobs):
            self.close(job)
        for work in self.work:
            self.scheduler.failed(work, self.now)
        assert self.scheduler.next(self.now) is None
        assert (self.scheduler.waiting_pairs, self.scheduler.jobs(), len(self.scheduler.active)) == (0, [], 0)
        self.what_is_closed_does_not_change()


TestAnySequenceOfWork = SchedulerMachine.TestCase
TestAnySequenceOfWork.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
