"""The broken services that other people's clients are tried against are broken in the way that they say."""

import sys

import httpx
import pytest

from tests.clients.__main__ import TEXTS
from tests.clients.server import MODES, QUERY
from tests.running import Running

REASONS = {"hangs": "deadline", "raises": "model_error", "loading": "model_loading", "open": "circuit_open"}


@pytest.mark.threads
@pytest.mark.parametrize("mode", MODES)
def test_each_is_broken_in_its_own_way_and_answers_in_retrieval_order(mode):
    with Running((sys.executable, "-m", "tests.clients.server", mode)) as service:
        answer = httpx.post(f"{service.url}/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        assert answer.status_code == 200
        assert answer.headers["x-rerank-reason"] == REASONS[mode]
        assert [each["index"] for each in answer.json()["results"]] == list(range(len(TEXTS)))
        assert service.end() <= 0
    assert [line["route"] for line in service.requests()] == ["/v2/rerank"]
