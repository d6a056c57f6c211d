"""What every adapter does; each against its framework is tried with its extra, see tests/extras."""

import asyncio
import threading

import pytest

from rerankd.client import Client
from rerankd.core.flag import Flag, Mode
from rerankd.integrations.asking import Asking
from rerankd.testing import fake_reranker

pytestmark = pytest.mark.threads

QUERY = "red apple"
DOCUMENTS = [{"body": "a green pear"}, {"body": "an apple"}, {"body": "a red apple"}]


def test_documents_come_back_themselves_in_the_new_order_with_falling_scores():
    with fake_reranker() as reranker:
        found = Asking(ranks=reranker, text=lambda row: row["body"], budget_ms=None).ask(QUERY, DOCUMENTS)
    assert [row for row, _ in found] == DOCUMENTS[::-1]
    assert all(any(row is each for each in DOCUMENTS) for row, _ in found)
    assert sorted((score for _, score in found), reverse=True) == [score for _, score in found]


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
