"""Requests are recorded once and replayed by the real scheduler: the longer the budget, the more is scored."""

import asyncio
import json
import random
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rerankd.core import cascade
from rerankd.core.cascade import CascadePolicy
from rerankd.core.estimate import pair_weight
from rerankd.core.ports import Model
from rerankd.core.types import Text
from rerankd.engine.calibration import Calibration
from rerankd.errors import ConfigError
from rerankd.evaluation.budget_chart import budget_chart, budget_table
from rerankd.evaluation.collection import Collection, read_collection
from rerankd.evaluation.contest import contests
from rerankd.evaluation.curve import Curve, answered, curve, point
from rerankd.evaluation.evaluate import evaluate
from rerankd.evaluation.live import ask
from rerankd.evaluation.measures import measure
from rerankd.evaluation.recording import RecordedQuery, Recording, record
from rerankd.evaluation.replay import Replayed, replay
from rerankd.evaluation.run import Run, choose_run, read_run
from rerankd.reranker import Reranker
from rerankd.testing import FakeClock, FakeScorer, FakeTokenizer, fake_reranker

UNIT = 0.0002


def a_recording(queries: int = 5, candidates: int = 24, *, seed: int = 0) -> tuple[Collection, Recording]:
    """Candidates of 20 to 200 tokens; of each query one is relevant, and the model knows it."""
    draw, recorded, judgements = random.Random(seed), {}, {}
    for number in range(queries):
        tokens = tuple(draw.randint(20, 200) for _ in range(candidates))
        relevant = draw.randrange(candidates)
        documents = tuple(f"{number}-{place}" for place in range(candidates + 3))
        judgements[f"q{number}"] = {documents[relevant]: 1}
        recorded[f"q{number}"] = RecordedQuery(
            query=Text("what"),
            documents=documents,
            texts=tuple(Text("x" * 4 * each) for each in tokens),
            tokens=tokens,
            logits=tuple(5.0 if place == relevant else draw.random() for place in range(candidates)),
            seconds=tuple(UNIT * pair_weight(each) for each in tokens),
        )
    calibration = Calibration()
    calibration.runs = [(pair_weight(each), UNIT * pair_weight(each)) for each in (16, 180)]
    calibration.encodings = [(480.0, 0.0003), (5_760.0, 0.0014)]
    collection = Collection(name="made", documents={}, queries={}, judgements=judgements)
    return collection, Recording(
        model="owner/model", run="bm25", workers=2, max_tokens=512, queries=recorded, calibration=calibration
    )


# -- recording ------------------------------------------------------------------------------------------------


def test_a_recording_holds_each_pairs_score_and_what_its_run_took(folder: Path) -> None:
    collection = read_collection(folder)
    run = read_run(choose_run(folder), collection)
    clock = FakeClock()

    def score(pair: Any) -> float:
        clock.advance(0.5)
        return float(len(pair.text))

    model = Model(scorer=FakeScorer(score), tokenizer=FakeTokenizer(), max_tokens=64)
    made = record(collection, run, model, clock, depth=2)
    assert set(made.queries) == {"q-tea", "q-bike"}
    tea = made.queries["q-tea"]
    assert tea.documents == ("coffee", "kettle", "tea", "bike")
    texts = [collection.documents[key].text for key in ("coffee", "kettle")]
    assert tea.logits == tuple(float(len(text)) for text in texts)
    assert tea.seconds == (0.5, 0.5)
    assert [len(each.texts) for each in made.queries.values()] == [2, 2]


@pytest.mark.parametrize("traits", [{"local": False}, {"unit": "query"}])
def test_what_is_not_scored_pair_by_pair_here_cannot_be_recorded(
    folder: Path, traits: dict[str, Any]
) -> None:
    collection = read_collection(folder)
    model = Model(scorer=FakeScorer(**traits), tokenizer=FakeTokenizer(), max_tokens=64)
    with pytest.raises(ConfigError, match="pair by pair"):
        record(collection, read_run(choose_run(folder), collection), model, FakeClock())


def test_a_judged_query_without_candidates_counts_as_nothing_as_in_evaluate(folder: Path, fake: Any) -> None:
    collection = read_collection(folder)
    run = Run(name="half", orders={"q-bike": ("tyre", "bike")})
    clock = FakeClock()

    def score(pair: Any) -> float:
        clock.advance(0.01)
        return float("Oil" in pair.text)

    model = Model(scorer=FakeScorer(score), tokenizer=FakeTokenizer(), max_tokens=64)
    made = record(collection, run, model, clock)
    assert (set(made.queries), made.without, made.judged) == ({"q-bike"}, ("q-tea",), 2)
    plain = evaluate(collection, run, fake)
    found = curve(collection, made, rate=1.0, budgets_ms=(1_000, None), requests=4)
    assert found.retrieval == pytest.approx(plain.retrieval()["ndcg@10"])
    for each in found.points:
        assert each.value == pytest.approx(plain.reranked()["ndcg@10"]) == pytest.approx(0.5)
        assert each.by_query == {"q-bike": 1.0, "q-tea": 0.0}
    asked = point(collection, made, 1_000, [Replayed("q-bike", (True, True))])
    assert asked.value == pytest.approx(0.5), "asked in real time it counts the same"


