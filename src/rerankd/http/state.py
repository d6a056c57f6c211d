"""How the service is: `/info`, `/health`, `/ready`, `/metrics`, `/api/v1/status`, `/api/v1/live`, `/admin/flag`."""

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from rerankd.core.flag import Flag
from rerankd.core.status import Status
from rerankd.errors import ConfigError
from rerankd.flags.notation import flag_from_object, flag_to_object
from rerankd.http import limits
from rerankd.http.access import Access
from rerankd.http.live import Live
from rerankd.http.memory.opening import ServedMemory
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal
from rerankd.metrics import PrometheusObserver
from rerankd.reranker import Reranker
from rerankd.summary import Summary

__all__ = ["State", "release"]

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class State:
    """The handlers that tell of the service rather than rerank. They raise `Refusal`."""

    def __init__(
        self,
        reranker: Reranker,
        policy: HttpPolicy,
        access: Access,
        *,
        metrics: PrometheusObserver | None,
        summary: Summary | None,
        live: Live | None,
        memory: ServedMemory | None,
    ) -> None:
        self._reranker = reranker
        self._policy = policy
        self._access = access
        self._metrics = metrics
        self._summary = summary
        self._live = live
        self._memory = memory

    async def health(self, request: Request) -> Response:
        """Whether the event loop and the supervisor live: that this is answered at all shows both."""
        return JSONResponse({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Whether the model is loaded and scoring."""
        status = self._reranker.status()
        draining = bool(request.app.state.draining)
        ready = status.model_state == "ready" and status.circuit != "open" and not draining
        body = {
            "ready": ready,
            "model": status.model,
            "model_state": status.model_state,
            "circuit": status.circuit,
            "shutting_down": draining,
        }
        return JSONResponse(body, 200 if ready else 503)

    async def info(self, request: Request) -> Response:
        """What TEI tells of itself; its clients read `model_id`."""
        self._access.admit(request.headers)
        status = self._reranker.status()
        return JSONResponse(
            {
                "model_id": status.model,
                "model_sha": None,
                "model_dtype": "float32",
                "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
                "max_concurrent_requests": self._policy.key_concurrency,
                "max_input_length": status.max_tokens,
                "max_batch_tokens": None,
                "max_batch_requests": None,
                "max_client_batch_size": self._policy.max_candidates,
                "auto_truncate": True,
                "tokenization_workers": status.workers,
                "version": release(),
                "sha": None,
                "docker_label": None,
            }
        )

    async def prometheus(self, request: Request) -> Response:
        """Prometheus' text format."""
        if not self._policy.metrics_public:
            self._access.admit(request.headers)
        return Response(b"" if self._metrics is None else self._metrics.render(), media_type=_PROMETHEUS)

    async def figures(self, request: Request) -> Response:
        """The few figures of a host's own status page."""
        if not self._policy.metrics_public:
            self._access.admit(request.headers)
        return JSONResponse({} if self._summary is None else self._summary.as_dict())

    async def status(self, request: Request) -> Response:
        """What the reranker says of itself, and the limits in force."""
        self._access.admit(request.headers)
        status = self._reranker.status()
        memory = "off" if self._memory is None else self._memory.state
        return JSONResponse(
            {**_told(status), "memory": memory, "version": release(), "limits": self._limits()}
        )

    async def live(self, request: Request) -> Response:
        """The last ten minutes."""
        self._access.admit(request.headers)
        return JSONResponse({} if self._live is None else self._live.as_dict())

    async def flag(self, request: Request) -> Response:
        """The flag; `PUT` sets it."""
        self._access.admit(request.headers).require("admin")
        if request.method == "PUT":
            limits.require_json(request)
            body = limits.parse(await limits.read_body(request, self._policy), self._policy)
            try:
                wanted = flag_from_object(body)
            except ConfigError as error:
                field = str(error).partition(":")[0].removeprefix("flag").strip()
                raise Refusal("validation", str(error), param=field or None) from None
            self._set(wanted)
        status = self._reranker.status()
        return JSONResponse({**flag_to_object(status.flag), "source": status.flag_source})

    def _set(self, wanted: Flag) -> None:
        try:
            self._reranker.set_flag(wanted)
        except ConfigError as error:
            # only a source of its own refuses a flag that is well formed
            raise Refusal("conflict", str(error), code=self._reranker.status().flag_source) from None

    def _limits(self) -> dict[str, Any]:
        policy = self._policy
        return {
            "default_budget_ms": self._reranker.policy.budget_ms,
            "target_ms": self._reranker.policy.target_ms,
            "max_budget_ms": policy.max_budget_ms,
            "max_candidates": policy.max_candidates,
            "max_candidate_chars": policy.max_candidate_chars,
            "max_query_chars": policy.max_query_chars,
            "max_body_bytes": policy.max_body_bytes,
        }


def _told(status: Status) -> dict[str, Any]:
    return {
        "model": status.model,
        "device": status.device,
        "model_state": status.model_state,
        "error": status.error,
        "load_seconds": status.load_seconds,
        "max_tokens": status.max_tokens,
        "circuit": status.circuit,
        "refiner": _refiner(status),
        "queue_pairs": status.queue_pairs,
        "workers": status.workers,
        "busy": status.busy,
        "hung": status.hung,
        "flag": flag_to_object(status.flag),
        "flag_source": status.flag_source,
        "enabled": status.enabled,
        "cache": None if status.cache is None else asdict(status.cache),
    }


def _refiner(status: Status) -> dict[str, Any] | None:
    """The larger model of a cascade: that it is gone makes answers no later and no emptier."""
    if status.refiner is None:
        return None
    return {
        "model": status.refiner,
        "device": status.refiner_device,
        "model_state": status.refiner_state,
        "circuit": status.refiner_circuit,
    }


def release() -> str:
    try:
        return version("rerankd")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0"
