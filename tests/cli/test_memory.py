"""`rerankd memory` does what the memory does, prints what scripts rely on, and names what is wrong in one line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import rerankd.wiring
from rerankd.core.ports import Observer
from rerankd.errors import SealError, StoreError
from rerankd.memory.memory import Memory
from rerankd.memory.testing import FakeEmbedder, InMemoryEpochs, InMemoryStore, fake_memory
from rerankd.reranker import Reranker
from rerankd.settings import Settings
from rerankd.testing import fake_reranker

from .conftest import Run

pytestmark = pytest.mark.threads

TEXTS = b"I moved to Lisbon\n\nmy dog is called Bruno\nthe rent in Lisbon is high\n"


class World:
    """What the commands find: one database for all of them."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.keys, self.peppers = InMemoryEpochs("key"), InMemoryEpochs("pepper")
        self.embedder = FakeEmbedder()
        self.rerankers: list[Reranker | None] = []

    def build(
        self, settings: Settings, reranker: Reranker | None = None, *, observers: Sequence[Observer] = ()
    ) -> Memory:
        self.rerankers.append(reranker)
        return fake_memory(
            self.store,
            keys=self.keys,
            peppers=self.peppers,
            embedder=self.embedder,
            reranker=reranker or fake_reranker(),
            owns_reranker=reranker is None,
            tenant=settings.store.tenant,
            vectors=settings.store.vectors,
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(rerankd.wiring, "build_memory", made.build)
    return made


@pytest.mark.usefixtures("world")
def test_what_was_added_is_found_counted_and_exported(run: Run) -> None:
    added = run("memory", "add", "--user", "ada", "-", stdin=TEXTS)
    assert (added.status, added.out, added.err) == (0, "3 memories added\n", "")
    assert run("memory", "count", "--user", "ada").out == "3\n"
    found = run("memory", "query", "--user", "ada", "Lisbon rent", "--budget-ms", "none")
    assert found.status == 0
    lines = [line.split() for line in found.out.splitlines()]
    assert lines[0] == ["Lisbon", "rent"]
    assert (lines[2][:2], lines[2][-6:]) == (["1", "1"], ["the", "rent", "in", "Lisbon", "is", "high"])
    assert "reranked · 3 of 3 scored" in found.out
    exported = [json.loads(line) for line in run("memory", "export", "--user", "ada").out.splitlines()]
    assert [row["text"] for row in exported] == [line for line in TEXTS.decode().splitlines() if line]
    assert set(exported[0]) == {"id", "text", "metadata", "created_at"}


@pytest.mark.usefixtures("world")
def test_json_has_the_shape_that_scripts_rely_on(run: Run) -> None:
    row = {"text": "the rent", "metadata": {"kind": "chat"}, "created_at": "2026-05-01T12:00:00Z"}
    added = run("memory", "add", "--user", "ada", "-", "--json", stdin=json.dumps(row).encode())
    answer = run("memory", "query", "--user", "ada", "rent", "--json", "--budget-ms", "none").json
    timings = answer.pop("timings_ms")
    assert set(timings) == {"embed", "store", "rank", "open", "rerank", "total"}
    assert answer == {
        "outcome": "reranked",
        "reason": None,
        "depth": 1,
        "candidates": 1,
        "dropped": 0,
        "model": "fake",
        "results": [
            {
                "id": added.json["ids"][0],
                "text": "the rent",
                "metadata": {"kind": "chat"},
                "score": pytest.approx(0.731, abs=1e-3),
                "retrieval_score": pytest.approx(0.707, abs=1e-3),
                "retrieval_rank": 1,
                "created_at": "2026-05-01T12:00:00+00:00",
            }
        ],
    }


@pytest.mark.usefixtures("world")
def test_another_user_or_tenant_finds_nothing(run: Run) -> None:
    run("memory", "--tenant", "acme", "add", "--user", "ada", "-", stdin=TEXTS)
    assert run("memory", "--tenant", "acme", "count", "--user", "ada").out == "3\n"
    assert run("memory", "count", "--user", "ada").out == "0\n"
    assert (
        run("memory", "--tenant", "acme", "query", "--user", "bob", "Lisbon", "--json").json["results"] == []
    )


def test_only_a_question_loads_a_reranker(run: Run, world: World) -> None:
    run("memory", "add", "--user", "ada", "-", stdin=TEXTS)
    run("memory", "query", "--user", "ada", "Lisbon")
    handed, own = world.rerankers
    assert handed is not None
    assert handed.status().workers == 0
    assert own is None


def test_deleting_erasing_and_rotating(run: Run, world: World) -> None:
    ids = run("memory", "add", "--user", "ada", "-", "--json", stdin=TEXTS).json["ids"]
    assert run("memory", "delete", "--user", "ada", ids[0]).out == "1 memories deleted\n"
    unsure = run("memory", "erase", "--user", "ada")
    assert (unsure.status, unsure.out) == (2, "")
    assert "--yes" in unsure.err
    erased = run("memory", "erase", "--user", "ada", "--yes")
    assert erased.out.startswith("2 memories erased\nNot final yet: ")
    assert "rerankd memory rotate" in erased.out
    again = run("memory", "erase", "--user", "ada", "--yes")
    assert (again.status, again.out) == (0, "")
    assert "no such user" in again.err
    run("memory", "add", "--user", "bob", "-", stdin=TEXTS)
    first = next(iter(world.keys.all()))
    rotated = run("memory", "rotate")
    assert f"key {first} -> " in rotated.out
    assert f"1 users moved\nDestroyed: {first}\n" in rotated.out
    assert "pepper" in run("memory", "rotate", "--pepper").out
    assert run("memory", "count", "--user", "bob").out == "3\n"


def test_checking_names_what_is_left_to_do(run: Run, world: World) -> None:
    run("memory", "add", "--user", "ada", "-", stdin=TEXTS)
    assert "users: 1\n" in run("memory", "check").out
    world.embedder.id = "newer"
    told = run("memory", "--vectors", "sealed", "check")
    assert told.status == 0
    assert told.out.count("rerankd memory reembed") == 2
    assert run("memory", "--vectors", "sealed", "reembed").out == "3 memories of 1 users embedded anew\n"
    done = run("memory", "--vectors", "sealed", "check", "--json").json
    assert (done["remarks"], done["census"]["vectors"]) == ([], {"sealed": 1})


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (b"", "holds no text"),
        (b'{"text": 5}', "line 1"),
        (b'{"text": "a"}\n{"text": "a", "metadata": 5}', "line 2: metadata must be a JSON object"),
        (b'{"text": "a", "created_at": "yesterday"}', "ISO 8601 with a time zone"),
        (b'{"text": "a", "created_at": "2026-05-01T12:00:00"}', "ISO 8601 with a time zone"),
        (b'{"text": "a"', "is not valid JSON"),
        (b'{"text": " "}', r"texts[0]"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_added(
    run: Run, world: World, lines: bytes, problem: str
) -> None:
    done = run("memory", "add", "--user", "ada", "-", stdin=lines)
    assert done.status == 2
    assert problem in done.err
    assert len(done.err.splitlines()) == 1
    assert world.store.records() == {}


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("query", "--user", "", "x"), "user_id"),
        (("query", "--user", "ada", " "), "query"),
        (("--vectors", "other", "count", "--user", "ada"), "store.vectors"),
        (("delete", "--user", "ada", "nonsense"), "ids[0]"),
        (("add", "--user", "ada", "no-such-file"), "there is no file"),
        (("count",), "--user"),
    ],
)
def test_wrong_use_is_named_in_a_line(run: Run, arguments: tuple[str, ...], problem: str) -> None:
    done = run("memory", *arguments)
    assert (done.status, done.out) == (2, "")
    assert problem in done.err


@pytest.mark.parametrize("error", [StoreError("no connection"), SealError("a key is missing")])
def test_what_cannot_be_done_ends_with_status_1_and_its_reason(run: Run, world: World, error: Any) -> None:
    world.store.fails = error
    done = run("memory", "query", "--user", "ada", "Lisbon")
    assert (done.status, done.out, done.err) == (1, "", f"rerankd: {error}\n")


def test_migrating_needs_the_owner_where_the_database_is_given(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@localhost/none")
    done = run("memory", "migrate")
    assert done.status == 2
    assert "RERANKD_STORE_OWNER_URL" in done.err


def test_a_file_may_be_named(run: Run, world: World, tmp_path: Path) -> None:
    (tmp_path / "texts").write_bytes(TEXTS)
    assert run("memory", "add", "--user", "ada", tmp_path / "texts").out == "3 memories added\n"
    assert len(world.store.records()) == 1
