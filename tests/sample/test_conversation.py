"""The sample conversation is long, of several users, in order, and every question has its answer in it."""

from collections import Counter
from datetime import timedelta

from rerankd.sample.conversation import asked, turns


def test_it_is_long_of_several_users_and_over_months() -> None:
    said = turns()
    assert len(said) >= 150
    assert len({turn.user for turn in said}) >= 3
    assert min(Counter(turn.user for turn in said).values()) >= 24, "else all of a user's would be retrieved"
    assert said[-1].created_at - said[0].created_at > timedelta(days=150)


def test_it_is_in_order_and_says_nothing_twice() -> None:
    moments = [turn.created_at for turn in turns()]
    assert moments == sorted(moments)
    assert all(moment.utcoffset() is not None for moment in moments)
    assert len({turn.text for turn in turns()}) == len(turns())


def test_every_question_is_answered_by_a_turn_of_the_same_user() -> None:
    said = {(turn.user, turn.text) for turn in turns()}
    assert len(asked()) == 10
    assert all((question.user, question.answer) in said for question in asked())
