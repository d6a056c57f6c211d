"""The application: which handler answers which route."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rerankd.http.access import Access
from rerankd.http.call import Dialect
from rerankd.http.described import (
    Figures,
    FlagBody,
    FlagState,
    Health,
    Info,
    LiveFigures,
    Ready,
    StatusBody,
)
from rerankd.http.dialects.cohere import Cohere, CohereV1
from rerankd.http.dialects.infinity import Infinity
from rerankd.http.dialects.jina import Jina
from rerankd.http.dialects.nim import Nim
from rerankd.http.dialects.own import Own
from rerankd.http.dialects.tei import Tei
from rerankd.http.dialects.union import Union, UnionError
from rerankd.http.dialects.vllm import Vllm
from rerankd.http.dialects.voyage import Voyage
from rerankd.http.live import Live
from rerankd.http.memory.bodies import (
    MemoryAdded,
    MemoryAddRequest,
    MemoryAnswer,
    MemoryDeleted,
    MemoryDeleteRequest,
    MemoryErased,
    MemoryEraseRequest,
    MemoryQueryRequest,
)
from rerankd.http.memory.opening import ServedMemory
from rerankd.http.memory.routes import MemoryRoutes
from rerankd.http.openapi import body_of, describe, memory_responses_of, responses_of
from rerankd.http.page import add_page
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal, union_body
from rerankd.http.rerank import Joined, Rerank, request_id
from rerankd.http.state import State, release
from rerankd.memory.policy import MemoryPolicy
from rerankd.metrics import PrometheusObserver
from rerankd.reranker import Reranker
from rerankd.summary import Summary

__all__ = ["DIALECTS", "create_app"]

_UNION, _TEI, _VOYAGE = Union(), Tei(), Voyage()

DIALECTS: Mapping[str, Dialect] = {
    "/api/v1/rerank": Own(),
    "/tei/rerank": _TEI,
    "/v2/rerank": Cohere(),
    "/cohere/v2/rerank": Cohere(),
    "/cohere/v1/rerank": CohereV1(),
    "/jina/v1/rerank": Jina(),
    "/vllm/rerank": Vllm(),
    "/vllm/v1/rerank": Vllm(),
    "/vllm/v2/rerank": Vllm(),
    "/infinity/rerank": Infinity(),
    "/voyage/v1/rerank": _VOYAGE,
    "/v1/ranking": Nim(),
    "/nim/v1/ranking": Nim(),
}
"""The routes on which only one dialect is spoken."""
GUESSED = ("/rerank", "/v1/rerank")
"""The routes that clients of several dialects share."""


def guess(body: Mapping[str, Any] | None) -> Dialect:
    """The dialect of a body on a shared route. Voyage's client always sends `truncation`."""
    if body is not None and "texts" in body:
        return _TEI
    if body is not None and ("top_k" in body or "truncation" in body):
        return _VOYAGE
    return _UNION


