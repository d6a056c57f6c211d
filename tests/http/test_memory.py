"""The memory over HTTP: whose it is, one deadline, what fails open, what fails closed, and what is refused."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any

import pytest

from rerankd.core.events import MemoryQueried, Settled
from rerankd.errors import BackendError, StoreError
from rerankd.http.policy import HttpPolicy
from rerankd.memory.testing import fake_memory
from rerankd.metrics import PrometheusObserver
from rerankd.testing import RecordingObserver, fake_reranker
from tests.http.memory import memory_service
from tests.http.service import Hanging, raising

TEXTS = ["a green pear", "an apple", "a red apple", "a yellow melon"]
CALLS = ("add", "query", "delete", "erase")
BODIES: dict[str, dict[str, Any]] = {
    "add": {"memories": TEXTS},
    "query": {"query": "red apple"},
    "delete": {"ids": []},
    "erase": {},
}


async def test_what_is_added_is_found_best_first_and_forgotten_when_deleted(tmp_path):
    async with memory_service(tmp_path) as kept:
        ids = await kept.added(TEXTS)
        assert len(set(ids)) == 4
        assert (await kept.recalled("red apple"))[0] == "a red apple"
        answer = await kept.post("delete", {"user_id": "ada", "ids": [ids[2], ids[2]]})
        assert answer.json() == {"deleted": 1}
        assert "a red apple" not in await kept.recalled("red apple")


async def test_the_answer_is_that_of_the_command_line_with_the_degradation_headers(tmp_path):
    told = {"text": "a red apple", "metadata": {"n": [1]}, "created_at": "2026-01-02T03:04:05+02:00"}
    async with memory_service(tmp_path) as kept:
        await kept.added([told, *TEXTS])
        answer = await kept.post("query", {"user_id": "ada", "query": "red apple", "top_k": 1})
    body = answer.json()
    assert set(body) == {
        "outcome", "reason", "depth", "candidates", "dropped", "model", "timings_ms", "results",
    }  # fmt: skip
    assert (body["outcome"], body["reason"], body["depth"], body["candidates"]) == ("reranked", None, 5, 5)
    (first,) = body["results"]
    assert first["text"] == "a red apple"
    assert set(first) == {
        "id", "text", "metadata", "score", "retrieval_score", "retrieval_rank", "created_at",
    }  # fmt: skip
    assert answer.headers["x-rerank-outcome"] == "reranked"
    assert answer.headers["x-rerank-depth"] == "5/5"
    assert "x-rerank-reason" not in answer.headers
    assert float(answer.headers["x-rerank-elapsed-ms"]) > 0
    assert answer.headers["server-timing"].startswith("embed;dur=")


async def test_metadata_dates_and_age_choose_before_the_nearest_are(tmp_path):
    rows = [
        {"text": "red apple one", "metadata": {"by": "a"}, "created_at": "2026-01-01T00:00:00Z"},
        {"text": "red apple two", "metadata": {"by": "b"}, "created_at": "2026-03-01T00:00:00Z"},
    ]
    async with memory_service(tmp_path) as kept:
        await kept.added(rows)
        assert await kept.recalled("red apple", metadata={"by": "a"}) == ["red apple one"]
        assert await kept.recalled("red apple", since="2026-02-01T00:00:00Z") == ["red apple two"]
        assert await kept.recalled("red apple", until="2026-02-01T00:00:00Z") == ["red apple one"]
        answer = await kept.post("query", {"user_id": "ada", "query": "red apple", "half_life_days": 30})
    scores = {each["text"]: each["retrieval_score"] for each in answer.json()["results"]}
    assert scores["red apple one"] < scores["red apple two"] < 1


# -- whose memories ---------------------------------------------------------------------------------------------


async def test_the_tenant_is_the_key_s_and_users_are_apart(tmp_path):
    async with memory_service(tmp_path) as kept:
        (id, *_) = await kept.added(TEXTS)
        await kept.added(["a red herring"], user="bob")
        for key, user in (("other", "ada"), ("acme", "bob")):
            assert "a red apple" not in await kept.recalled("red apple", user=user, key=key)
            gone = await kept.post("delete", {"user_id": user, "ids": [id]}, key=key)
            assert gone.json() == {"deleted": 0}
        erased = await kept.post("erase", {"user_id": "ada"}, key="other")
        assert erased.json()["known"] is False
        assert len(await kept.recalled("red apple")) == 4


@pytest.mark.parametrize("field", ["tenant", "user", "tenant_id"])
async def test_no_body_can_name_a_tenant(tmp_path, field):
    async with memory_service(tmp_path) as kept:
        body = {"user_id": "ada", "query": "red apple", field: "other"}
        answer = await kept.post("query", body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == field


@pytest.mark.parametrize("call", CALLS)
async def test_a_key_for_one_user_needs_no_user_id_and_takes_no_other(tmp_path, call):
    async with memory_service(tmp_path) as kept:
        await kept.added(TEXTS)
        await kept.added(TEXTS, user="bob")
        for user in ({}, {"user_id": "ada"}):
            assert (await kept.post(call, BODIES[call] | user, key="ada")).status_code == 200
        before = await kept.recalled("red apple", user="bob")
        refused = await kept.post(call, BODIES[call] | {"user_id": "bob"}, key="ada")
        assert refused.status_code == 403
        assert (refused.json()["error"]["param"], refused.json()["error"]["code"]) == ("user_id", "scope")
        assert await kept.recalled("red apple", user="bob") == before


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("key", "status"), [(None, 401), ("rk_wrong", 401), ("rerank", 403), ("both", 403)])
async def test_a_memory_always_needs_a_key_of_one_tenant_on_loopback_too(tmp_path, call, key, status):
    async with memory_service(tmp_path, anybody=True) as kept:
        answer = await kept.post(call, BODIES[call] | {"user_id": "ada"}, key=key)
        assert answer.status_code == status
        assert (answer.headers.get("www-authenticate") == "Bearer") is (status == 401)
        assert kept.store.records() == {}


async def test_erasing_forgets_the_user_and_says_what_is_still_to_be_done(tmp_path):
    async with memory_service(tmp_path) as kept:
        await kept.added(TEXTS)
        done = (await kept.post("erase", {"user_id": "ada"})).json()
        assert (done["rows"], done["known"], done["final"]) == (4, True, False)
        assert "rotate" in done["remaining"]
        assert await kept.recalled("red apple") == []


# -- what fails, and how ------------------------------------------------------------------------------------------


@pytest.mark.threads
async def test_a_reranker_in_trouble_is_answered_in_retrieval_order(tmp_path):
    async with memory_service(tmp_path, raising) as kept:
        await kept.added(TEXTS)
        answer = await kept.post("query", {"user_id": "ada", "query": "red apple"})
    assert answer.status_code == 200
    assert (answer.json()["outcome"], answer.json()["reason"]) == ("skipped", "model_error")
    assert answer.headers["x-rerank-reason"] == "model_error"
    assert [each["retrieval_rank"] for each in answer.json()["results"]] == [1, 2, 3, 4]


@pytest.mark.threads
async def test_one_deadline_holds_over_every_stage_and_the_header_can_set_it(tmp_path):
    hanging = Hanging()
    async with memory_service(tmp_path, hanging) as kept:
        await kept.added(TEXTS)
        hanging.hangs = True
        kept.store.delay_s = 0.06
        try:
            body = {"user_id": "ada", "query": "red apple"}
            answer = await kept.post("query", body, **{"x-request-timeout-ms": "150"})
        finally:
            hanging.let_go.set()
    times = answer.json()["timings_ms"]
    assert answer.json()["outcome"] == "skipped"
    assert times["store"] >= 60
    # the reranker had what the store left of the budget, and not a budget of its own
    assert times["rerank"] < 100 <= times["total"]


async def test_a_database_a_key_and_an_embedder_in_trouble_are_told_apart(tmp_path, caplog):
    query = {"user_id": "ada", "query": "red apple"}
    async with memory_service(tmp_path) as kept:
        await kept.added(TEXTS)
        kept.store.fails = StoreError("it is on fire")
        down = await kept.post("query", query)
        kept.store.fails = None
        kept.embedder.fails = BackendError("too slow")
        slow = await kept.post("query", query)
        kept.embedder.fails = None
        kept.epochs.destroy(kept.epochs.first().id)
        lost = await kept.post("query", query)
    said = [(each.status_code, each.json()["error"]["type"]) for each in (down, slow, lost)]
    assert said == [(503, "store_error"), (503, "embedder_error"), (503, "seal_error")]
    assert "on fire" not in down.text
    assert "it is on fire" in caplog.text


async def test_a_store_that_is_late_is_an_error_by_the_deadline(tmp_path):
    async with memory_service(tmp_path) as kept:
        await kept.added(TEXTS)
        kept.store.delay_s = 30
        body = {"user_id": "ada", "query": "red apple", "budget_ms": 40}
        answer = await asyncio.wait_for(kept.post("query", body), 10)
    assert answer.json()["error"]["type"] == "store_error"


@pytest.mark.parametrize("call", CALLS)
async def test_where_no_memory_is_served_the_answer_says_how_to_change_that(tmp_path, call):
    async with memory_service(tmp_path, on=False) as kept:
        answer = await kept.post(call, BODIES[call] | {"user_id": "ada"})
        status = await kept.client.get(
            "/api/v1/status", headers={"authorization": f"Bearer {kept.keys['acme']}"}
        )
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "memory_off"
    assert "RERANKD_HTTP_MEMORY" in answer.json()["error"]["message"]
    assert status.json()["memory"] == "off"


async def test_a_database_that_comes_up_later_is_opened_without_a_restart(tmp_path):
    async def state(kept) -> str:
        headers = {"authorization": f"Bearer {kept.keys['acme']}"}
        answer = await kept.client.get("/api/v1/status", headers=headers)
        return str(answer.json()["memory"])

    def make(kept):
        return fake_memory(kept.store, reranker=fake_reranker())

    async with memory_service(tmp_path, make=make) as kept:
        kept.store.fails = StoreError("not up yet")
        while await state(kept) != "failed":
            await asyncio.sleep(0.01)
        answer = await kept.post("query", {"user_id": "ada", "query": "red apple"})
        assert answer.json()["error"]["type"] == "store_error"
        kept.store.fails = None
        while await state(kept) != "ready":
            await asyncio.sleep(0.01)
        await kept.added(TEXTS)
    assert not kept.store.is_open, "the service closes what it opened"


async def test_a_server_that_shuts_down_takes_nothing_new(tmp_path):
    async with memory_service(tmp_path) as kept:
        kept.client.app.state.draining = True
        answer = await kept.post("query", {"user_id": "ada", "query": "red apple"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "shutting_down")


async def test_a_key_over_its_rate_is_told_so(tmp_path):
    async with memory_service(tmp_path, policy=HttpPolicy(key_requests_per_minute=1)) as kept:
        await kept.added(TEXTS)
        answer = await kept.post("query", {"user_id": "ada", "query": "red apple"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (429, "rate_limited")


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "body", "field", "words"),
    [
        ("add", {"memories": TEXTS}, "user_id", "is missing"),
        ("add", {"user_id": "", "memories": TEXTS}, "user_id", "at least 1"),
        ("add", {"user_id": "ada", "memories": "a"}, "memories", "a string of 1 characters"),
        ("add", {"user_id": "ada", "memories": ["  "]}, "memories[0].text", "must not be empty"),
        (
            "add",
            {"user_id": "ada", "memories": [{"text": 1}]},
            "memories[0].text",
            "should be a valid string, got 1",
        ),
        (
            "add",
            {"user_id": "ada", "memories": ["a"] * 5},
            "memories",
            "at most 4 at once are allowed, got 5",
        ),
        (
            "add",
            {"user_id": "ada", "memories": ["a", "b" * 20_001]},
            "memories[1].text",
            "at most 20000 characters are allowed, got 20001",
        ),
        (
            "add",
            {"user_id": "ada", "memories": [{"text": "a", "metadata": {"b": "c" * 9_000}}]},
            "memories[0].metadata",
            "at most 8192 bytes",
        ),
        ("add", {"user_id": "ada", "memories": [{"text": "a", "metadata": [1]}]}, None, "a list of 1"),
        (
            "add",
            {"user_id": "ada", "memories": [{"text": "a", "created_at": "2026-01-01T00:00:00"}]},
            "memories[0].created_at",
            "time zone",
        ),
        ("query", {"user_id": "ada", "query": "q" * 8_001}, "query", "at most 8000 characters are allowed"),
        ("query", {"user_id": "ada", "query": "q", "top_k_ann": 1_001}, "top_k_ann", "1000"),
        ("query", {"user_id": "ada", "query": "q", "top_k": 2_000}, "top_k", "from 1 to 1000, got 2000"),
        ("query", {"user_id": "ada", "query": "q", "budget_ms": -1}, "budget_ms", "got -1"),
        ("query", {"user_id": "ada", "query": "q", "since": 1_700_000_000}, "since", "time zone"),
        ("query", {"user_id": "u" * 1_001, "query": "q"}, "user_id", "at most 1000"),
        ("delete", {"user_id": "ada", "ids": ["x"]}, "ids[0]", "UUID"),
        ("delete", {"user_id": "ada", "ids": ["0" * 32] * 5}, "ids", "at most 4 at once are allowed, got 5"),
        ("erase", {"user_id": "ada", "rotate": True}, "rotate", "not a field"),
    ],
)
async def test_a_refusal_names_the_field_the_limit_and_what_was_seen(tmp_path, call, body, field, words):
    async with memory_service(tmp_path, policy=HttpPolicy(max_memories=4)) as kept:
        answer = await kept.post(call, body)
        assert answer.status_code == 422, answer.text
        error = answer.json()["error"]
        assert words in error["message"]
        assert field is None or error["param"] == field
        assert kept.store.records() == {}, "nothing is half written"


@pytest.mark.parametrize("call", CALLS)
async def test_only_json_is_read_and_no_more_than_is_allowed(tmp_path, call):
    async with memory_service(tmp_path, policy=HttpPolicy(max_body_bytes=9_000)) as kept:
        headers = {"authorization": f"Bearer {kept.keys['acme']}"}
        path = f"/api/v1/memory/{call}"
        text = await kept.client.post(path, content=b"{}", headers=headers | {"content-type": "text/plain"})
        large = await kept.client.post(path, json={"user_id": "a" * 9_001}, headers=headers)
        half = await kept.client.post(
            path,
            content=rb'{"user_id":"\ud800"}',
            headers=headers | {"content-type": "application/json"},
        )
    assert [each.status_code for each in (text, large, half)] == [415, 413, 422]


# -- silence ------------------------------------------------------------------------------------------------------

CANARY = "canary-7f3a"


@pytest.mark.parametrize("trouble", ["none", "database", "key", "embedder"])
async def test_neither_text_nor_user_nor_key_is_told(tmp_path, caplog, trouble):
    caplog.set_level(logging.DEBUG)
    recording, metrics = RecordingObserver(), PrometheusObserver()
    user, said = f"{CANARY}@example.com", []
    async with memory_service(tmp_path, observers=[recording, metrics]) as kept:
        await kept.added([f"{CANARY} {text}" for text in TEXTS], user=user)
        if trouble == "database":
            kept.store.fails = StoreError("gone")
        elif trouble == "embedder":
            kept.embedder.fails = BackendError("gone")
        elif trouble == "key":
            kept.epochs.destroy(kept.epochs.first().id)
        for call, body in (
            ("add", {"memories": [{"text": CANARY, "metadata": {CANARY: CANARY}}]}),
            ("query", {"query": f"{CANARY} red apple"}),
            ("query", {"query": CANARY, "metadata": CANARY}),
            ("query", {"query": CANARY, CANARY: CANARY}),
            ("add", {"memories": [{"text": CANARY, "created_at": CANARY}]}),
            ("delete", {"ids": [CANARY]}),
            ("erase", {}),
        ):
            answer = await kept.post(call, body | {"user_id": user})
            if answer.status_code != 200:
                said.append(answer.text)
        keys = [*kept.keys.values()]
    told = caplog.text + repr(recording.events) + metrics.render().decode() + "".join(said)
    # a field's name is told, since a refusal must say which one it is about
    told = told.replace(f"{CANARY}: is not a field", "").replace(f'"param": "{CANARY}"', "")
    assert CANARY not in told
    assert not any(key in told for key in keys)
    events = {type(event) for event in recording.events}
    assert ({MemoryQueried, Settled} <= events) is (trouble == "none")


async def test_the_description_has_the_true_bodies_and_the_limits_in_force(tmp_path):
    policy = HttpPolicy(max_memories=7, max_query_chars=11)
    async with memory_service(tmp_path, policy=policy) as kept:
        described = (await kept.client.get("/openapi.json")).json()
        schemas = described["components"]["schemas"]
        await kept.added(TEXTS)
        answered = (await kept.post("query", {"user_id": "ada", "query": "red apple"})).json()
        erased = (await kept.post("erase", {"user_id": "ada"})).json()
    for call in CALLS:
        operation = described["paths"][f"/api/v1/memory/{call}"]["post"]
        statuses = {"200", "401", "403", "404", "408", "413", "415", "422", "429", "503"}
        assert set(operation["responses"]) == statuses
        assert operation["security"] == [{"key": []}]
        name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
        assert "tenant" not in schemas[name]["properties"]
    add = schemas["MemoryAddRequest"]["properties"]["memories"]
    assert (add["maxItems"], add["items"]["anyOf"][0]["maxLength"]) == (7, 20_000)
    assert schemas["MemoryQueryRequest"]["properties"]["query"]["maxLength"] == 11
    assert set(schemas["MemoryAnswer"]["properties"]) == set(answered)
    assert set(schemas["MemoryResult"]["properties"]) == set(answered["results"][0])
    assert set(schemas["MemoryTimings"]["properties"]) == set(answered["timings_ms"])
    assert set(schemas["MemoryErased"]["properties"]) == set(erased)
    assert datetime.fromisoformat(answered["results"][0]["created_at"]).tzinfo == UTC
