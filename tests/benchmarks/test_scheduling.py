"""The comparison behind the scheduling decision runs, and shows what was decided by it."""

import json

import pytest
from benchmarks.quality_curve import CURVES, MEASURES
from benchmarks.scheduling import HEAD, SCHEMES, Figures, Machine, by_depth, compare, simulate

from rerankd.core.request import RerankPolicy, head_size


def figures(name: str, load: float, requests: int) -> Figures:
    machine = Machine()
    scheme = next(scheme for scheme in SCHEMES if scheme.name == name)
    return simulate(machine, scheme, load, machine.traffic(load, requests, 0, [250.0]), by_depth())


@pytest.fixture(scope="module")
def compared() -> list[Figures]:
    return compare(40, worth=by_depth(), loads=(0.5, 4.0))


def test_every_scheme_answers_every_request_once_at_every_load(compared: list[Figures]):
    assert len(compared) == 2 * len(SCHEMES)
    for row in compared:
        shares = row.reranked + row.partial + row.refused + row.empty
        assert shares == pytest.approx(1.0), row.scheme


def test_the_same_seed_gives_the_same_figures(compared: list[Figures]):
    assert compare(40, worth=by_depth(), loads=(0.5, 4.0)) == compared


def test_no_answer_is_worth_less_than_retrieval_or_more_than_all_of_it(compared: list[Figures]):
    nothing, everything = (by_depth()((scored,) * 24) for scored in (False, True))
    for row in compared:
        assert nothing[0] <= row.ndcg <= everything[0]
        assert nothing[1] <= row.recall <= everything[1]


def test_under_overload_heads_make_more_whole_answers_than_the_deadline_alone():
    ours, earliest = (figures(name, 4.0, 200) for name in ("ours: head 12", "earliest deadline first"))
    assert ours.whole > 2 * earliest.whole


def test_a_lone_request_is_scored_completely_by_every_scheme():
    machine = Machine(noise=0.0)
    asked = machine.traffic(0.5, 1, 0, [1_000.0])
    for scheme in SCHEMES:
        assert simulate(machine, scheme, 0.5, asked, by_depth()).reranked == 1.0, scheme.name


def test_the_usual_head_is_the_policys():
    assert head_size(RerankPolicy(), 8) == HEAD


def test_the_curves_have_a_value_for_every_depth_and_no_text():
    for curve in json.loads(CURVES.read_text(encoding="utf-8")).values():
        for name in MEASURES:
            assert len(curve[name]) == 25
            assert all(0.0 < value < 1.0 for value in curve[name])
        assert set(curve) == {
            "collection",
            "run",
            "model",
            "queries",
            "relevant_from",
            *MEASURES,
            *(f"{name}, standard error of the gain" for name in MEASURES),
        }
