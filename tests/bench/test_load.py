import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import pytest

from rerankd.bench.arrivals import Closed, Open
from rerankd.bench.load import fire
from rerankd.core.types import Outcome, Reason

from .virtual import run


@dataclass(frozen=True)
class Answer:
    outcome: Outcome = Outcome.RERANKED
    reason: Reason | None = None
    depth: int = 24
    candidates_total: int = 24


class Server:
    """Takes so long for each request; at most `capacity` at once, the others queue."""

    def __init__(self, seconds: Callable[[int], float], *, capacity: int = 1_000) -> None:
        self.seconds = seconds
        self.free = asyncio.Semaphore(capacity)
        self.sent: list[float] = []
        self.busy = self.most = 0

    async def __call__(self, number: int) -> Answer:
        self.sent.append(asyncio.get_running_loop().time())
        async with self.free:
            self.busy += 1
            self.most = max(self.most, self.busy)
            await asyncio.sleep(self.seconds(number))
            self.busy -= 1
        return Answer()


def test_a_closed_caller_sends_the_next_request_when_it_has_the_answer_to_the_last() -> None:
    server = Server(lambda number: 0.1 * (number + 1))
    shots = run(fire(server, 3, Closed()))
    assert server.sent == pytest.approx([0, 0.1, 0.3])
    assert [shot.latency_ms for shot in shots] == pytest.approx([100, 200, 300])


def test_as_many_closed_callers_are_under_way_as_asked_for() -> None:
    server = Server(lambda number: 1.0)
    shots = run(fire(server, 10, Closed(concurrency=4)))
    assert server.most == 4
    assert len(shots) == 10


def test_open_requests_are_sent_at_their_times_however_slow_the_answers_are() -> None:
    server = Server(lambda number: 100.0)
    shots = run(fire(server, 20, Open(rate=10, seed=1)))
    assert server.sent == pytest.approx(list(islice(Open(rate=10, seed=1).times(), 20)))
    assert [shot.intended for shot in shots] == pytest.approx(server.sent)
    assert [shot.latency_ms for shot in shots] == pytest.approx([100_000] * 20)


def test_a_latency_counts_from_the_intended_moment_also_when_the_generator_itself_was_held_up() -> None:
    """A blocked event loop sends late; what callers would have waited is in the latency all the same."""

    async def scenario() -> list[float]:
        loop = asyncio.get_running_loop()

        async def send(number: int) -> Answer:
            if number == 0:
                loop.now += 5.0  # type: ignore[attr-defined] # a synchronous call that takes five seconds
            return Answer()

        shots = await fire(send, 3, Open(rate=10, seed=1))
        return [shot.latency_ms for shot in shots]

    first, second, third = islice(Open(rate=10, seed=1).times(), 3)
    assert run(scenario()) == pytest.approx([5_000, (first + 5 - second) * 1000, (first + 5 - third) * 1000])


def test_the_warm_up_is_sent_before_and_left_out() -> None:
    server = Server(lambda number: 10.0 if number < 2 else 0.5)
    heard: list[int] = []
    shots = run(fire(server, 3, Closed(), warm_up=2, done=heard.append))
    assert [shot.latency_ms for shot in shots] == pytest.approx([500] * 3)
    assert shots[0].intended == 0
    assert heard == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("arrivals", [Closed(concurrency=3), Open(rate=100)])
def test_an_error_of_the_sender_ends_the_run_and_comes_out_as_it_is(arrivals: Closed | Open) -> None:
    async def send(number: int) -> Answer:
        await asyncio.sleep(1)
        if number == 1:
            raise LookupError("no server")
        await asyncio.sleep(1_000_000)
        return Answer()

    with pytest.raises(LookupError, match="no server"):
        run(fire(send, 10, arrivals))


def test_a_shot_says_what_became_of_its_request() -> None:
    async def send(number: int) -> Answer:
        return Answer(Outcome.PARTIAL, Reason.DEADLINE, 17, 24)

    (shot,) = run(fire(send, 1, Closed()))
    assert (shot.outcome, shot.reason, shot.depth, shot.candidates) == ("partial", "deadline", 17, 24)
