"""`rerankd demo`: what it shows is what happened."""

import re
from pathlib import Path

import pytest

import rerankd.wiring
from rerankd.core.ports import Model
from rerankd.errors import BackendError
from rerankd.testing import FakeScorer

from .conftest import Run


@pytest.fixture
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        rerankd.wiring,
        "load_model",
        lambda *_: Model(scorer=FakeScorer(interruptible=True), tokenizer=None, max_tokens=512),
    )


@pytest.mark.threads
@pytest.mark.usefixtures("fake_model")
def test_it_shows_a_table_a_summary_and_what_happens_when_things_go_wrong(run: Run) -> None:
    done = run("demo", "--budget-ms", 80)
    assert done.status == 0, done.err
    assert "lost my phone and now I can't get past the six digit code" in done.out
    assert "answers the query: place 10 before" in done.out
    assert re.search(r"This first answer was there \d+\.\d s after the command began", done.out)
    before, memory = done.out.split("A private memory")
    answered = re.compile(r" (?:reranked|partial|skipped) +\d+/24 +\d+$", re.MULTILINE)
    assert len(answered.findall(before)) == 16
    assert "nDCG@10 0.39 before, " in done.out
    assert "skipped/disabled" in done.out
    slow = done.out[done.out.index("Model made slow") :]
    assert "skipped/deadline" in slow
    assert "skipped/circuit_open" in slow
    assert re.search(r"\d s after it was fast again\n  reranked", slow)
    assert re.search(
        r"^176 turns of 4 people over 8 months, embedded, sealed and stored in", memory, re.MULTILINE
    )
    assert len(answered.findall(memory)) == 10
    assert memory.count(": 0 of jonas's memories\n") == 3
    assert "a jonas of another tenant: 0 memories" in memory
    assert "with no user set: 0\n" in memory
    assert re.search(r"10 of 10 questions:\s+the same\s+memories\s+in\s+the\s+same\s+order", memory)
    assert "\x1b" not in done.out + done.err


@pytest.mark.threads
@pytest.mark.usefixtures("fake_model")
def test_what_the_memory_lacks_is_said_and_nothing_else_fails(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise BackendError("the memory needs more: pip install it")

    monkeypatch.setattr(rerankd.wiring, "build_memory", lacking)
    done = run("demo", "--budget-ms", 80)
    assert done.status == 0
    assert "Left out: the memory needs more: pip install it" in done.out


@pytest.mark.usefixtures("fake_model")
def test_the_picture_refers_to_nothing_on_the_web(run: Run, tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    assert run("demo", "--picture", picture).status == 0
    svg = picture.read_text()
    assert svg.startswith("<svg")
    assert "six&#160;digit&#160;code" in svg
    assert not re.search(r"url\(|@font-face|@import", re.sub(r"url\(#[\w-]+\)", "", svg))


def test_it_wants_a_budget(run: Run) -> None:
    done = run("demo", "--budget-ms", "none")
    assert done.status == 2
    assert "budget" in done.err


def test_without_a_model_it_says_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> Model:
        raise BackendError("no model: pip install it")

    monkeypatch.setattr(rerankd.wiring, "load_model", load)
    done = run("demo")
    assert done.status == 1
    assert "no model: pip install it" in done.err


@pytest.mark.usefixtures("fake_model")
def test_it_works_whatever_the_host_s_flag_says(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The demo has a flag of its own, and leaves the host's alone."""
    file = tmp_path / "flag.json"
    file.write_text('{"mode": "off"}')
    monkeypatch.setenv("RERANKD_FLAG_FILE", str(file))
    monkeypatch.setenv("RERANK_ENABLED", "false")
    picture = tmp_path / "demo.svg"
    assert "reranked" in run("demo", "--picture", picture).out
    assert file.read_text() == '{"mode": "off"}'


@pytest.mark.model
def test_with_the_embedded_model_the_answers_move_up(run: Run, tmp_path: Path) -> None:
    done = run("demo", "--budget-ms", "5000", "--picture", tmp_path / "demo.svg")
    assert "reranked, 24 of 24 scored" in done.out
    assert "place&#160;10&#160;before,&#160;1&#160;now" in (tmp_path / "demo.svg").read_text()
