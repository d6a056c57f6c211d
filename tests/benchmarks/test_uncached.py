"""No figure comes of work that was not done: whatever measures switches the caches off, also where they are on."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks import arrivals, cascade, figures, gate, quality_curve, quick, scheduling, service
from benchmarks.peers.contenders.ours import Ours

import rerankd
from rerankd.cli import main
from rerankd.core.cache import CachePolicy
from rerankd.doctor import examine as doctor
from rerankd.doctor.check import Profile
from rerankd.settings import Settings


class Seen(BaseException):
    """The settings that would be measured with: enough is seen."""


@pytest.fixture(autouse=True)
def on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RERANKD_CACHE_SCORES", "1000")
    assert Settings.load().cache.scores == 1000

    def opened(*_: Any, settings: Settings | None = None, **__: Any) -> Any:
        raise Seen(Settings.load() if settings is None else settings)

    monkeypatch.setattr(rerankd, "open", opened)
    monkeypatch.setattr(doctor, "build", lambda settings, **_: opened(settings=settings))
    monkeypatch.setattr(quick, "started", lambda program: "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A judged collection with one question."""
    (tmp_path / "qrels").mkdir()
    (tmp_path / "runs").mkdir()
    (tmp_path / "corpus.jsonl").write_text('{"_id": "d", "text": "green tea"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "tea"}\n')
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    (tmp_path / "runs" / "bm25.trec").write_text("q Q0 d 1 1.0 bm25\n")
    return tmp_path


@pytest.mark.parametrize(
    ("measures", "arguments"),
    [
        (lambda: main(sys.argv[1:]), ("bench", "--queries", "1")),
        (lambda: main(sys.argv[1:]), ("evaluate", "FOLDER")),
        (lambda: list(doctor.examine(Settings.load(), Profile.CPU)), ()),
        (gate.main, ("--quick",)),
        (quick.main, ("--json",)),
        (arrivals.main, ()),
        (figures.main, ("long-list",)),
        (quality_curve.main, ("FOLDER",)),
        (scheduling.main, ("--replay", "FOLDER")),
        (Ours, ()),
    ],
    ids=[
        "bench",
        "evaluate",
        "doctor",
        "gate",
        "quick",
        "arrivals",
        "long-list",
        "quality_curve",
        "scheduling",
        "peers",
    ],
)
def test_it_is_off_where_something_is_measured(
    measures: Callable[[], object], arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["it", *(each.replace("FOLDER", str(folder)) for each in arguments)])
    with pytest.raises(Seen) as seen:
        measures()
    assert seen.value.args[0].cache == CachePolicy()


@pytest.mark.parametrize("start", [lambda: service.serving("rerankd").__enter__(), service._overhead])
def test_it_is_off_in_the_service_that_is_measured(
    start: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: Any, env: dict[str, str], **__: Any) -> Any:
        raise Seen(Settings.load(env))

    monkeypatch.setattr(subprocess, "Popen", started)
    with pytest.raises(Seen) as seen:
        start()
    assert seen.value.args[0].cache == CachePolicy()


def test_it_is_off_in_the_process_whose_first_answer_is_timed() -> None:
    program = "from rerankd.settings import Settings; print(Settings.load().cache.scores)"
    assert figures.started(program) == "0\n"


def test_it_is_off_where_a_cascade_is_recorded(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    settings: list[Settings] = []

    def uncached(self: Settings) -> Settings:
        settings.append(self)
        raise Seen

    monkeypatch.setattr(Settings, "uncached", uncached)
    monkeypatch.setattr(sys, "argv", ["it", str(folder), "--small", "small"])
    with pytest.raises(Seen):
        cascade.main()
    assert len(settings) == 1
