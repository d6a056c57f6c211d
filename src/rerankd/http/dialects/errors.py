"""The error bodies that several dialects share."""

from pydantic import BaseModel

from rerankd.http.refusal import Kind, Refusal

__all__ = ["Detail", "ErrorObject", "Message", "Wrapped", "detail", "message", "wrapped"]


class ErrorObject(BaseModel):
    """What is wrong, in words, and about which field."""

    message: str
    type: Kind
    param: str | None = None
    code: str | None = None


class Wrapped(BaseModel):
    """OpenAI's form, which vLLM, Infinity and we ourselves use."""

    error: ErrorObject


class Detail(BaseModel):
    """Jina's and Voyage's form."""

    detail: str


class Message(BaseModel):
    """Cohere's form."""

    id: str
    message: str


def wrapped(refusal: Refusal) -> dict[str, object]:
    return {
        "error": {
            "message": refusal.message,
            "type": refusal.kind,
            "param": refusal.param,
            "code": refusal.code,
        }
    }


def detail(refusal: Refusal) -> dict[str, object]:
    return {"detail": refusal.message}


def message(refusal: Refusal, id: str) -> dict[str, object]:
    return {"id": id, "message": refusal.message}