def test_a_run_without_any_judged_query_cannot_be_recorded(folder: Path) -> None:
    model = Model(scorer=FakeScorer(), tokenizer=FakeTokenizer(), max_tokens=64)
    with pytest.raises(ConfigError, match="no judged query"):
        record(read_collection(folder), Run(name="empty", orders={}), model, FakeClock())


# -- replaying ------------------------------------------------------------------------------------------------


def test_every_request_is_answered_once_and_every_query_as_often() -> None:
    _, made = a_recording()
    answers = replay(made, budget_ms=150, rate=20.0, requests=500)
    assert len(answers) == 500
    for name in made.queries:
        assert sum(answer.query == name for answer in answers) == 100


def test_on_an_idle_machine_with_time_enough_everything_is_scored() -> None:
    _, made = a_recording()
    answers = replay(made, budget_ms=10_000, rate=0.01, requests=50)
    assert all(all(answer.scored) for answer in answers)


def test_a_budget_that_not_one_pair_fits_into_scores_nothing() -> None:
    _, made = a_recording()
    assert {answer.depth for answer in replay(made, budget_ms=1, rate=1.0, requests=50)} == {0}


def test_of_partial_answers_the_heads_are_scored_before_the_rests() -> None:
    _, made = a_recording()
    answers = replay(made, budget_ms=200, rate=0.5 * made.capacity(), requests=200)
    partial = [answer for answer in answers if 0 < answer.depth < 24]
    heads = sum(sum(answer.scored[:12]) for answer in partial)
    rests = sum(sum(answer.scored[12:]) for answer in partial)
    assert heads > 3 * rests > 0


def test_the_same_seed_replays_the_same_and_another_another() -> None:
    _, made = a_recording()
    first = replay(made, budget_ms=100, rate=6.0, requests=100)
    assert first == replay(made, budget_ms=100, rate=6.0, requests=100)
    assert first != replay(made, budget_ms=100, rate=6.0, requests=100, seed=1)


# -- the curve ------------------------------------------------------------------------------------------------


def test_longer_budgets_give_deeper_and_here_better_answers() -> None:
    collection, made = a_recording(20)
    found = curve(collection, made, rate=0.5 * made.capacity(), budgets_ms=(25, 100, 400, None), requests=200)
    depths = [point.depth for point in found.points]
    values = [point.value for point in found.points]
    assert depths == sorted(depths)
    assert values[0] < values[1] < values[2] <= values[3] == 1.0
    assert found.points[-1].outcomes == {"reranked": 1.0, "partial": 0.0, "skipped": 0.0}
    assert found.load == pytest.approx(0.5)


def test_with_nothing_scored_the_value_is_the_retrieval_orders() -> None:
    collection, made = a_recording()
    found = curve(collection, made, rate=1.0, budgets_ms=(1,), requests=10)
    assert found.points[0].value == pytest.approx(found.retrieval)
    assert found.points[0].outcomes["skipped"] == 1.0


def test_a_point_is_the_mean_over_queries_of_the_measure_of_their_orders() -> None:
    collection, made = a_recording(2, 4)
    answers = [
        Replayed("q0", (True,) * 4),
        Replayed("q0", (False,) * 4),
        Replayed("q1", (True, False, True, False)),
    ]
    by_hand = [
        measure({answer.query: collection.judgements[answer.query]}, {answer.query: answered(made, answer)})
        for answer in answers
    ]
    values = [found[answer.query]["ndcg@10"] for found, answer in zip(by_hand, answers, strict=True)]
    found = point(collection, made, 100.0, answers)
    assert found.by_query == {
        "q0": pytest.approx((values[0] + values[1]) / 2),
        "q1": pytest.approx(values[2]),
    }
    assert found.value == pytest.approx(sum(found.by_query.values()) / 2)
    assert found.depth == pytest.approx((4 + 0 + 2) / 3)


