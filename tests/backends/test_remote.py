"""A server may be slow, gone, broken or a liar: the caller gets a valid answer in time, and a reason."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rerankd.backends.remote import RemoteScorer, _joined_url, load_remote
from rerankd.backends.remote_policy import RemotePolicy
from rerankd.core.breaker import BreakerPolicy
from rerankd.core.events import CircuitChanged
from rerankd.core.secret import Secret
from rerankd.core.types import Outcome, Pair, Reason, Scores, Text
from rerankd.engine.clock import SystemClock
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError
from rerankd.reranker import Reranker
from rerankd.testing import RecordingObserver
from tests.backends.remote_server import Behave, HangUp, Request, Server, reset, respond
from tests.backends.test_remote_dialects import DIALECTS, good

pytestmark = pytest.mark.threads

TEXTS = ["one", "two", "three"]
NOW = SystemClock().now


def texts_of(request: Request) -> list[str]:
    body = request.body
    rows = body.get("texts") or body.get("documents") or [each["text"] for each in body["candidates"]]
    return list(rows)


def dialect_of(request: Request) -> str:
    if "candidates" in request.body:
        return "rerankd"
    if "texts" in request.body:
        return "tei"
    return {"/v2/rerank": "cohere"}.get(request.path, "voyage" if "truncation" in request.body else "jina")


def by_length(request: Request, conn: socket.socket) -> None:
    """Scores by the texts' lengths, best first."""
    lengths = [len(text) / 1000 for text in texts_of(request)]
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    respond(conn, good(dialect_of(request), [lengths[at] for at in order], order))


@pytest.fixture
def serve() -> Iterator[Callable[[Behave], Server]]:
    servers: list[Server] = []

    def make(behave: Behave) -> Server:
        servers.append(Server(behave))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def scorer() -> Iterator[Callable[..., RemoteScorer]]:
    made: list[RemoteScorer] = []

    def make(server: Server | str, dialect: Any = "rerankd", **policy: Any) -> RemoteScorer:
        url = server if isinstance(server, str) else server.url
        made.append(
            RemoteScorer(RemotePolicy(url=url, dialect=dialect, model="m", **policy), clock=SystemClock())
        )
        return made[-1]

    yield make
    for each in made:
        each.close()
        each.close()


def pairs(texts: list[str] = TEXTS, query: str = "why") -> list[Pair]:
    return [Pair(Text(query), Text(text), len(text)) for text in texts]


Serve, Make = Callable[[Behave], Server], Callable[..., RemoteScorer]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_kind_of_server_scores_over_a_connection_that_is_kept(
    serve: Serve, scorer: Make, dialect: str
) -> None:
    server = serve(by_length)
    remote = scorer(server, dialect, key=Secret("canary"))
    for _ in range(3):
        assert remote.score(pairs(), StopSignal()) == [0.003, 0.003, 0.005]
    assert server.connections == 1
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer canary"}
    assert {request.headers["accept-encoding"] for request in server.requests} == {"identity"}


def test_the_server_is_told_what_is_left_less_a_reserve(serve: Serve, scorer: Make) -> None:
    server = serve(by_length)
    remote = scorer(server, reserve_ms=40)
    remote.score(pairs(), StopSignal(NOW() + 5.0))
    (request,) = server.requests
    assert 4_000 < request.body["budget_ms"] <= 4_960
    assert request.headers["x-request-timeout-ms"] == str(request.body["budget_ms"])
    remote.score(pairs(), StopSignal())
    assert server.requests[1].body["budget_ms"] is None
    assert "x-request-timeout-ms" not in server.requests[1].headers


def test_a_budget_that_the_way_there_would_eat_up_asks_nobody(serve: Serve, scorer: Make) -> None:
    server = serve(by_length)
    got = scorer(server, reserve_ms=10_000).score(pairs(), StopSignal(NOW() + 5.0))
    assert isinstance(got, Scores)
    assert got.reason is Reason.BUDGET_TOO_SMALL
    assert server.requests == []


def test_more_candidates_than_the_server_takes_go_in_several_requests(serve: Serve, scorer: Make) -> None:
    server = serve(by_length)
    many = ["x" * length for length in range(1, 8)]
    assert scorer(server, "tei", max_candidates=3).score(pairs(many), StopSignal()) == [
        pytest.approx(length / 1000) for length in range(1, 8)
    ]
    assert sorted(len(request.body["texts"]) for request in server.requests) == [1, 3, 3]


def test_only_the_beginning_of_long_texts_is_sent_and_only_what_every_server_accepts(
    serve: Serve, scorer: Make
) -> None:
    server = serve(by_length)
    scorer(server, max_tokens=16).score(pairs(["y" * 10_000, "lone \ud800 ä"], "q" * 10_000), StopSignal())
    body = server.requests[0].body
    assert len(body["query"]) == 128
    assert [each["text"] for each in body["candidates"]] == ["y" * 256, "lone ? ä"]


