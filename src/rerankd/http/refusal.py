"""A request that is refused. Each dialect says it in its own error body."""

from typing import Any, Literal

__all__ = ["STATUS", "Kind", "Refusal", "union_body"]

Kind = Literal[
    "validation",
    "empty",
    "unauthorized",
    "forbidden",
    "not_found",
    "method",
    "too_large",
    "headers_too_large",
    "media_type",
    "rate_limited",
    "timeout",
    "shutting_down",
    "conflict",
    "unavailable",
    "store_error",
    "seal_error",
    "embedder_error",
]

STATUS: dict[Kind, int] = {
    "validation": 422,
    "empty": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not_found": 404,
    "method": 405,
    "timeout": 408,
    "conflict": 409,
    "too_large": 413,
    "media_type": 415,
    "rate_limited": 429,
    "headers_too_large": 431,
    "shutting_down": 503,
    "unavailable": 503,
    "store_error": 503,
    "seal_error": 503,
    "embedder_error": 503,
}
"""The status that goes with each kind, where a refusal does not name another."""


class Refusal(Exception):  # noqa: N818 - an answer that is given, like a 404, rather than a failure of ours
    """Why a request is refused. The message names the field, the limit and the value seen; never a text."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """`param`: the field it is about. `code`: a finer word than the kind. `headers`: to answer with."""
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.param = param
        self.code = code
        self.status = STATUS[kind] if status is None else status
        self.headers = headers or {}

    def __str__(self) -> str:
        return self.message


def union_body(refusal: Refusal, id: str = "") -> dict[str, Any]:
    """The error body where a client's dialect cannot be known: what each of them looks for is there."""
    return {
        "detail": refusal.message,
        "message": refusal.message,
        "id": id,
        "error": {
            "message": refusal.message,
            "type": refusal.kind,
            "param": refusal.param,
            "code": refusal.code,
        },
    }
