"""Whatever happens to the process that scores, this one gets an answer or an error, and a new process."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rerankd.backends.isolated import IsolatedScorer, load_isolated
from rerankd.backends.isolation.policy import IsolationPolicy
from rerankd.core.cache import CachePolicy
from rerankd.core.events import CircuitChanged, ModelChanged, ScorerLost
from rerankd.core.ports import HealthChange, Model
from rerankd.core.types import Outcome, Pair, Reason, Text
from rerankd.engine.clock import SystemClock
from rerankd.engine.stop import StopSignal
from rerankd.errors import BackendError, ConfigError, OutOfMemory
from rerankd.reranker import Reranker
from rerankd.testing import RecordingObserver
from tests.backends.isolation.models import HERE

pytestmark = pytest.mark.threads

QUICK = IsolationPolicy(tick_ms=20, stop_grace_ms=100, encode_ms=300, restart_ms=10, restart_max_ms=50)


def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


def pair(text: str) -> Pair:
    return Pair(Text("blue sky"), Text(text), 4)


class Isolated:
    """An isolated model, and what was told of its health."""

    def __init__(self, loader: str, policy: IsolationPolicy = QUICK, **spec: Any) -> None:
        self.model: Model = load_isolated(HERE + loader, spec, clock=SystemClock(), policy=policy)
        assert isinstance(self.model.scorer, IsolatedScorer)
        self.supervisor = self.model.scorer.supervisor
        self.changes: list[HealthChange] = []
        self.supervisor.watch(self.changes.append)

    def score(self, text: str, stop: StopSignal | None = None) -> list[float]:
        return list(self.model.scorer.score([pair(text)], stop or StopSignal()))

    def lost_and_back(self) -> list[str | None]:
        """Wait for the replacement; what had become of the processes before it."""
        until(lambda: self.changes and self.changes[-1].state == "ready")
        return [change.cause for change in self.changes if change.cause is not None]


@pytest.fixture
def isolated() -> Iterator[Callable[..., Isolated]]:
    made: list[Isolated] = []

    def make(loader: str = "plain", policy: IsolationPolicy = QUICK, **spec: Any) -> Isolated:
        made.append(Isolated(loader, policy, **spec))
        return made[-1]

    yield make
    for each in made:
        pid = each.supervisor.pid
        each.model.scorer.close()
        assert pid is None or not alive(pid)


def alive(pid: int) -> bool:
    """Whether there is such a process; a zombie is one."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


Make = Callable[..., Isolated]


def test_it_scores_and_encodes_over_there_as_the_model_would_here(isolated: Make) -> None:
    assert isolated().score("the sky is blue") == [2.0]
    model = isolated("encoding").model
    assert model.tokenizer is not None
    query, texts = Text("why blue"), [Text("the sky"), Text("a longer text about the sky")]
    encoded = model.tokenizer.encode(query, texts, max_tokens=64)
    assert [[each.tokens for each in pairs] for pairs in encoded] == [[4], [8]]
    assert [pairs[0].text for pairs in encoded] == texts
    both = [pairs[0] for pairs in encoded]
    assert model.scorer.score(both, StopSignal()) == [4.0, 8.0]
    assert model.scorer.traits.interruptible
    chunked = model.tokenizer.encode(query, [Text("word " * 100)], max_tokens=32, max_chunks=3)
    assert [each.tokens for each in chunked[0]] == [32, 32, 32]


def test_it_runs_elsewhere_steps_back_and_is_the_first_to_go_when_memory_runs_out(isolated: Make) -> None:
    model = isolated(policy=IsolationPolicy(nice=7))
    assert model.score("pid") == [float(model.supervisor.pid or 0)]
    assert model.supervisor.pid != os.getpid()
    assert model.score("nice") == [float(min(19, os.nice(0) + 7))]
    if sys.platform == "linux":
        assert model.score("oom") == [500.0]


