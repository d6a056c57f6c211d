"""The vocabulary: no repr shows a text, and the reasons stand in their order of precedence."""

import math

from rerankd.core.types import Candidate, Outcome, Pair, Reason, Scores, Text


def test_the_repr_of_a_text_shows_its_length_and_nothing_else() -> None:
    assert repr(Text("my darkest secret")) == "<text of 17 characters>"


def test_a_text_is_otherwise_the_string_that_it_was_made_of() -> None:
    assert Text("abc") == "abc"
    assert f"{Text('abc')}" == "abc"


def test_what_holds_a_text_does_not_show_it_either() -> None:
    secret = Text("swordfish")
    candidate = Candidate(id=1, text=secret, metadata={"body": "swordfish"}, item="swordfish")
    pair = Pair(secret, secret, 3, ids=[1, 2], type_ids=[0, 0])
    assert "swordfish" not in f"{candidate!r} {pair!r}"


def test_reasons_stand_in_the_order_in_which_the_first_that_applies_is_given() -> None:
    assert [str(reason) for reason in Reason] == [
        "disabled",
        "shadow",
        "model_unavailable",
        "model_loading",
        "circuit_open",
        "rate_limited",
        "budget_too_small",
        "overloaded",
        "model_error",
        "nonfinite_score",
        "deadline",
    ]


def test_there_are_three_outcomes() -> None:
    assert [str(outcome) for outcome in Outcome] == ["reranked", "partial", "skipped"]


def test_scores_of_a_scorer_that_ran_out_of_time_say_so_and_have_no_number_there() -> None:
    scores = Scores([0.5, None], Reason.OVERLOADED)
    assert scores[0] == 0.5
    assert math.isnan(scores[1])
    assert scores.reason is Reason.OVERLOADED
