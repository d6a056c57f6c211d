"""A sample is the same queries every time, on every machine."""

from rerankd.evaluation.sample import sample

QUERIES = [f"q{n}" for n in range(50)]


def test_no_size_or_a_large_one_means_all() -> None:
    assert sample(QUERIES, None) == sample(QUERIES, 50) == sample(QUERIES, 99) == QUERIES


def test_the_draw_is_fixed_for_ever() -> None:
    assert sample(QUERIES, 5) == ["q4", "q11", "q26", "q41", "q44"]


def test_the_draw_does_not_depend_on_the_order_of_the_file() -> None:
    assert set(sample(QUERIES[::-1], 7)) == set(sample(QUERIES, 7))


def test_a_smaller_sample_is_part_of_a_larger_one_in_the_same_order() -> None:
    small, large = sample(QUERIES, 10), sample(QUERIES, 20)
    assert [query for query in large if query in small] == small


def test_an_id_with_a_lone_surrogate_can_be_drawn() -> None:
    assert len(sample(["\ud800", "a"], 1)) == 1