def create_app(
    reranker: Reranker,
    *,
    policy: HttpPolicy,
    access: Access,
    metrics: PrometheusObserver | None = None,
    summary: Summary | None = None,
    live: Live | None = None,
    memory: ServedMemory | None = None,
    joined: Joined | None = None,
) -> FastAPI:
    """The application around a reranker, which somebody else starts and closes.

    `metrics`, `summary` and `live` are observers of that reranker. `app.state.draining` says that the server
    is shutting down: not ready, and new requests are refused. `memory`: None where none is served; somebody
    else enters it. `joined`: `rerankd.tracing.joined`, or nothing.
    """
    app = FastAPI(
        title="rerankd",
        version=release(),
        description="The best order that fits your budget, on time, every time, and it says which one you got.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        # FastAPI's own would tell of exceptions with their messages
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.draining = False
    _rerank_routes(app, Rerank(reranker, policy, access, joined=joined))
    _memory_routes(app, MemoryRoutes(memory, policy, access, reranker.clock, joined=joined))
    state = State(reranker, policy, access, metrics=metrics, summary=summary, live=live, memory=memory)
    _state_routes(app, state)
    add_page(app)
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    requests: set[type[BaseModel]] = {each.Request for each in (*DIALECTS.values(), _UNION)}
    requests |= {FlagBody, MemoryAddRequest, MemoryQueryRequest, MemoryDeleteRequest, MemoryEraseRequest}
    kept = MemoryPolicy() if memory is None else memory.policy
    app.openapi = lambda: dict(describe(app, sorted(requests, key=str), policy, kept))  # type: ignore[method-assign]
    return app


def _rerank_routes(app: FastAPI, rerank: Rerank) -> None:
    for path, dialect in DIALECTS.items():
        app.add_api_route(
            path,
            rerank.route(lambda body, dialect=dialect: dialect),  # type: ignore[misc]
            methods=["POST"],
            response_model=None,
            tags=["rerank"],
            summary=f"Rerank ({dialect.name})",
            operation_id=f"rerank{path.replace('/', '_')}",
            openapi_extra=body_of([dialect.Request]),
            responses=responses_of([dialect]),
        )
    shared: tuple[Dialect, ...] = (_TEI, _VOYAGE, _UNION)
    for path in GUESSED:
        app.add_api_route(
            path,
            rerank.route(guess),
            methods=["POST"],
            response_model=None,
            tags=["rerank"],
            summary="Rerank (the dialect is seen by the body)",
            operation_id=f"rerank{path.replace('/', '_')}",
            openapi_extra=body_of([each.Request for each in shared]),
            responses=responses_of(shared),
        )


def _memory_routes(app: FastAPI, memory: MemoryRoutes) -> None:
    for name, summary, handler, asked, answered in (
        ("add", "Remember texts of a user", memory.add, MemoryAddRequest, MemoryAdded),
        ("query", "Ask a user's memories", memory.query, MemoryQueryRequest, MemoryAnswer),
        ("delete", "Forget memories", memory.delete, MemoryDeleteRequest, MemoryDeleted),
        ("erase", "Forget a user", memory.erase, MemoryEraseRequest, MemoryErased),
    ):
        app.add_api_route(
            f"/api/v1/memory/{name}",
            handler,
            methods=["POST"],
            response_model=None,
            tags=["memory"],
            summary=summary,
            operation_id=f"memory_{name}",
            openapi_extra=body_of([asked]),
            responses=memory_responses_of(answered),
        )


def _state_routes(app: FastAPI, state: State) -> None:
    refused: dict[int | str, dict[str, Any]] = {
        401: {"model": UnionError, "description": "No key, or not a good one."}
    }
    flag: dict[int | str, dict[str, Any]] = {
        **refused,
        403: {"model": UnionError, "description": "The key has no admin scope."},
    }
    setting: dict[int | str, dict[str, Any]] = {
        **flag,
        408: {"model": UnionError, "description": "The body did not arrive in time."},
        409: {"model": UnionError, "description": "A file or a provider owns the flag."},
        413: {"model": UnionError, "description": "The body is too large."},
        415: {"model": UnionError, "description": "The body is not JSON."},
        422: {"model": UnionError, "description": "Not a flag."},
    }
    unready: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "Not ready."}}
    text: dict[int | str, dict[str, Any]] = {
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' format."}
    }
    for path, handler, answer, responses in (
        ("/health", state.health, Health, {}),
        ("/ready", state.ready, Ready, unready),
        ("/info", state.info, Info, refused),
        ("/metrics/rerank", state.figures, Figures, refused),
        ("/api/v1/status", state.status, StatusBody, refused),
        ("/api/v1/live", state.live, LiveFigures, refused),
        ("/admin/flag", state.flag, FlagState, flag),
    ):
        described: dict[int | str, dict[str, Any]] = {200: {"model": answer}, **responses}
        app.add_api_route(
            path, handler, methods=["GET"], response_model=None, tags=["state"], responses=described
        )
    app.add_api_route(
        "/metrics",
        state.prometheus,
        methods=["GET"],
        response_class=Response,
        tags=["state"],
        responses={**refused, **text},
    )
    app.add_api_route(
        "/admin/flag",
        state.flag,
        methods=["PUT"],
        response_model=None,
        tags=["state"],
        name="set_flag",
        openapi_extra=body_of([FlagBody]),
        responses={200: {"model": FlagState}, **setting},
    )


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return JSONResponse(union_body(error, request_id(request)), error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    """The framework's own: no such route, or not with this method."""
    assert isinstance(error, HTTPException)
    kind = "method" if error.status_code == 405 else "not_found" if error.status_code == 404 else "validation"
    refusal = Refusal(kind, str(error.detail), status=error.status_code, headers=dict(error.headers or {}))  # type: ignore[arg-type]
    return await _refusal(request, refusal)


async def _bug(request: Request, error: Exception) -> Response:
    """The framework's own body would be plain text. It raises the error again, and the edge logs it."""
    return await _refusal(request, Refusal("unavailable", "internal error", status=500))
