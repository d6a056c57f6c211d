"""Who is let in, to what, and what happens to a key over its rate."""

import pytest

from rerankd.errors import ConfigError
from rerankd.http.access import Caller, KeyAccess, OpenAccess
from rerankd.http.keyfile import KeyFile
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal
from rerankd.http.server import access_for
from rerankd.testing import FakeClock
from tests.http.service import QUERY, TEXTS, service


@pytest.fixture
def keys(tmp_path):
    return KeyFile(tmp_path / "keys.json")


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def access(keys, *, anybody=False, **policy):
    return KeyAccess(keys, HttpPolicy(**policy), FakeClock(), anybody=anybody)


def refusal_of(door, headers):
    with pytest.raises(Refusal) as refused:
        door.admit(headers)
    assert refused.value.status == 401
    assert refused.value.headers == {"www-authenticate": "Bearer"}
    return refused.value.message


def test_a_good_key_has_its_scopes(keys):
    record, key = keys.create("app", ["rerank", "memory:acme"], "d")
    caller = access(keys).admit(bearer(key))
    assert caller == Caller(record.id, frozenset({"rerank", "memory:acme"}))
    caller.require("rerank")
    with pytest.raises(Refusal, match="scope admin"):
        caller.require("admin")


def test_without_a_key_or_with_a_bad_one_nobody_is_let_in(keys):
    keys.create("app", ["rerank"], "d")
    door = access(keys)
    assert "needed" in refusal_of(door, {})
    assert "not good" in refusal_of(door, bearer("rk_wrong"))
    assert "not good" in refusal_of(door, {"authorization": "Basic abc"})
    assert "not good" in refusal_of(door, bearer("\ud800"))


def test_a_key_file_that_cannot_be_read_lets_nobody_in(keys):
    _, key = keys.create("app", ["rerank"], "d")
    keys.path.write_text("damaged")
    refusal_of(access(keys), bearer(key))


def test_on_loopback_anybody_may_rerank_and_a_wrong_key_is_refused_all_the_same(keys):
    _, key = keys.create("ops", ["admin"], "d")
    door = access(keys, anybody=True)
    assert door.admit({}).scopes == {"rerank"}
    assert door.admit(bearer(key)).scopes == {"admin"}
    refusal_of(door, bearer("rk_wrong"))
    assert OpenAccess().admit({}).scopes == {"rerank"}


def test_on_loopback_without_any_key_a_client_that_must_send_one_may_send_anything(tmp_path):
    door = access(KeyFile(tmp_path / "none.json"), anybody=True)
    assert door.admit(bearer("anything")).key_id is None
    (tmp_path / "none.json").write_text("not ours", encoding="utf-8")
    refusal_of(door, bearer("anything"))


def test_a_memory_key_names_one_tenant_and_perhaps_one_user():
    assert Caller("k", frozenset({"rerank", "memory:acme"})).memory() == ("acme", None)
    assert Caller("k", frozenset({"memory:acme/anna/b"})).memory() == ("acme", "anna/b")
    for scopes in ({"rerank"}, {"memory:a", "memory:b"}):
        with pytest.raises(Refusal) as refused:
            Caller("k", frozenset(scopes)).memory()
        assert refused.value.status == 403


def test_a_scope_that_is_missing_is_another_thing_than_no_key_at_all():
    caller = Caller("k", frozenset({"rerank"}))
    caller.require("rerank")
    with pytest.raises(Refusal, match="the scope admin") as refused:
        caller.require("admin")
    assert refused.value.status == 403
    with pytest.raises(Refusal, match="the scope admin") as refused:
        Caller(None, frozenset({"rerank"})).require("admin")
    assert refused.value.status == 401


def test_a_key_is_held_to_its_concurrency_and_others_are_not(keys):
    _, first = keys.create("one", ["rerank"], "d")
    _, second = keys.create("two", ["rerank"], "d")
    door = access(keys, key_concurrency=1)
    one, two = door.admit(bearer(first)), door.admit(bearer(second))
    with door.enter(one) as inside:
        assert not inside.rate_limited
        with door.enter(one) as over, door.enter(two) as other:
            assert over.rate_limited
            assert not other.rate_limited
    with door.enter(one) as again:
        assert not again.rate_limited


def test_an_address_open_to_others_needs_a_key(keys):
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 is open to other machines, and there is no API key"):
        access_for(HttpPolicy(listen_host="0.0.0.0"), keys, FakeClock())
    _, key = keys.create("app", ["rerank"], "d")
    door = access_for(HttpPolicy(listen_host="0.0.0.0"), keys, FakeClock())
    refusal_of(door, {})
    assert door.admit(bearer(key)).key_id
    assert access_for(HttpPolicy(listen_host="127.0.0.1"), keys, FakeClock()).admit({}).key_id is None


async def test_a_key_over_its_rate_is_answered_in_retrieval_order_and_told_so_in_our_own_dialect(keys):
    _, key = keys.create("app", ["rerank"], "d")
    async with service(access=access(keys, key_requests_per_minute=1)) as client:
        client.headers.update(bearer(key))
        body = {"query": QUERY, "documents": TEXTS}
        assert (await client.post("/v2/rerank", json=body)).headers["x-rerank-outcome"] == "reranked"
        over = await client.post("/v2/rerank", json=body)
        assert over.status_code == 200
        assert over.headers["x-rerank-reason"] == "rate_limited"
        assert [each["index"] for each in over.json()["results"]] == [0, 1, 2, 3]
        own = await client.post("/api/v1/rerank", json={"query": QUERY, "candidates": TEXTS})
        assert own.status_code == 429
        assert own.json()["error"]["type"] == "rate_limited"


async def test_every_route_with_data_needs_a_key(keys):
    keys.create("app", ["rerank"], "d")
    async with service(access=access(keys)) as client:
        described = (await client.get("/openapi.json")).json()["paths"]
        for path, methods in described.items():
            for method, operation in methods.items():
                answer = await client.request(method, path, json={})
                public = "security" not in operation
                assert (answer.status_code == 401) is not public, f"{method} {path}"


async def test_tei_s_401_has_no_body(keys):
    async with service(access=access(keys)) as client:
        answer = await client.post("/tei/rerank", json={"query": QUERY, "texts": TEXTS})
    assert answer.status_code == 401
    assert answer.content == b""


async def test_metrics_are_public_only_where_a_setting_says_so(keys):
    door = access(keys)
    async with service(access=door) as client:
        assert (await client.get("/metrics")).status_code == 401
    async with service(access=door, policy=HttpPolicy(metrics_public=True)) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/metrics/rerank")).status_code == 200
