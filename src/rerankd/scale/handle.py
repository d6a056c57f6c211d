"""Ray Serve's handle as the way to the replicas, its errors in our words."""

import concurrent.futures
from collections.abc import Sequence
from typing import Any

from rerankd.backends.replicas import Answer, Full, Lost, Served
from rerankd.errors import BackendError

__all__ = ["ServeReplicas"]


class ServeReplicas:
    """The `Replicas` port. Ray Serve chooses the replica: of two drawn by lot the one with less to do."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def describe(self, seconds: float) -> Served:
        served = _result(self._handle.describe.remote(), seconds)
        assert isinstance(served, Served)
        return served

    def ask(self, query: str, texts: Sequence[str], budget_ms: int | None) -> "_Response":
        return _Response(self._handle.score.remote(query, list(texts), budget_ms))


class _Response:
    def __init__(self, response: Any) -> None:
        self._response = response

    def result(self, seconds: float) -> Answer:
        answer = _result(self._response, seconds)
        assert isinstance(answer, Answer)
        return answer

    def cancel(self) -> None:
        self._response.cancel()


def _result(response: Any, seconds: float) -> Any:
    from ray.exceptions import RayError, RayTaskError, TaskCancelledError
    from ray.serve.exceptions import (
        BackPressureError,
        DeploymentUnavailableError,
        RayServeException,
        RequestCancelledError,
    )

    try:
        return response.result(timeout_s=max(0.0, seconds))
    except BackPressureError:
        raise Full from None
    except (concurrent.futures.CancelledError, TaskCancelledError, RequestCancelledError):
        raise BackendError("nobody waits for the replica any more") from None
    except DeploymentUnavailableError:
        raise Lost from None
    except RayTaskError as error:
        # its message carries the other side's traceback, which could quote a text
        raise BackendError(f"a replica raised {type(error.cause).__name__}") from None
    except (RayError, RayServeException):
        raise Lost from None