def test_what_the_scorer_raises_is_raised_here_without_its_text(isolated: Make) -> None:
    model = isolated()
    with pytest.raises(BackendError, match=r"^ValueError$"):
        model.score("raise canary")
    with pytest.raises(OutOfMemory):
        model.score("memory")
    assert model.score("short") == []
    assert model.score("the sky is blue") == [2.0]
    assert model.changes == []


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGSEGV])
def test_a_killed_process_is_replaced_and_whoever_waited_hears_at_once(isolated: Make, ends: int) -> None:
    model = isolated()
    pid = model.supervisor.pid
    assert pid is not None
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            model.score("wait")
        except BackendError as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: model.supervisor._process and model.supervisor._process.busy())
    os.kill(pid, ends)
    waiting.join(10)
    assert [str(error) for error in errors] == ["the scorer's process has ended"]
    assert model.lost_and_back() == ["died"]
    assert model.changes[0].error == f"the scorer's process ended (signal {ends})"
    assert model.supervisor.pid not in (None, pid)
    assert model.score("the sky is blue") == [2.0]
    assert not alive(pid), "a zombie"


def test_a_process_that_ends_by_itself_is_replaced(isolated: Make) -> None:
    model = isolated()
    with pytest.raises(BackendError, match="has ended"):
        model.score("die")
    assert model.lost_and_back() == ["died"]
    assert model.score("the sky is blue") == [2.0]


def test_a_stopped_process_is_found_while_nobody_asks_it(isolated: Make) -> None:
    model = isolated()
    pid = model.supervisor.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert model.lost_and_back() == ["stopped"]
    assert model.score("the sky is blue") == [2.0]
    assert not alive(pid)


@pytest.mark.parametrize("how", ["hang", "lock"])
def test_a_run_that_ignores_its_stop_costs_the_process_its_life(isolated: Make, how: str) -> None:
    model, stop = isolated(), StopSignal()
    pid = model.supervisor.pid
    timer = threading.Timer(0.05, stop.fire)
    timer.start()
    with pytest.raises(BackendError, match="has ended"):
        model.score(how, stop)
    assert model.lost_and_back() == ["hung"]
    assert model.supervisor.pid != pid
    assert model.score("the sky is blue") == [2.0]


def test_a_run_that_is_stopped_ends_and_its_process_lives_on(isolated: Make) -> None:
    model = isolated()
    for _ in range(5):
        stop = StopSignal()
        timer = threading.Timer(0.02, stop.fire)
        timer.start()
        with pytest.raises(BackendError, match="RuntimeError"):
            model.score("wait", stop)
    already = StopSignal()
    already.fire()
    with pytest.raises(BackendError, match="RuntimeError"):
        model.score("wait", already)
    assert model.changes == []


def test_a_tokenizer_that_hangs_is_replaced_although_nothing_can_stop_it(isolated: Make) -> None:
    model = isolated("encoding")
    assert model.model.tokenizer is not None
    with pytest.raises(BackendError, match="has ended"):
        model.model.tokenizer.encode(Text("q"), [Text("hang")], max_tokens=64)
    assert model.lost_and_back() == ["hung"]


def test_while_it_is_replaced_every_question_is_refused_at_once(isolated: Make, tmp_path: Path) -> None:
    model = isolated("changing", file=str(tmp_path / "count"), second="fails")
    os.kill(model.supervisor.pid or 0, signal.SIGKILL)
    until(lambda: model.supervisor.pid is None or model.changes)
    refused = 0
    while model.supervisor.state != "ready":
        try:
            model.score("the sky is blue")
        except BackendError:
            refused += 1
    assert refused
    assert model.score("the sky is blue") == [2.0]
    # the second could not be loaded, and the third could
    assert [change.state for change in model.changes] == ["loading", "unavailable", "ready"]
    assert model.changes[1].error == "model.onnx: is missing"


