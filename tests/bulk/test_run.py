"""A job writes every row once, scored or with a reason; goes on where it was ended; keeps off others' folders."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from rerankd.bulk import shard
from rerankd.bulk.job import Job
from rerankd.bulk.plan import plan
from rerankd.core.ranking import order
from rerankd.core.types import Pair
from rerankd.errors import BackendError, ConfigError, InvalidRequest, RerankdError
from rerankd.testing import word_overlap
from tests.bulk.files import bad, bytes_of, done, job, jsonl, model, parquet, rows, written

Write = Callable[..., Path]
FORMATS = pytest.mark.parametrize(("write", "name"), [(jsonl, "in.jsonl"), (parquet, "in.parquet")])


@FORMATS
def test_rows_keep_their_columns_and_order_and_gain_scores_an_order_and_the_model(
    tmp_path: Path, write: Write, name: str
) -> None:
    given = rows(23)
    summary = done(job(write(tmp_path / name, given), tmp_path / "out"))
    found = written(tmp_path / "out")
    assert (summary.rows, summary.good, summary.bad, summary.pairs, summary.shards) == (23, 23, 0, 115, 4)
    assert [{key: row[key] for key in given[0]} for row in found] == given
    for row in found:
        logits = [word_overlap(Pair(row["question"], text, 1)) for text in row["passages"]]
        assert row["rerank_logits"] == logits
        assert row["rerank_order"] == order(logits)
        assert (row["rerank_model"], row["rerank_digest"]) == ("fake", "d1")


@FORMATS
def test_threads_windows_and_row_groups_change_no_byte_of_the_scores(
    tmp_path: Path, write: Write, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / name, rows(40))
    done(job(source, tmp_path / "one"), threads=1)
    done(job(source, tmp_path / "four"), threads=4)
    monkeypatch.setattr(shard, "WINDOW_ROWS", 3)
    done(job(source, tmp_path / "windows"), threads=2)
    first = bytes_of(tmp_path / "one")
    assert first == bytes_of(tmp_path / "four")
    assert written(tmp_path / "one") == written(tmp_path / "windows")


def test_shards_may_begin_anywhere_in_row_groups(tmp_path: Path) -> None:
    given = rows(50)
    for group in (1, 5, 7, 11, 50):
        done(job(parquet(tmp_path / f"{group}.parquet", given, group=group), tmp_path / f"out{group}"))
        assert [row["id"] for row in written(tmp_path / f"out{group}")] == list(range(50))


@FORMATS
def test_a_job_that_was_ended_goes_on_where_it_was_and_comes_to_the_same(
    tmp_path: Path, write: Write, name: str
) -> None:
    source = write(tmp_path / name, rows(40))
    done(job(source, tmp_path / "whole"))
    seen = 0

    def ends(receipt: Any, earlier: bool) -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        done(job(source, tmp_path / "ended"), told=ends)
    left = model()
    earlier: list[bool] = []
    summary = done(job(source, tmp_path / "ended"), left, told=lambda receipt, before: earlier.append(before))
    assert earlier == [True, True, True, False, False, False]
    assert sum(map(len, left.scorer.runs)) == 5 * (40 - 21)  # type: ignore[attr-defined]
    assert summary.rows == 40
    assert bytes_of(tmp_path / "ended") == bytes_of(tmp_path / "whole")


def test_a_shard_that_was_ended_half_way_leaves_no_file_in_its_place(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows(10))
    ended = model()
    whole = ended.scorer.score
    calls = iter(range(100))

    def score(pairs: Any, stop: Any) -> Any:
        if next(calls) >= 40:
            raise SystemExit  # as a signal would
        return whole(pairs, stop)

    ended.scorer.score = score  # type: ignore[method-assign]
    with pytest.raises(SystemExit):
        done(job(source, tmp_path / "out"), ended, threads=1)
    assert [path.name for path in sorted((tmp_path / "out").glob("part-*"))] == ["part-00000.jsonl"]
    assert done(job(source, tmp_path / "out")).good == 10
    assert not (tmp_path / "out" / "_partial").exists()


def test_every_bad_row_is_told_with_its_file_place_and_reason(tmp_path: Path) -> None:
    good = [json.dumps(row) for row in rows(6)]
    lines = [*good[:2], "{nonsense", *good[2:4], "", '"a string"', '{"question": "x"}', *good[4:]]
    source = tmp_path / "in.jsonl"
    source.write_text("\n".join(lines), encoding="utf-8")
    summary = done(job(source, tmp_path / "out", shard_rows=4))
    assert (summary.rows, summary.good, summary.bad) == (10, 6, 4)
    assert [row["id"] for row in written(tmp_path / "out")] == list(range(6))
    assert [(each["file"], each["row"], each["reason"]) for each in bad(tmp_path / "out")] == [
        (str(source), 2, "the line is not valid JSON"),
        (str(source), 5, "the line is empty"),
        (str(source), 6, "the line is not a JSON object"),
        (str(source), 7, "there is no passages"),
    ]


def test_nulls_in_parquet_are_bad_rows(tmp_path: Path) -> None:
    given: list[dict[str, Any]] = [*rows(3), {"id": 3, "question": None, "passages": ["a"]}]
    given += [{"id": 4, "question": "a", "passages": None}, {"id": 5, "question": "a", "passages": [None]}]
    summary = done(job(parquet(tmp_path / "in.parquet", given), tmp_path / "out"))
    assert (summary.good, summary.bad) == (3, 3)
    assert [each["row"] for each in bad(tmp_path / "out")] == [3, 4, 5]


def test_a_shard_of_bad_rows_alone_is_done_as_well(tmp_path: Path) -> None:
    given = [
        {"id": number, "question": None if number < 7 else "a", "passages": ["a"]} for number in range(9)
    ]
    summary = done(job(parquet(tmp_path / "in.parquet", given), tmp_path / "out"))
    assert (summary.shards, summary.good, summary.bad) == (2, 2, 7)
    assert len(written(tmp_path / "out")) == 2


def test_a_model_that_fails_on_everything_ends_the_job_and_blames_no_row(tmp_path: Path) -> None:
    def broken(pair: Pair) -> float:
        raise RuntimeError

    source = jsonl(tmp_path / "in.jsonl", rows(10))
    with pytest.raises(BackendError, match="failed on every row of part-00000: model_error: RuntimeError"):
        done(job(source, tmp_path / "out"), model(broken))
    assert written(tmp_path / "out") == []
    assert done(job(source, tmp_path / "out")).good == 10


def test_candidates_may_be_objects_with_text(tmp_path: Path) -> None:
    given = [{"question": "a b", "passages": [{"text": "x", "id": "1"}, {"text": "a", "id": "2"}]}]
    for write, name in ((jsonl, "in.jsonl"), (parquet, "in.parquet")):
        done(job(write(tmp_path / name, given), tmp_path / f"{name}.out"))
        (row,) = written(tmp_path / f"{name}.out")
        assert row["rerank_order"] == [1, 0]
        assert row["passages"] == given[0]["passages"]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": partial(pa.compress, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("ending", PACKERS)
def test_folders_patterns_and_packed_lines_are_read_in_the_order_of_their_names(
    tmp_path: Path, ending: str
) -> None:
    (tmp_path / "in").mkdir()
    given = rows(10)
    jsonl(tmp_path / "in" / "b.jsonl", given[6:])
    packed = "".join(json.dumps(row) + "\n" for row in given[:6]).encode()
    (tmp_path / "in" / f"a.jsonl.{ending}").write_bytes(PACKERS[ending](packed))
    (tmp_path / "in" / "_SUCCESS").touch()
    (tmp_path / "in" / "readme.txt").touch()
    for source, name in ((tmp_path / "in", "folder"), (tmp_path / "in" / "*.jsonl*", "pattern")):
        done(job(source, tmp_path / name, shard_rows=4))
        assert [row["id"] for row in written(tmp_path / name)] == list(range(10))


def test_any_file_system_will_do(tmp_path: Path) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    with memory.open("/bulk/in.jsonl", "wb") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows(9)).encode())
    asked = job("memory://bulk/in.jsonl", "memory://bulk/out")
    assert done(asked).good == 9
    assert done(asked).good == 9
    assert memory.exists("/bulk/out/part-00001.jsonl")
    assert not memory.exists("/bulk/out/_partial")
    memory.rm("/bulk", recursive=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"query_column": "passages", "candidates_column": "question"}, "query_column, candidates_column"),
        ({"top_k": 3}, "top_k"),
        ({"shard_rows": 8}, "shard_rows"),
        ({"long_text": "chunk"}, "long_text, max_chunks"),
    ],
)
def test_a_folder_with_another_job_s_rows_is_refused_before_any_work(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows(5))
    done(job(source, tmp_path / "out"))
    with pytest.raises(InvalidRequest, match=f"holds the rows of another job, with other {named}"):
        plan(job(source, tmp_path / "out", **change))


def test_another_model_or_another_input_is_another_job(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows(5))
    done(job(source, tmp_path / "out"))
    for other in (model(digest="d2"), model(model="another")):
        with pytest.raises(InvalidRequest, match="with other model"):
            done(job(source, tmp_path / "out"), other)
        assert other.scorer.runs == []  # type: ignore[attr-defined]
    jsonl(tmp_path / "in.jsonl", rows(6))
    with pytest.raises(InvalidRequest, match="with other rows, files"):
        done(job(source, tmp_path / "out"))


def test_a_folder_that_is_not_ours_and_a_file_are_refused(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows(5))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InvalidRequest, match="is not empty, and no job of ours has written it"):
        plan(job(source, tmp_path / "full"))
    with pytest.raises(InvalidRequest, match="is a file"):
        plan(job(source, source))
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "_manifest.json").write_text("{")
    with pytest.raises(InvalidRequest, match="cannot be understood"):
        plan(job(source, tmp_path / "odd"))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "a"}, "has no column passages; it has question"),
        ({"question": 3, "passages": ["a"]}, "question must be a string, is int64"),
        ({"question": "a", "passages": "b"}, "passages must be a list of strings, or of structs with a text"),
        ({"question": "a", "passages": [1]}, "passages must be a list of strings"),
        ({"question": "a", "passages": [{"body": "b"}]}, "passages must be a list of strings"),
        ({"question": "a", "passages": ["b"], "rerank_order": [0]}, "has a column rerank_order already"),
    ],
)
def test_columns_that_are_missing_or_wrong_are_refused_before_any_work(
    tmp_path: Path, row: dict[str, Any], problem: str
) -> None:
    source = parquet(tmp_path / "in.parquet", [row])
    with pytest.raises(InvalidRequest, match=problem):
        plan(job(source, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "a"}, "none of its first 3 rows is good: there is no passages"),
        ({"question": 3, "passages": ["a"]}, "question must be a string, is int"),
        ({"question": "a", "passages": "b"}, "passages must be a list, is str"),
        ({"question": "a", "passages": [], "rerank_order": 1}, "there is a rerank_order already"),
    ],
)
def test_lines_that_are_all_wrong_are_refused_before_any_work(
    tmp_path: Path, row: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequest, match=problem):
        plan(job(jsonl(tmp_path / "in.jsonl", [row] * 3), tmp_path / "out"))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"gone.jsonl: there is no such file"):
        plan(job(tmp_path / "gone.jsonl", tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidRequest, match="holds no file"):
        plan(job(tmp_path / "empty", tmp_path / "out"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(RerankdError, match=r"broken.parquet: is not a good Parquet file"):
        plan(job(tmp_path / "broken.parquet", tmp_path / "out"))
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"{}\n" * 1_000)[:20])
    with pytest.raises(RerankdError, match=r"cut.jsonl.gz: cannot be read: it is packed, and cut short"):
        plan(job(tmp_path / "cut.jsonl.gz", tmp_path / "out"))
    (tmp_path / "plain.jsonl.gz").write_bytes(b"{}\n")
    with pytest.raises(RerankdError, match=r"plain.jsonl.gz: cannot be read"):
        plan(job(tmp_path / "plain.jsonl.gz", tmp_path / "out"))
    (tmp_path / "cut.jsonl.zst").write_bytes(PACKERS["zst"](b"{}\n" * 1_000)[:10])
    with pytest.raises(RerankdError, match=r"cut.jsonl.zst: cannot be read: Truncated compressed stream"):
        plan(job(tmp_path / "cut.jsonl.zst", tmp_path / "out"))
    with pytest.raises(InvalidRequest, match="Protocol not known: nowhere"):
        plan(job("nowhere://in.jsonl", tmp_path / "out"))
    with pytest.raises(InvalidRequest, match="not named like a format"):
        plan(job(parquet(tmp_path / "in.csv", rows(1)), tmp_path / "out"))
    (tmp_path / "mixed").mkdir()
    jsonl(tmp_path / "mixed" / "a.jsonl", rows(1))
    parquet(tmp_path / "mixed" / "a.parquet", rows(1))
    with pytest.raises(InvalidRequest, match="holds Parquet and JSON lines"):
        plan(job(tmp_path / "mixed", tmp_path / "out"))


def test_an_input_without_rows_is_done_at_once(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()
    assert done(job(tmp_path / "in.jsonl", tmp_path / "out")).rows == 0


def test_an_input_that_changes_under_the_job_ends_it(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", rows(20))
    planned = plan(job(source, tmp_path / "out"))
    jsonl(source, rows(9))
    from rerankd.bulk.run import run

    with pytest.raises(BackendError, match="has changed since the job was planned"):
        run(planned, model())


def test_a_job_that_makes_no_sense_is_refused() -> None:
    for wrong in (
        {"shard_rows": 0},
        {"top_k": 0},
        {"long_text": "fit"},
        {"query_column": "passages"},
        {"query_column": "rerank_scores"},
    ):
        with pytest.raises(ConfigError):
            job("in", "out", **wrong)
    assert isinstance(job("in", "out"), Job)


def test_windows_hold_no_more_rows_and_characters_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    from rerankd.bulk.row import Row

    monkeypatch.setattr(shard, "WINDOW_ROWS", 3)
    monkeypatch.setattr(shard, "WINDOW_CHARACTERS", 10)
    sizes = [4, 4, 4, 30, 1, 1, 1, 1]
    given = [Row(number, "", ["x" * size], None) for number, size in enumerate(sizes)]
    found = [[row.position for row in window] for window in shard.windows(iter(given))]
    assert found == [[0, 1], [2], [3], [4, 5, 6], [7]]
