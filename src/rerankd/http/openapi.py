"""The OpenAPI description: what FastAPI makes of the routes, with the bodies that we read ourselves."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from rerankd.http.budget import DEGRADATION_HEADERS
from rerankd.http.call import Dialect
from rerankd.http.dialects.errors import Wrapped
from rerankd.http.memory.bodies import MemoryAnswer
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import STATUS, Kind, Refusal
from rerankd.memory.policy import MemoryPolicy

__all__ = ["body_of", "describe", "memory_responses_of", "responses_of"]

_REF = "#/components/schemas/{model}"
_REFUSALS: tuple[Kind, ...] = (
    "empty",
    "unauthorized",
    "forbidden",
    "timeout",
    "too_large",
    "media_type",
    "validation",
    "shutting_down",
)
_HEADERS = {
    name: {"description": text, "schema": {"type": "string"}} for name, text in DEGRADATION_HEADERS.items()
}
_EVENT = {
    "type": "object",
    "description": "One server-sent event; `data` is JSON.",
    "properties": {"event": {"enum": ["order", "answer"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
_BUDGET = {
    "name": "x-request-timeout-ms",
    "in": "header",
    "required": False,
    "description": "Milliseconds from the request's arrival to its answer, where the body has no `budget_ms`.",
    "schema": {"type": "number", "minimum": 0},
}


def body_of(models: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The part of an operation that describes its request."""
    schemas = [{"$ref": _REF.format(model=model.__name__)} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def responses_of(dialects: Iterable[Dialect]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route, by status."""
    known = list(dialects)
    answers, errors = _any(each.Answer for each in known), _any(each.Error for each in known)
    described: dict[int | str, dict[str, Any]] = {
        200: {"model": answers, "description": "The order.", "headers": _HEADERS}
    }
    for kind in _REFUSALS:
        described[STATUS[kind]] = {"description": f"Refused: {kind.replace('_', ' ')}."}
        # on a shared route somebody else's words are used as long as the body is unread
        if len(known) > 1 or known[0].refuse(Refusal(kind, ""), "") is not None:
            described[STATUS[kind]]["model"] = errors
    if any(each.name == "own" for each in known):
        described[200]["content"] = {"text/event-stream": {"schema": _EVENT}}
        described[STATUS["rate_limited"]] = {
            "model": errors,
            "description": "The key is over its rate; the other dialects are answered in retrieval order.",
        }
    return described


def memory_responses_of(answered: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """The answers of a route of the memory, by status."""
    described: dict[int | str, dict[str, Any]] = {200: {"model": answered, "description": "Done."}}
    if answered is MemoryAnswer:
        described[200] |= {"description": "The memories, best first.", "headers": _HEADERS}
    for kind in (*_REFUSALS, "not_found", "rate_limited"):
        if kind != "empty":
            described[STATUS[kind]] = {"model": Wrapped, "description": f"Refused: {kind.replace('_', ' ')}."}
    described[404]["description"] = "No memory is served here."
    described[503]["description"] = (
        "By error.type: store_error (the database), seal_error (a key), embedder_error, shutting_down."
    )
    return described


def _any(types: Iterable[Any]) -> Any:
    joined: Any = None
    for each in types:
        joined = each if joined is None else joined | each
    return joined


def describe(
    app: FastAPI, models: Iterable[type[BaseModel]], policy: HttpPolicy, memory: MemoryPolicy
) -> Mapping[str, Any]:
    """The whole description, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, defined = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, schema in defined.get("$defs", {}).items():
            schemas.setdefault(name, schema)
        _limit(schemas, policy)
        _limit_memories(schemas, policy, memory)
        _secure(document)
        app.openapi_schema = document
    return app.openapi_schema


def _limit(schemas: dict[str, Any], policy: HttpPolicy) -> None:
    """What the settings allow, in the words of the schema."""
    for name, schema in schemas.items():
        if not name.endswith(("Request", "NimQuery")):
            continue
        for field, described in schema.get("properties", {}).items():
            if field in ("query", "text") and described.get("type") == "string":
                described["maxLength"] = policy.max_query_chars
            elif field in ("texts", "documents", "candidates", "passages"):
                described["maxItems"] = policy.max_candidates
                _limit_texts(described["items"], policy)
    for name in ("TextObject", "OwnCandidate"):
        schemas[name]["properties"]["text"]["maxLength"] = policy.max_candidate_chars


def _limit_memories(schemas: dict[str, Any], policy: HttpPolicy, memory: MemoryPolicy) -> None:
    memories = schemas["MemoryAddRequest"]["properties"]["memories"]
    memories["maxItems"] = schemas["MemoryDeleteRequest"]["properties"]["ids"]["maxItems"] = (
        policy.max_memories
    )
    for each in (*memories["items"]["anyOf"], schemas["NewMemory"]["properties"]["text"]):
        if each.get("type") == "string":
            each["maxLength"] = memory.max_characters


def _limit_texts(items: dict[str, Any], policy: HttpPolicy) -> None:
    for each in items.get("anyOf", [items]):
        if each.get("type") == "string":
            each["maxLength"] = policy.max_candidate_chars


def _secure(document: dict[str, Any]) -> None:
    document["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, made by `rerankd keys create`.",
        }
    }
    for path, operations in document["paths"].items():
        public = path in ("/health", "/ready")
        for method, operation in operations.items():
            if not public:
                operation["security"] = [{"key": []}]
            if method == "post" and ("/rank" in path or "rerank" in path or path.endswith("/memory/query")):
                operation.setdefault("parameters", []).append(_BUDGET)
