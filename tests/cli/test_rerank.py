import json
from pathlib import Path

import pytest

from .conftest import Run

TEXTS = b"a cat sleeps\n\nthe dog barks at night\nthe dog sleeps\n"


@pytest.mark.usefixtures("fake")
def test_the_table_shows_old_and_new_rank_scores_outcome_depth_and_times(run: Run) -> None:
    done = run("rerank", "dog barks", "--candidates", "-", stdin=TEXTS)
    assert done.status == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[:5] == [
        ["dog", "barks"],
        ["rank", "was", "score", "text"],
        ["1", "2", "▲", "1", "0.881", "the", "dog", "barks", "at", "night"],
        ["2", "3", "▲", "1", "0.731", "the", "dog", "sleeps"],
        ["3", "1", "▼", "2", "0.500", "a", "cat", "sleeps"],
    ]
    assert "reranked · 3 of 3 scored · " in done.out
    assert "budget 250 ms · fake" in done.out
    assert all(stage in done.out for stage in ("queue", "tokenize", "inference", "order"))
    assert "\x1b" not in done.out + done.err  # not a terminal: no colours


@pytest.mark.usefixtures("fake")
def test_json_has_the_shape_that_scripts_rely_on(run: Run) -> None:
    rows = (
        b'{"id": "a", "text": "a cat", "score": 0.9, "metadata": {"source": ["x", 1]}}\n'
        b'{"text": "the dog barks"}\n'
    )
    done = run("rerank", "dog barks", "--candidates", "-", "--json", "--budget-ms", "none", stdin=rows)
    answer = done.json
    assert answer.pop("elapsed_ms") >= 0
    assert answer == {
        "outcome": "reranked",
        "reason": None,
        "depth": 2,
        "refined_depth": 0,
        "candidates_total": 2,
        "model": "fake",
        "results": [
            {
                "id": 1,
                "rank": 1,
                "retrieval_rank": 2,
                "score": pytest.approx(0.8808, abs=1e-4),
                "scored": True,
                "scored_by": "fake",
                "text": "the dog barks",
                "metadata": None,
            },
            {
                "id": "a",
                "rank": 2,
                "retrieval_rank": 1,
                "score": 0.5,
                "scored": True,
                "scored_by": "fake",
                "text": "a cat",
                "metadata": {"source": ["x", 1]},
            },
        ],
    }


@pytest.mark.usefixtures("fake")
def test_top_k_and_min_score_cut_the_answer(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "found.txt"
    file.write_bytes(TEXTS)
    best = run("rerank", "dog barks", "--candidates", file, "--top-k", 1, "--json").json
    assert [each["id"] for each in best["results"]] == [1]
    assert best["candidates_total"] == 3
    good = run("rerank", "dog barks", "--candidates", file, "--min-score", 0.6, "--json").json
    assert [each["id"] for each in good["results"]] == [1, 2]


@pytest.mark.usefixtures("no_model")
def test_falling_open_is_status_0_with_the_retrieval_order_and_a_reason(run: Run) -> None:
    answer = run("rerank", "dog barks", "--candidates", "-", "--json", stdin=TEXTS)
    assert answer.status == 0
    assert (answer.json["outcome"], answer.json["reason"]) == ("skipped", "model_unavailable")
    assert [each["id"] for each in answer.json["results"]] == [0, 1, 2]
    assert [each["score"] for each in answer.json["results"]] == [None] * 3
    table = run("rerank", "dog barks", "--candidates", "-", stdin=TEXTS)
    assert table.status == 0
    assert "skipped/model_unavailable" in table.out
    assert "the model cannot be loaded" in table.out


@pytest.mark.usefixtures("fake")
def test_no_candidates_are_an_empty_answer(run: Run) -> None:
    answer = run("rerank", "dog", "--candidates", "-", "--json").json
    assert (answer["outcome"], answer["results"]) == ("reranked", [])


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["  "], "query"),
        (["dog", "--on-deadline", "never"], "on_deadline"),
        (["dog", "--long-text", "never"], "long_text"),
        (["dog", "--min-score", "nan"], "min_score"),
        (["dog", "--budget-ms", "-1"], "--budget-ms"),
        (["dog", "--budget-ms", "soon"], "--budget-ms"),
        (["dog", "--top-k", "0"], "--top-k"),
    ],
)
def test_wrong_arguments_are_named_and_end_with_status_2(run: Run, arguments: list[str], named: str) -> None:
    done = run("rerank", *arguments, "--candidates", "-", stdin=TEXTS)
    assert done.status == 2
    assert named in done.err
    assert done.err.count("\n") == 1


@pytest.mark.usefixtures("fake")
def test_a_bad_line_is_named_by_number_and_not_quoted(run: Run) -> None:
    done = run("rerank", "dog", "--candidates", "-", stdin=b'{"text": "a"}\n\n{"text": "a secret}\n')
    assert (done.status, done.err) == (2, "rerankd: standard input line 3: is not valid JSON\n")


def test_a_file_that_is_not_there_is_wrong_use(run: Run, tmp_path: Path) -> None:
    done = run("rerank", "dog", "--candidates", tmp_path / "none.txt")
    assert done.status == 2
    assert "there is no file" in done.err


@pytest.mark.usefixtures("fake")
def test_what_a_terminal_would_obey_is_not_passed_on_to_it(run: Run) -> None:
    hostile = json.dumps({"id": "\x1b]0;x\x07", "text": "dog \x1b[2J\x07 \ud800 bites"}).encode()
    done = run("rerank", "dog \x1b[31m", "--candidates", "-", stdin=hostile)
    assert done.status == 0
    assert not any(character < " " and character != "\n" for character in done.out)
    assert (
        json.loads(hostile)["text"]
        == run("rerank", "dog", "-c", "-", "--json", stdin=hostile).json["results"][0]["text"]
    )


@pytest.mark.model
def test_the_embedded_model_puts_the_answer_first(run: Run) -> None:
    rows = (
        b"Cats sleep for most of the day.\nThe moon is dry and grey.\n"
        b"The sky looks blue because air scatters blue light more than red.\n"
    )
    done = run("rerank", "why is the sky blue", "-c", "-", "--json", "--budget-ms", "none", stdin=rows)
    assert done.json["outcome"] == "reranked"
    assert done.json["results"][0]["id"] == 2