def test_another_model_in_the_same_place_is_not_taken_for_the_first(isolated: Make, tmp_path: Path) -> None:
    model = isolated("changing", file=str(tmp_path / "count"), second="differs")
    os.kill(model.supervisor.pid or 0, signal.SIGKILL)
    until(lambda: model.supervisor.state == "unavailable")
    until(lambda: len(model.changes) > 1)
    assert "another model" in (model.changes[1].error or "")
    assert model.model.scorer.traits.model == "fake-1"


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("config", ConfigError, "DEVICE: wrong"),
        ("backend", BackendError, "is missing"),
        ("other", BackendError, "odd"),
    ],
)
def test_a_model_that_cannot_be_loaded_raises_here_what_it_raised_there(
    how: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        load_isolated(HERE + "broken", {"how": how}, clock=SystemClock(), policy=QUICK)


def test_a_process_that_ends_or_takes_too_long_while_loading_is_an_error() -> None:
    with pytest.raises(BackendError, match="ended while loading"):
        load_isolated(HERE + "dying", {}, clock=SystemClock(), policy=QUICK)
    hasty = IsolationPolicy(tick_ms=20, load_ms=60)
    with pytest.raises(BackendError, match="too long to load"):
        load_isolated(HERE + "endless", {}, clock=SystemClock(), policy=hasty)


def test_lines_of_our_own_loggers_are_repeated_here_and_no_others(
    isolated: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "rerankd"):
        isolated(name="other")
    assert ("rerankd.fake", logging.WARNING, "loaded as other") in caplog.record_tuples
    assert "somebody else" not in caplog.text


def test_neither_an_interrupt_nor_a_request_to_end_is_meant_for_it(isolated: Make) -> None:
    model = isolated()
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(model.supervisor.pid or 0, number)
    assert model.score("the sky is blue") == [2.0]
    assert os.getpgid(model.supervisor.pid or 0) != os.getpgid(0), "Ctrl-C goes to the whole group"
    assert os.getsid(model.supervisor.pid or 0) == os.getsid(0), "a session of its own is weighed by itself"


PARENT = """
    import os, sys, time
    from rerankd.backends.isolated import load_isolated
    from rerankd.engine.clock import SystemClock
    model = load_isolated("tests.backends.isolation.models:plain", {}, clock=SystemClock())
    print(model.scorer.supervisor.pid, flush=True)
    if sys.argv[1] == "fork":
        if os.fork() == 0:
            time.sleep(60)  # holds whatever it has inherited
        time.sleep(60)
    if sys.argv[1] == "sleep":
        time.sleep(60)
    if sys.argv[1] == "raise":
        raise SystemExit(3)
"""


@pytest.mark.parametrize("how", ["sleep", "fork", "raise"])
def test_when_the_parent_is_gone_however_so_is_the_process(repository: Path, how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), how],
        stdout=subprocess.PIPE,
        cwd=repository,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(repository), str(repository / "src")])},
        start_new_session=True,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    try:
        if how != "raise":
            assert alive(pid)
            parent.kill()
        parent.wait(20)
        until(lambda: not alive(pid))
    finally:
        parent.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_lets_go_of_the_process_and_the_parent_keeps_it(isolated: Make) -> None:
    model = isolated()
    assert model.score("the sky is blue") == [2.0]
    child = os.fork()
    if child == 0:
        try:
            closed = model.supervisor.pid is None
            os._exit(0 if closed else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert model.score("the sky is blue") == [2.0]


# --- with everything around it --------------------------------------------------------------------------


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
def reranker(observer: RecordingObserver) -> Iterator[Reranker]:
    made = Reranker(
        lambda: load_isolated(HERE + "plain", {}, clock=SystemClock(), policy=QUICK),
        name="fake",
        observers=[observer],
    )
    with made:
        yield made


def test_scores_are_kept_here_until_the_process_is_replaced(observer: RecordingObserver) -> None:
    """A new process may run in another form, or on another device."""
    with Reranker(
        lambda: load_isolated(HERE + "plain", {"digest": "d"}, clock=SystemClock(), policy=QUICK),
        name="fake",
        cache=CachePolicy(scores=10),
        observers=[observer],
    ) as reranker:
        hits = []
        for lost in (False, False, True, False):
            if lost:
                os.kill(health(reranker).pid, signal.SIGKILL)
                until(lambda: observer.of(ScorerLost) and reranker.status().model_state == "ready")
            ranking = reranker.rerank("sky", ["the sky is blue", "a sea"], tenant="t", budget_ms=None)
            assert ranking.outcome is Outcome.RERANKED
            kept = reranker.status().cache
            assert kept is not None
            hits.append(kept.hits)
    assert hits == [0, 2, 2, 4]


def health(reranker: Reranker) -> Any:
    assert reranker._engine.model is not None
    return reranker._engine.model.health


@pytest.mark.parametrize("word", ["die", "hang", "lock"])
def test_callers_are_answered_in_time_whatever_happens_and_reranked_again_afterwards(
    reranker: Reranker, observer: RecordingObserver, word: str
) -> None:
    assert reranker.rerank("blue sky", ["a", "the sky is blue"], budget_ms=None).outcome is Outcome.RERANKED
    seen = set()
    began = time.monotonic()
    worst = reranker.rerank("blue sky", [word, "b", "c"], budget_ms=100)
    while time.monotonic() < began + 20:
        ranking = reranker.rerank("blue sky", ["a", "the sky is blue"], budget_ms=100)
        seen.add(ranking.reason)
        if ranking.outcome is Outcome.RERANKED and observer.of(ScorerLost):
            break
    assert worst.outcome is not Outcome.RERANKED
    assert len(worst) == 3
    assert ranking.outcome is Outcome.RERANKED
    assert Reason.MODEL_LOADING in seen
    assert [event.cause for event in observer.of(ScorerLost)] == ["died" if word == "die" else "hung"]
    states = [event.state for event in observer.of(ModelChanged)]
    assert states[0] == "ready"
    assert states[-2:] == ["loading", "ready"]
    assert reranker.status().hung == 0


def test_the_circuit_of_a_new_process_is_closed(reranker: Reranker, observer: RecordingObserver) -> None:
    for _ in range(12):
        reranker.rerank("blue sky", ["raise"], budget_ms=200)
    assert reranker.status().circuit == "open"
    os.kill(health(reranker).pid, signal.SIGKILL)
    until(lambda: observer.of(ScorerLost) and reranker.status().model_state == "ready")
    assert reranker.status().circuit == "closed"
    assert observer.of(CircuitChanged)[-1].state == "closed"
    assert reranker.rerank("blue sky", ["a"], budget_ms=1_000).outcome is Outcome.RERANKED


def test_a_process_whose_device_was_lost_is_replaced(reranker: Reranker, observer: RecordingObserver) -> None:
    """CUDA is of no more use in a process in which it failed once."""
    before = health(reranker).pid
    reranker.rerank("blue sky", ["lost"], budget_ms=1_000)
    until(lambda: reranker.status().model_state == "ready" and health(reranker).pid not in (None, before))
    assert reranker.rerank("blue sky", ["a"], budget_ms=1_000).outcome is Outcome.RERANKED
    states = [(event.state, event.error) for event in observer.of(ModelChanged)]
    assert ("loading", "CUDA error: unspecified launch failure") in states
    until(lambda: not alive(before))


def test_its_status_says_why_it_is_not_there(reranker: Reranker, observer: RecordingObserver) -> None:
    os.kill(health(reranker).pid, signal.SIGKILL)
    until(lambda: observer.of(ScorerLost))
    status = reranker.status()
    if status.model_state == "loading":  # it may be back already
        assert status.error == "the scorer's process ended (signal 9)"
        assert not status.enabled
    until(lambda: reranker.status().model_state == "ready")
    assert reranker.status().error is None


@pytest.mark.model
def test_the_real_model_gives_the_very_same_scores_over_there(embedded: Path, tmp_path: Path) -> None:
    from rerankd import wiring
    from rerankd.models.policy import ModelPolicy

    policy = ModelPolicy(device="cpu", download=False)
    here = wiring.load_model(policy, tmp_path)
    spec = {"model": {"device": "cpu", "download": False}, "data_dir": str(tmp_path)}
    there = load_isolated("rerankd.wiring:load_for_isolation", spec, clock=SystemClock())
    try:
        assert there.scorer.traits == here.scorer.traits
        assert there.digest == here.digest != ""
        query, texts = Text("why is the sky blue"), [Text("It scatters light."), Text("Bananas ripen. " * 60)]
        scores = []
        for model in (here, there):
            assert model.tokenizer is not None
            rows = model.tokenizer.encode(query, texts, max_tokens=model.max_tokens)
            scores.append([list(model.scorer.score(each, StopSignal())) for each in rows])
        assert scores[0] == scores[1]
    finally:
        there.scorer.close()
        here.scorer.close()
