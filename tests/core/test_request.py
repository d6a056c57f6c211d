"""Bad arguments are named with what was seen, never with a text, before anything is queued."""

import math
import pickle
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from rerankd.core.request import Request, RerankPolicy, head_size, read_request
from rerankd.errors import ConfigError, InvalidRequest

POLICY = RerankPolicy()
SECRET = "swordfish"


def read(query: Any = "q", candidates: Any = ("a",), **options: Any) -> Request:
    return read_request(POLICY, query, candidates, **{"budget_ms": 250.0, **options})


@dataclass
class Row:
    """A candidate as an object."""

    text: Any
    id: Any = None
    score: Any = None
    metadata: Any = None


# -- what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "argument", "seen"),
    [
        ({"query": ""}, "query", "empty"),
        ({"query": " \t\n\u2003"}, "query", "only white space"),
        ({"query": None}, "query", "got NoneType"),
        ({"query": b"swordfish"}, "query", "got bytes"),
        ({"query": ["swordfish"]}, "query", "got list"),
        ({"candidates": SECRET}, "candidates", "got str"),
        ({"candidates": b"swordfish"}, "candidates", "got bytes"),
        ({"candidates": None}, "candidates", "got NoneType"),
        ({"candidates": 5}, "candidates", "got int"),
        ({"candidates": {SECRET: 1}}, "candidates", "got dict"),
        ({"candidates": {SECRET}}, "candidates", "got set"),
        ({"candidates": ["a", None]}, "candidates[1].text", "got NoneType"),
        ({"candidates": ["a", b"swordfish"]}, "candidates[1].text", "got bytes"),
        ({"candidates": bytearray(b"swordfish")}, "candidates[0].text", "got int"),
        ({"candidates": [{"body": SECRET}]}, "candidates[0].text", "got dict"),
        ({"candidates": [{"text": [SECRET]}]}, "candidates[0].text", "got list"),
        ({"candidates": [Row(5)]}, "candidates[0].text", "got int"),
        ({"candidates": [[SECRET]], "text": lambda row: row}, "candidates[0].text", "got list"),
        ({"candidates": [[SECRET]], "text": lambda row: None}, "candidates[0].text", "got NoneType"),
        ({"candidates": [Row("a", 7), Row("b", 7)]}, "candidates[1].id", "candidates[0] again"),
        ({"candidates": [Row("a", 1), "b"]}, "candidates[1].id", "candidates[0] again"),
        ({"text": SECRET}, "text", "got str"),
        ({"budget_ms": -1}, "budget_ms", "got -1"),
        ({"budget_ms": -0.001}, "budget_ms", "got -0.001"),
        ({"budget_ms": math.nan}, "budget_ms", "got nan"),
        ({"budget_ms": -math.inf}, "budget_ms", "got -inf"),
        ({"budget_ms": -(10**5_000)}, "budget_ms", "got -inf"),
        ({"budget_ms": True}, "budget_ms", "got True"),
        ({"budget_ms": SECRET}, "budget_ms", "got str"),
        ({"budget_ms": Decimal(5)}, "budget_ms", "got Decimal"),
        ({"top_k": 0}, "top_k", "got 0"),
        ({"top_k": -3}, "top_k", "got -3"),
        ({"top_k": 2.0}, "top_k", "got 2.0"),
        ({"top_k": True}, "top_k", "got True"),
        ({"top_k": SECRET}, "top_k", "got str"),
        ({"min_score": math.nan}, "min_score", "got nan"),
        ({"min_score": SECRET}, "min_score", "got str"),
        ({"on_deadline": "wait"}, "on_deadline", "got 'wait'"),
        ({"on_deadline": SECRET * 9}, "on_deadline", "got str"),
        ({"on_deadline": np.array([1, 2])}, "on_deadline", "got ndarray"),
        ({"long_text": "cut"}, "long_text", "got 'cut'"),
        ({"long_text": 5}, "long_text", "got int"),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_seen_and_never_with_a_text(
    arguments: dict[str, Any], argument: str, seen: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(**arguments)
    assert refused.value.argument == argument
    assert str(refused.value).startswith(f"{argument}: ")
    assert seen in str(refused.value)
    assert SECRET not in str(refused.value)


def test_more_candidates_than_allowed_are_refused_without_reading_on() -> None:
    read_before = []

    def endless() -> Any:
        while True:
            read_before.append("x")
            yield "x"

    policy = RerankPolicy(max_candidates=3)
    with pytest.raises(InvalidRequest, match="candidates: at most 3 are allowed"):
        read_request(policy, "q", endless(), budget_ms=None)
    assert len(read_before) == 4


def test_a_refusal_survives_being_sent_between_processes() -> None:
    refused = InvalidRequest("top_k", "must be a whole number, got 0")
    copy = pickle.loads(pickle.dumps(refused))
    assert (str(copy), copy.argument, copy.problem) == (str(refused), refused.argument, refused.problem)
    assert isinstance(copy, ValueError)


# -- what is read ---------------------------------------------------------------------------------------------


def test_strings_have_their_position_as_id_and_themselves_as_item() -> None:
    first, second = read(candidates=["a", "a"]).candidates
    assert (first.id, second.id, second.text, second.item) == (0, 1, "a", "a")
    assert first.score is None


@pytest.mark.parametrize("make", [lambda **fields: fields, lambda **fields: Row(**fields)])
def test_rows_and_objects_give_their_fields(make: Any) -> None:
    item = make(text="a", id="x", score=0.5, metadata=[1])
    (candidate,) = read(candidates=[item]).candidates
    assert (candidate.id, candidate.text, candidate.score, candidate.metadata) == ("x", "a", 0.5, [1])
    assert candidate.item is item


def test_a_function_takes_the_text_out_of_anything() -> None:
    rows = [("a", 1), ("b", 2)]
    candidates = read(candidates=rows, text=lambda row: row[0]).candidates
    assert [(c.text, c.id) for c in candidates] == [("a", 0), ("b", 1)]


def test_a_function_may_also_be_put_over_strings() -> None:
    (candidate,) = read(candidates=["a|b"], text=lambda line: line.split("|")[1]).candidates
    assert (candidate.text, candidate.item) == ("b", "a|b")


@pytest.mark.parametrize("identity", [[1], ([1],), {"a": 1}, None])
def test_an_id_that_cannot_be_one_is_replaced_by_the_position(identity: Any) -> None:
    (candidate,) = read(candidates=[Row("a", identity)]).candidates
    assert candidate.id == 0


@pytest.mark.parametrize(
    ("score", "value"),
    [
        (1, 1.0),
        (np.float32(0.5), 0.5),
        (Fraction(1, 2), 0.5),
        ("0.5", None),
        (True, None),
        (10**400, math.inf),
    ],
)
def test_a_first_stage_score_is_carried_along_if_it_is_a_number(score: Any, value: float | None) -> None:
    (candidate,) = read(candidates=[Row("a", score=score)]).candidates
    assert candidate.score == value


def test_a_generator_is_read_once() -> None:
    assert len(read(candidates=(str(i) for i in range(5))).candidates) == 5


def test_no_candidates_are_a_request_too() -> None:
    assert read(candidates=[]).candidates == ()


@pytest.mark.parametrize("text", ["", "\x00\x1b", "\ud800", "👩‍👩‍👧", "x" * 1_000_000])
def test_any_string_is_a_text(text: str) -> None:
    assert read(query=text or "q", candidates=[text]).candidates[0].text == text


@pytest.mark.parametrize("budget", [0, 0.0, -0.0, 250, 1e300, Fraction(1, 2), np.float32(2.5), np.int64(7)])
def test_a_budget_is_read_as_a_plain_float(budget: Any) -> None:
    asked = read(budget_ms=budget).budget_ms
    assert type(asked) is float
    assert asked == float(budget)


@pytest.mark.parametrize("budget", [None, math.inf, pytest.param(10**5_000, id="huge")])
def test_no_budget_an_infinite_one_and_one_beyond_all_numbers_are_no_limit(budget: Any) -> None:
    assert read(budget_ms=budget).budget_ms is None


@pytest.mark.parametrize("top_k", [3, np.int64(3)])
def test_top_k_is_any_whole_number(top_k: Any) -> None:
    asked = read(top_k=top_k).top_k
    assert (type(asked), asked) == (int, 3)


def test_a_top_k_beyond_all_candidates_asks_for_all() -> None:
    assert read(top_k=10**5_000).top_k == POLICY.max_candidates


def test_what_is_left_out_is_as_the_policy_says() -> None:
    policy = RerankPolicy(on_deadline="retrieval", long_text="chunk")
    asked = read_request(policy, "q", [], budget_ms=None)
    assert (asked.on_deadline, asked.long_text, asked.top_k, asked.min_score) == (
        "retrieval",
        "chunk",
        None,
        None,
    )
    asked = read_request(policy, "q", [], budget_ms=None, on_deadline="partial", long_text="fit", min_score=1)
    assert (asked.on_deadline, asked.long_text, asked.min_score) == ("partial", "fit", 1.0)


# -- head and guard -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("top_k", "head"), [(None, 12), (1, 8), (5, 8), (8, 12), (9, 14), (100, 150)])
def test_the_head_is_half_as_many_again_as_are_returned_and_at_least_eight(
    top_k: int | None, head: int
) -> None:
    assert head_size(POLICY, top_k) == head
    assert read(top_k=top_k).head == head


@pytest.mark.parametrize(("budget", "guard"), [(None, 0.0), (250, 0.003), (12, 0.003), (4, 0.001), (0, 0.0)])
def test_a_caller_wakes_a_little_before_its_deadline_and_less_for_a_tiny_budget(
    budget: float | None, guard: float
) -> None:
    assert POLICY.guard(budget) == pytest.approx(guard)


@pytest.mark.parametrize(
    "wrong",
    [
        {"budget_ms": -1},
        {"target_ms": -1},
        {"guard_ms": -1},
        {"head_factor": 0.5},
        {"head_min": 0},
        {"on_deadline": "x"},
        {"long_text": "x"},
        {"max_chunks": 0},
        {"fit_floor_tokens": 7},
        {"max_candidates": 0},
    ],
)
def test_a_policy_that_could_not_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"RerankPolicy\."):
        RerankPolicy(**wrong)