def test_unscored_documents_and_the_rest_of_the_run_keep_their_places() -> None:
    _, made = a_recording(1, 4)
    query = replace(made.queries["q0"], logits=(0.0, 1.0, 2.0, 3.0))
    made = replace(made, queries={"q0": query})
    places = [
        query.documents.index(key) for key in answered(made, Replayed("q0", (True, False, False, True)))
    ]
    assert places == [3, 1, 2, 0, 4, 5, 6]


# -- what is shown --------------------------------------------------------------------------------------------


def two_curves() -> list[Curve]:
    collection, made = a_recording()
    found = curve(collection, made, rate=3.0, budgets_ms=(50, 200, None), requests=20)
    return [found, replace(found, model="other|model")]


def test_the_table_has_a_row_for_each_budget_and_the_same_number_of_cells_in_each() -> None:
    rows = [line for line in budget_table(two_curves()).splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["50 ms", "200 ms", "none"]
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1


def test_the_table_shows_the_share_of_each_kind_of_answer_and_the_notes_below() -> None:
    curves = two_curves()
    table = budget_table(curves[:1], notes=("2 queries are odd.",))
    assert "| model | depth | reranked | partial | skipped |" in table
    shares = [f"{share:.0%}" for share in curves[0].points[0].outcomes.values()]
    assert f"| {' | '.join(shares)} |" in next(line for line in table.splitlines() if "| 50 ms" in line)
    assert table.endswith("\n\n- 2 queries are odd.\n")


def test_the_picture_is_well_formed_and_within_its_frame() -> None:
    image = ElementTree.fromstring(budget_chart("a <title> & more", two_curves()))
    _, _, width, height = map(float, image.attrib["viewBox"].split())
    points = [each for each in image if each.tag.endswith("circle")]
    assert len(points) == 2 * 3
    shares = [each for each in image if each.tag.endswith("}g")]
    assert len(shares) == 2 * 3, "which share of the answers is of which kind"
    assert all("reranked" in (each[0].text or "") for each in shares)
    for bar in (bar for each in shares for bar in each if bar.tag.endswith("rect")):
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) < width
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) < height
    for each in points:
        assert 0 < float(each.attrib["cx"]) < width
        assert 0 < float(each.attrib["cy"]) < height


def test_a_long_name_is_not_cut_off() -> None:
    curves = two_curves()
    name = "owner/a-small-model-of-ours+other/a-large-model-with-a-long-name"
    image = ElementTree.fromstring(budget_chart("title", [curves[0], replace(curves[1], model=name)]))
    _, _, width, _ = map(float, image.attrib["viewBox"].split())
    names = [each for each in image if (each.text or "").startswith("a-small-model-of-ours+")]
    assert len(names) == 2, "at its line and at its bars"
    for each in names:
        # a bold letter of 12 px is 7 px wide in the mean
        assert float(each.attrib["x"]) + 7 * len(each.text or "") < width


def test_the_json_can_be_written_down() -> None:
    shape = json.loads(json.dumps(two_curves()[0].as_json()))
    assert list(shape) == ["model", "measure", "rate", "load", "retrieval", "points"]
    assert [each["budget_ms"] for each in shape["points"]] == [50, 200, None]


# -- in real time ---------------------------------------------------------------------------------------------


@pytest.mark.threads
def test_asked_in_real_time_every_query_is_answered_with_what_was_scored() -> None:
    _, made = a_recording(3, 4)

    async def asked() -> list[Replayed]:
        async with fake_reranker(lambda pair: 1.0) as reranker:
            return await ask(made, reranker, budget_ms=60_000, rate=10_000.0, requests=6)

    answers = asyncio.run(asked())
    assert sorted(answer.query for answer in answers) == ["q0", "q0", "q1", "q1", "q2", "q2"]
    assert all(all(answer.scored) for answer in answers)


@pytest.mark.threads
def test_asked_in_real_time_a_cascade_tells_what_its_larger_model_rescored() -> None:
    _, made = a_recording(2, 4)
    made = replace(made, model="small")
    places = {text: place for each in made.queries.values() for place, text in enumerate(each.texts)}

    def first(pair: Any) -> float:
        # the second and the last are close; the others, and what a calibration runs, are far below
        return {1: 9.0, 3: 8.0}.get(places.get(pair.text, 0), -50.0)

    refiner = Model(
        scorer=FakeScorer(lambda pair: 1.0, model="large"), tokenizer=FakeTokenizer(), max_tokens=512
    )
    model = Model(
        scorer=FakeScorer(first, model="small"), tokenizer=FakeTokenizer(), max_tokens=512, refiner=refiner
    )

    async def asked() -> list[Replayed]:
        async with Reranker(lambda: model, name="small+large") as reranker:
            return await ask(made, reranker, budget_ms=60_000, rate=10_000.0, requests=4)

    answers = asyncio.run(asked())
    assert len(answers) == 4
    for answer in answers:
        assert answer.scored == (True,) * 4
        assert answer.refined == (False, True, False, True)