@pytest.mark.parametrize(
    ("base", "path", "url"),
    [
        ("http://h", "/v1/rerank", "http://h/v1/rerank"),
        ("http://h:81/", "/v1/rerank", "http://h:81/v1/rerank"),
        ("https://h/v1", "/v1/rerank", "https://h/v1/rerank"),
        ("https://h/v2/", "/v2/rerank", "https://h/v2/rerank"),
        ("https://h/v1", "/v2/rerank", "https://h/v1/v2/rerank"),
        ("https://h/tei", "/rerank", "https://h/tei/rerank"),
        ("https://h/my/own/rerank", "/v1/rerank", "https://h/my/own/rerank"),
        ("http://[::1]:8000", "/api/v1/rerank", "http://[::1]:8000/api/v1/rerank"),
    ],
)
def test_a_base_url_may_have_a_path_of_its_own(base: str, path: str, url: str) -> None:
    assert _joined_url(base, path) == url


def drop(request: Request, conn: socket.socket) -> None:
    raise HangUp


def cut(request: Request, conn: socket.socket) -> None:
    conn.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[")
    raise HangUp


def noise(request: Request, conn: socket.socket) -> None:
    conn.sendall(b"\x00\xff" * 100 + b"\r\n\r\n")
    raise HangUp


def elsewhere(request: Request, conn: socket.socket) -> None:
    respond(conn, {}, status=307, headers={"location": "http://canary.example/"})


def squeezed(request: Request, conn: socket.socket) -> None:
    respond(conn, b"x", headers={"content-encoding": "gzip"})


def endless_text(request: Request, conn: socket.socket) -> None:
    respond(conn, b" " * 200_000)


BROKEN = [drop, cut, noise, elsewhere, squeezed, endless_text, lambda _, conn: reset(conn)]


@pytest.mark.parametrize("behave", BROKEN, ids=lambda each: each.__name__)
def test_a_server_that_breaks_the_rules_is_an_error_that_quotes_nothing(
    serve: Serve, scorer: Make, behave: Behave
) -> None:
    remote = scorer(serve(behave), max_answer_bytes=100_000)
    with pytest.raises(BackendError) as raised:
        remote.score(pairs(["canary"]), StopSignal(NOW() + 20.0))
    assert "canary" not in str(raised.value)


def test_neither_texts_nor_the_key_follow_a_redirect_to_somebody_else(serve: Serve, scorer: Make) -> None:
    other = serve(by_length)
    to_other = {"location": f"{other.url}/api/v1/rerank"}
    server = serve(lambda _, conn: respond(conn, {}, status=307, headers=to_other))
    with pytest.raises(BackendError, match="307"):
        scorer(server, key=Secret("canary")).score(pairs(), StopSignal())
    assert other.requests == []


def test_a_server_that_is_not_there_is_an_error(scorer: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(BackendError, match="ConnectError"):
        scorer(f"http://127.0.0.1:{port}").score(pairs(), StopSignal())


def test_who_asks_too_often_leaves_the_server_alone_for_a_while(serve: Serve, scorer: Make) -> None:
    server = serve(lambda _, conn: respond(conn, {}, status=429, headers={"retry-after": "30"}))
    remote = scorer(server)
    for _ in range(3):
        got = remote.score(pairs(), StopSignal())
        assert isinstance(got, Scores)
        assert got.reason is Reason.RATE_LIMITED
    assert len(server.requests) == 1


def drip(server_leave: threading.Event) -> Behave:
    """Never ends its headers."""

    def behave(request: Request, conn: socket.socket) -> None:
        conn.sendall(b"HTTP/1.1 200 OK\r\n")
        while not server_leave.wait(0.01):
            conn.sendall(b"x: y\r\n")

    return behave


@pytest.mark.parametrize("how", ["silent", "drip"])
def test_a_run_ends_as_soon_as_nobody_waits_any_more(serve: Serve, scorer: Make, how: str) -> None:
    leave, asked = threading.Event(), threading.Event()
    slow = drip(leave) if how == "drip" else lambda *_: leave.wait(30)

    def behave(request: Request, conn: socket.socket) -> None:
        asked.set()
        slow(request, conn)

    remote, stop = scorer(serve(behave)), StopSignal(NOW() + 60.0)
    firing = threading.Thread(target=lambda: (asked.wait(10), stop.fire()))
    firing.start()
    with pytest.raises(BackendError, match="nobody waits"):
        remote.score(pairs(), stop)
    firing.join()
    leave.set()


def test_without_anybody_s_deadline_there_is_still_a_limit(serve: Serve, scorer: Make) -> None:
    leave = threading.Event()
    remote = scorer(serve(lambda *_: leave.wait(30)), timeout_ms=50)
    with pytest.raises(BackendError, match="in time"):
        remote.score(pairs(), StopSignal())
    leave.set()


def test_a_closed_scorer_answers_with_an_error_and_closing_ends_what_is_under_way(
    serve: Serve, scorer: Make
) -> None:
    leave, asked, errors = threading.Event(), threading.Event(), []

    def behave(*_: Any) -> None:
        asked.set()
        leave.wait(30)

    remote = scorer(serve(behave))

    def ask() -> None:
        try:
            remote.score(pairs(), StopSignal())
        except BackendError as error:
            errors.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    assert asked.wait(10)
    remote.close()
    asking.join(10)
    leave.set()
    assert len(errors) == 1
    with pytest.raises(BackendError, match="closed"):
        remote.score(pairs(), StopSignal())


def test_no_pairs_ask_nobody(scorer: Make) -> None:
    assert scorer("http://127.0.0.1:1").score([], StopSignal()) == []


# --- with everything around it --------------------------------------------------------------------------


@pytest.fixture
def reranker() -> Iterator[Callable[..., Reranker]]:
    made: list[Reranker] = []

    def make(server: Server, dialect: Any = "rerankd", **options: Any) -> Reranker:
        policy = RemotePolicy(url=server.url, dialect=dialect, model="m")
        made.append(
            Reranker(
                lambda: load_remote(policy, clock=SystemClock()), name=policy.name, **options
            ).__enter__()
        )
        return made[-1]

    yield make
    for each in made:
        each.close()


Open = Callable[..., Reranker]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_its_probabilities_are_the_scores_as_they_are(serve: Serve, reranker: Open, dialect: str) -> None:
    ranking = reranker(serve(by_length), dialect).rerank("why", TEXTS, budget_ms=5_000)
    assert (ranking.outcome, ranking.model) == (Outcome.RERANKED, "m")
    assert [(each.text, each.score) for each in ranking] == [("three", 0.005), ("one", 0.003), ("two", 0.003)]


@pytest.mark.parametrize("behave", BROKEN[:5], ids=lambda each: each.__name__)
def test_a_broken_server_costs_relevance_only_and_opens_the_circuit(
    serve: Serve, reranker: Open, behave: Behave
) -> None:
    observer = RecordingObserver()
    server = serve(behave)
    reranked = reranker(server, observers=[observer])
    reasons = [reranked.rerank("why", TEXTS, budget_ms=5_000).reason for _ in range(15)]
    assert reasons[:10] == [Reason.MODEL_ERROR] * 10
    assert reasons[-1] is Reason.CIRCUIT_OPEN
    assert [event.state for event in observer.of(CircuitChanged)] == ["open"]
    assert len(server.requests) == 10, "no retries, and none while the circuit is open"


def test_the_circuit_is_closed_again_by_callers_own_requests(serve: Serve, reranker: Open) -> None:
    server = serve(drop)
    reranked = reranker(server, breaker=BreakerPolicy(open_ms=50, open_max_ms=50))
    for _ in range(12):
        reranked.rerank("why", TEXTS, budget_ms=5_000)
    server.behave = by_length
    asked = len(server.requests)
    time.sleep(0.2)
    assert len(server.requests) == asked, "a remote scorer is never probed without a caller"
    outcomes = [reranked.rerank("why", TEXTS, budget_ms=5_000).outcome for _ in range(5)]
    assert outcomes == [Outcome.RERANKED] * 5
    assert reranked.status().circuit == "closed"


@pytest.mark.parametrize("how", ["silent", "drip"])
async def test_a_slow_server_makes_nobody_late_and_keeps_no_worker(
    serve: Serve, reranker: Open, how: str
) -> None:
    leave = threading.Event()
    server = serve(drip(leave) if how == "drip" else lambda *_: leave.wait(30))
    reranked = reranker(server)
    rankings = await asyncio.gather(*(reranked.arerank("why", TEXTS, budget_ms=100) for _ in range(8)))
    leave.set()
    assert {ranking.outcome for ranking in rankings} == {Outcome.SKIPPED}
    assert {ranking.reason for ranking in rankings} <= {Reason.DEADLINE, Reason.OVERLOADED}
    assert [each.text for each in rankings[0]] == TEXTS
    end = time.monotonic() + 10
    while reranked.status().busy and time.monotonic() < end:
        await asyncio.sleep(0.01)
    assert reranked.status().busy == 0
    assert reranked.status().hung == 0


def test_what_a_rerankd_left_out_is_left_out_and_its_reason_is_ours(serve: Serve, reranker: Open) -> None:
    rows = [{"id": "2", "score": 0.9, "scored": True}, {"id": "0", "score": 0.4, "scored": True}]
    body = {"outcome": "partial", "reason": "overloaded", "results": rows}
    ranking = reranker(serve(lambda _, conn: respond(conn, body))).rerank("why", TEXTS, budget_ms=5_000)
    assert (ranking.outcome, ranking.reason, ranking.depth) == (Outcome.PARTIAL, Reason.OVERLOADED, 2)
    assert [(each.text, each.score) for each in ranking] == [("three", 0.9), ("two", None), ("one", 0.4)]


def test_a_small_budget_after_a_large_one_still_asks_a_server_that_keeps_to_what_it_is_told(
    serve: Serve, reranker: Open
) -> None:
    def takes_all(request: Request, conn: socket.socket) -> None:
        time.sleep((request.body["budget_ms"] or 0) * 0.6 / 1000)
        by_length(request, conn)

    server = serve(takes_all)
    reranked = reranker(server)
    for budget in (400, 400, 400, 100, 60):
        assert reranked.rerank("why", TEXTS, budget_ms=budget).outcome is Outcome.RERANKED, budget
    assert len(server.requests) == 5
