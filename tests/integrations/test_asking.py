"""What every adapter does; each against its framework is tried with its extra, see tests/extras."""

import asyncio
import threading

import httpx
import pytest

from rerankd.client import Client
from rerankd.core.cascade import CascadePolicy
from rerankd.core.flag import Flag, Mode
from rerankd.integrations.asking import Asking
from rerankd.testing import fake_reranker
from tests.http.service import service
from tests.test_refining import MIXED, MIXED_ORDER, a_cascade

pytestmark = pytest.mark.threads

QUERY = "red apple"
DOCUMENTS = [{"body": "a green pear"}, {"body": "an apple"}, {"body": "a red apple"}]


def test_documents_come_back_themselves_in_the_new_order_with_falling_scores():
    with fake_reranker() as reranker:
        found = Asking(ranks=reranker, text=lambda row: row["body"], budget_ms=None).ask(QUERY, DOCUMENTS)
    assert [row for row, _ in found] == DOCUMENTS[::-1]
    assert all(any(row is each for each in DOCUMENTS) for row, _ in found)
    assert sorted((score for _, score in found), reverse=True) == [score for _, score in found]


def as_a_framework_sorts(found: list[tuple[str, float]]) -> list[str]:
    return [text for text, _ in sorted(found, key=lambda each: -each[1])]


@pytest.mark.parametrize("depth", [0, 2, 4])
def test_a_cascade_s_scores_never_rise_although_they_are_two_models(depth: int):
    heard = []
    with a_cascade(cascade=CascadePolicy(depth=depth)) as reranker:
        asking = Asking(ranks=reranker, text=str, budget_ms=None, on_ranking=heard.append)
        found = asking.ask("q", MIXED)
    (ranking,) = heard
    assert ranking.refined_depth == (depth or len(MIXED))
    assert depth != 2 or [each.text for each in ranking] == MIXED_ORDER
    assert as_a_framework_sorts(found) == [each.text for each in ranking]
    assert all(0 <= score <= 1 for _, score in found), "all by the model that scored all"


@pytest.mark.parametrize("depth", [0, 2, 4])
async def test_nor_do_they_through_a_client_which_is_told_no_first_scores(depth: int):
    heard = []
    async with service(reranker=a_cascade(cascade=CascadePolicy(depth=depth))) as http:
        said = (await http.post("/api/v1/rerank", json={"query": "q", "candidates": MIXED})).json()
    again = httpx.MockTransport(lambda request: httpx.Response(200, json=said))
    with Client("http://service", transport=again) as client:
        asking = Asking(ranks=client, text=str, budget_ms=None, on_ranking=heard.append)
        found = asking.ask("q", MIXED)
    (ranking,) = heard
    assert ranking.refined_depth == (depth or len(MIXED))
    told = [each.score for each in ranking]
    assert depth == 0 or told != sorted(told, reverse=True), "as they are told they would rise"
    assert as_a_framework_sorts(found) == [each.text for each in ranking]


def test_without_a_model_the_retrieval_order_falls_from_one_and_is_told_of():
    heard = []
    with fake_reranker(initial_flag=Flag(Mode.OFF)) as reranker:
        asking = Asking(ranks=reranker, text=lambda row: row["body"], on_ranking=heard.append)
        found = asking.ask(QUERY, DOCUMENTS)
    assert [row for row, _ in found] == DOCUMENTS
    assert [score for _, score in found] == pytest.approx([1, 2 / 3, 1 / 3])
    assert [(each.outcome, each.reason) for each in heard] == [("skipped", "disabled")]


async def test_in_an_event_loop_a_reranker_is_awaited_and_a_client_is_asked_from_a_thread():
    async with fake_reranker() as reranker:
        asking = Asking(ranks=reranker, text=lambda row: row["body"], top_k=1, budget_ms=None)
        assert [row for row, _ in await asking.ask_async(QUERY, DOCUMENTS)] == DOCUMENTS[2:]

    class Blocking:
        """As a client is: it has no `arerank`."""

        def rerank(self, *given, **options):
            assert threading.current_thread() is not threading.main_thread()
            with Client("http://127.0.0.1:9") as client:
                return client.rerank(*given, **options)

    asking = Asking(ranks=Blocking(), text=lambda row: row["body"])
    found = await asyncio.wait_for(asking.ask_async(QUERY, DOCUMENTS), 20)
    assert [row for row, _ in found] == DOCUMENTS
