"""The budget of a batch is halved when memory runs out and grows back after many that went well."""

from rerankd.backends.token_budget import REGROW_BATCHES, TokenBudget


def test_a_batch_that_did_not_fit_halves_it_down_to_one_token() -> None:
    budget, seen = TokenBudget(1_000), []
    for _ in range(12):
        budget.ran_out(budget.tokens)
        seen.append(budget.tokens)
    assert seen == [500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1, 1]


def test_a_larger_batch_that_ran_out_later_does_not_raise_it() -> None:
    budget = TokenBudget(1_000)
    budget.ran_out(200)
    budget.ran_out(1_000)
    assert budget.tokens == 100


def test_it_doubles_after_so_many_good_batches_in_a_row_up_to_where_it_was() -> None:
    budget, seen = TokenBudget(1_000), []
    budget.ran_out(1_000)
    budget.ran_out(500)
    for _ in range(3):
        for _ in range(REGROW_BATCHES - 1):
            budget.went_well()
        seen.append(budget.tokens)
        budget.went_well()
        seen.append(budget.tokens)
    assert seen == [250, 500, 500, 1_000, 1_000, 1_000]


def test_the_good_batches_before_it_do_not_count() -> None:
    budget = TokenBudget(1_000)
    for _ in range(REGROW_BATCHES - 1):
        budget.went_well()
    budget.ran_out(1_000)
    budget.went_well()
    assert budget.tokens == 500