# -- a cascade ------------------------------------------------------------------------------------------------


def two_recordings(queries: int = 12) -> tuple[Collection, Recording, Recording]:
    """A small model that costs a third and knows the relevant one among its best few, and the one that is sure."""
    collection, large = a_recording(queries)
    draw = random.Random(1)
    vague = {
        name: replace(
            each,
            logits=tuple(logit + draw.uniform(0, 5.5) for logit in each.logits),
            seconds=tuple(seconds / 3 for seconds in each.seconds),
        )
        for name, each in large.queries.items()
    }
    calibration = Calibration()
    calibration.runs = [(weight, seconds / 3) for weight, seconds in large.calibration.runs]
    calibration.encodings = large.calibration.encodings
    return collection, replace(large, model="small", queries=vague, calibration=calibration), large


@pytest.mark.parametrize("load", [0.2, 0.7, 2.0])
@pytest.mark.parametrize("tier", [1, 4])
def test_replayed_the_larger_model_rescores_a_whole_top_of_what_the_small_one_has_ordered(
    load: float, tier: int
) -> None:
    _, small, large = two_recordings()
    policy = CascadePolicy(tier=tier, margin=4.0)
    rate = load * large.capacity()
    answers = replay(small, large, budget_ms=150, rate=rate, requests=240, policy=policy)
    assert len(answers) == 240
    refined = [answer for answer in answers if answer.refined]
    assert refined or load == 2.0
    for answer in refined:
        assert all(answer.scored), "the first pass is complete before anything else begins"
        tiers = cascade.tiers(small.queries[answer.query].logits, policy)
        chosen = {place for place, yes in enumerate(answer.refined) if yes}
        assert chosen in [set(chain.from_iterable(tiers[:count])) for count in range(1, len(tiers) + 1)]
        order = answered(small, answer, large)
        assert sorted(order) == sorted(small.queries[answer.query].documents)


def test_under_load_the_larger_model_falls_away_before_any_first_pass_is_less_deep() -> None:
    collection, small, large = two_recordings()
    options: dict[str, Any] = {"budgets_ms": (150,), "requests": 240}
    refined, lost = [], []
    for load in (0.2, 0.8, 1.6):
        rate = load * large.capacity()
        alone = curve(collection, small, rate=rate, **options).points[0]
        both = curve(collection, small, refiner=large, rate=rate, **options).points[0]
        refined.append(both.refined_depth)
        lost.append(alone.depth - both.depth)
    assert refined[0] > refined[1] > refined[2]
    assert max(lost) < 0.25, "what it costs a first pass that a run must be stopped before it can begin"


def test_without_a_limit_a_cascade_that_is_never_sure_gives_the_large_models_order() -> None:
    collection, small, large = two_recordings()
    options: dict[str, Any] = {"rate": 1.0, "budgets_ms": (None,)}
    never = curve(collection, small, refiner=large, policy=CascadePolicy(margin=1e9), **options).points[0]
    assert never.by_query == curve(collection, large, **options).points[0].by_query
    assert never.refined_depth == 24
    sure = curve(collection, small, refiner=large, policy=CascadePolicy(margin=0.0), **options).points[0]
    assert sure.by_query == curve(collection, small, **options).points[0].by_query
    assert sure.refined_depth == 0


def test_a_cascade_is_held_against_the_better_single_model_at_each_budget() -> None:
    collection, small, large = two_recordings()
    options: dict[str, Any] = {"rate": 0.3 * large.capacity(), "budgets_ms": (40, None), "requests": 60}
    curves = [curve(collection, small, **options), curve(collection, large, **options)]
    assert contests(curves) == []
    curves.append(curve(collection, small, refiner=large, **options))
    assert curves[2].model == "small+owner/model"
    found = contests(curves)
    assert [each.budget_ms for each in found] == [40, None]
    for each, place in zip(found, (0, 1), strict=True):
        values = {single.model: single.points[place].value for single in curves[:2]}
        assert values[each.best] == max(values.values())
        assert each.gain.mean == pytest.approx(curves[2].points[place].value - values[each.best])
    table = budget_table(curves, found)
    assert "small+model | depth | refined | reranked | partial | skipped | gain (95 % interval) |" in table
    assert f"over {found[1].best.rsplit('/', 1)[-1]}" in table
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    assert contests(curves[2:]) == []
    assert json.loads(json.dumps(found[0].as_json()))["against"] == found[0].best
