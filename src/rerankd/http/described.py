"""The bodies of the routes that tell of the service, for the OpenAPI description."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from rerankd.core.events import CircuitState, ModelState
from rerankd.http.call import Answered
from rerankd.http.memory.bodies import MemoryState

__all__ = ["Figures", "FlagBody", "FlagState", "Health", "Info", "LiveFigures", "Ready", "StatusBody"]


class Health(Answered):
    status: Literal["ok"]


class Ready(Answered):
    ready: bool
    model: str | None
    model_state: ModelState
    circuit: CircuitState
    shutting_down: bool


class Info(BaseModel):
    """What TEI's clients look for, and more."""

    model_id: str | None
    version: str


class Latency(Answered):
    """Milliseconds."""

    p50: float
    p95: float
    max: float


class Cache(Answered):
    hits: int
    misses: int
    entries: int
    size_bytes: int


class Figures(BaseModel):
    rerank_skipped_total: int
    rerank_latency_ms: Latency
    rerank_batch_size: int
    device: str | None
    enabled: bool | None
    rerank_cache: Cache | None = None


class FlagBody(Answered):
    mode: Literal["on", "off", "shadow"]
    percent: float = Field(default=100, ge=0, le=100)


class FlagState(FlagBody):
    source: str


class StatusBody(BaseModel):
    model: str | None
    device: str | None
    model_state: ModelState
    error: str | None
    load_seconds: float | None
    max_tokens: int | None
    circuit: CircuitState
    queue_pairs: int
    workers: int
    busy: int
    hung: int
    flag: FlagBody
    flag_source: str
    enabled: bool
    memory: MemoryState
    version: str
    limits: dict[str, float]
    refiner: dict[str, Any] | None
    cache: Cache | None


class LiveFigures(BaseModel):
    window_seconds: int
    bucket_seconds: int
    buckets: list[dict[str, Any]]
    latency_ms: dict[str, Any]
    circuit: list[dict[str, Any]]
