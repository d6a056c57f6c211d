"""What the service tells of itself, and to whom."""

from rerankd.core.flag import Flag, Mode
from rerankd.errors import BackendError
from rerankd.flags.memory import FixedFlag
from rerankd.http.access import Caller, OpenAccess
from rerankd.reranker import Reranker
from tests.http.service import QUERY, TEXTS, Hanging, service


class Admin(OpenAccess):
    """Everybody is an administrator here."""

    def admit(self, headers: object) -> Caller:
        return Caller(key_id="k", scopes=frozenset({"rerank", "admin"}))


async def test_health_and_readiness_when_all_is_well() -> None:
    async with service() as client:
        assert (await client.get("/health")).json() == {"status": "ok"}
        ready = await client.get("/ready")
    assert ready.status_code == 200
    assert ready.json()["ready"] is True


async def test_a_missing_model_is_not_ready_and_healthy_all_the_same() -> None:
    def load() -> None:
        raise BackendError("no such model")

    async with service(reranker=Reranker(load, name="gone")) as client:  # type: ignore[arg-type]
        ready = await client.get("/ready")
        assert ready.status_code == 503
        assert ready.json()["model_state"] == "unavailable"
        assert (await client.get("/health")).status_code == 200
        answer = await client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        assert answer.status_code == 200
        assert answer.headers["x-rerank-reason"] == "model_unavailable"
        status = (await client.get("/api/v1/status")).json()
        assert status["error"] == "no such model"
        assert status["enabled"] is False


async def test_health_does_not_need_the_model() -> None:
    hanging = Hanging()
    async with service(hanging) as client:
        hanging.hangs = True
        try:
            await client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS, "budget_ms": 20})
            assert (await client.get("/health")).status_code == 200
        finally:
            hanging.let_go.set()


async def test_info_names_the_model_for_tei_s_clients() -> None:
    async with service() as client:
        info = (await client.get("/info")).json()
    assert info["model_id"] == "fake"
    assert info["max_input_length"] == 512
    assert "reranker" in info["model_type"]


async def test_metrics_count_the_requests() -> None:
    async with service() as client:
        await client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        metrics = await client.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'rerank_requests_total{outcome="reranked",reason="none"} 1.0' in metrics.text
        figures = (await client.get("/metrics/rerank")).json()
    assert figures["rerank_skipped_total"] == 0
    assert figures["device"] == "cpu"
    assert figures["enabled"] is True
    assert set(figures["rerank_latency_ms"]) == {"p50", "p95", "max"}


async def test_the_live_figures_show_the_last_minutes() -> None:
    async with service() as client:
        for _ in range(3):
            await client.post("/v2/rerank", json={"query": QUERY, "documents": TEXTS})
        live = (await client.get("/api/v1/live")).json()
    assert sum(bucket["outcomes"].get("reranked", 0) for bucket in live["buckets"]) == 3
    assert live["latency_ms"]["count"] == 3
    assert sum(live["latency_ms"]["counts"]) == 3
    assert live["buckets"][-1]["depth_ratio"] == 1.0


async def test_the_flag_needs_an_administrator_s_key() -> None:
    async with service() as client:
        for answer in (
            await client.get("/admin/flag"),
            await client.put("/admin/flag", json={"mode": "off"}),
        ):
            assert answer.status_code == 401
            assert answer.json()["error"]["type"] == "unauthorized"
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.reranker.status().flag == Flag()  # type: ignore[attr-defined]


async def test_an_administrator_turns_the_flag() -> None:
    async with service(access=Admin()) as client:
        assert (await client.get("/admin/flag")).json() == {"mode": "on", "percent": 100, "source": "memory"}
        put = await client.put("/admin/flag", json={"mode": "shadow", "percent": 5})
        assert put.json() == {"mode": "shadow", "percent": 5, "source": "memory"}
        assert client.reranker.status().flag == Flag(Mode.SHADOW, 5)  # type: ignore[attr-defined]
        wrong = await client.put("/admin/flag", json={"mode": "sometimes"})
        assert wrong.status_code == 422
        assert "must be one of on, off, shadow" in wrong.json()["detail"]
        assert wrong.json()["error"]["param"] == "mode"
        wrong = await client.put("/admin/flag", json={"mode": "on", "percent": 101})
        assert wrong.status_code == 422
        assert wrong.json()["error"]["param"] == "percent"


async def test_a_flag_that_somebody_else_owns_is_not_turned_here() -> None:
    async with service(access=Admin(), flag=FixedFlag(Flag(), name="file /etc/flag.json")) as client:
        put = await client.put("/admin/flag", json={"mode": "off"})
    assert put.status_code == 409
    assert "file /etc/flag.json" in put.json()["detail"]
