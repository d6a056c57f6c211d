"""`rerankd batch` from a file to a folder, and what it says where it cannot."""

from pathlib import Path

import pytest

from rerankd import wiring
from rerankd.cli.pace import Pace
from rerankd.testing import FakeClock
from tests.bulk.files import bad, jsonl, model, rows, written
from tests.cli.conftest import Run

COLUMNS = ("--query-column", "question", "--candidates-column", "passages")


@pytest.fixture(autouse=True)
def fake_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "load_model", lambda *_: model())


def test_it_scores_a_file_and_says_what_it_did(run: Run, tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", [*rows(8), {"question": "", "passages": []}])
    done = run("batch", source, tmp_path / "out", *COLUMNS, "--shard-rows", 4, "--top-k", 2)
    assert (done.status, done.out) == (0, "8 rows, 40 pairs, in 3 files\n")
    assert f"1 rows could not be scored: {tmp_path}/out/_bad says which, and why" in done.err
    assert len(written(tmp_path / "out")) == 8
    assert bad(tmp_path / "out")[0]["reason"] == "query: must not be empty or only white space"


def test_as_json_it_gives_the_sums(run: Run, tmp_path: Path) -> None:
    done = run("batch", jsonl(tmp_path / "in.jsonl", rows(8)), tmp_path / "out", *COLUMNS, "--json")
    assert done.json == {"shards": 1, "rows": 8, "good": 8, "bad": 0, "pairs": 40}


def test_wrong_use_is_refused_before_a_model_is_loaded(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "load_model", None)
    source = jsonl(tmp_path / "in.jsonl", rows(2))
    for arguments, words in (
        ((tmp_path / "gone.jsonl", tmp_path / "out", *COLUMNS), "there is no such file"),
        ((source, tmp_path / "out", *COLUMNS[:2], "--candidates-column", "texts"), "there is no texts"),
        ((source, tmp_path / "out", *COLUMNS, "--long-text", "fit"), "must be truncate or chunk"),
        ((source, source, *COLUMNS), "is a file"),
        ((source, tmp_path / "out", *COLUMNS[:2], "--candidates-column", "question"), "cannot both be"),
    ):
        done = run("batch", *arguments)
        assert done.status == 2, done.err
        assert words in done.err
    assert not (tmp_path / "out").exists()


def test_a_server_s_model_is_none_for_bulk_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RERANKD_REMOTE_URL", "http://127.0.0.1:1")
    done = run("batch", jsonl(tmp_path / "in.jsonl", rows(2)), tmp_path / "out", *COLUMNS)
    assert done.status == 2
    assert "RERANKD_REMOTE_URL" in done.err


def test_the_pace_leaves_out_what_was_done_before() -> None:
    from rerankd.bulk.shard import Receipt

    clock = FakeClock()
    pace = Pace(1_000, clock)
    pace.done(Receipt(rows=500, good=500, bad=0, pairs=10_000), True)
    assert pace.words() == "..."
    clock.advance(10.0)
    pace.done(Receipt(rows=100, good=90, bad=10, pairs=2_400), False)
    assert (pace.rows, pace.words()) == (600, "240 pairs a second, 0:00:40 left")


def test_a_file_without_one_good_row_is_a_failure(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text('{"question": " ", "passages": ["a"]}\n')
    done = run("batch", source, tmp_path / "out", *COLUMNS)
    assert done.status == 1
    assert "not one row could be scored" in done.err
