"""What a request may be at most, checked before the work that the check spares."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from rerankd.http.call import SHOWN_CHARS, Call, refuse_unknown
from rerankd.http.policy import HttpPolicy
from rerankd.http.refusal import Refusal

__all__ = [
    "check",
    "check_count",
    "over",
    "parse",
    "read_body",
    "refuse_while_draining",
    "require_json",
    "validated",
]

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or what begins as one and never ends. Possessive: a body made for it must not make it try again."""
_Model = TypeVar("_Model", bound=BaseModel)
_BRACKETS = b"[]{}"
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))
_BRANCH = re.compile(r"str|int|[A-Z]\w*")
"""What pydantic adds to a place to say which of several types it tried."""


def refuse_while_draining(request: Request) -> None:
    """A server that is shutting down takes nothing new."""
    if request.app.state.draining:
        raise Refusal("shutting_down", "the server is shutting down", headers={"connection": "close"})


def require_json(request: Request) -> None:
    """A page of another origin cannot send this type without asking first, and we do not answer that."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json":
        raise Refusal(
            "media_type", f"content-type: must be application/json, got {given[:SHOWN_CHARS] or 'none'}"
        )


async def read_body(request: Request, policy: HttpPolicy) -> bytes:
    """The body, refused as soon as it is known to be too large."""
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > policy.max_body_bytes:
        _too_large(policy, length[:20])
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > policy.max_body_bytes:
            _too_large(policy, f"{size} or more")
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(policy: HttpPolicy, seen: str) -> None:
    raise Refusal("too_large", f"body: at most {policy.max_body_bytes} bytes are allowed, got {seen}")


def parse(body: bytes, policy: HttpPolicy) -> Mapping[str, Any]:
    """The body's object. Its depth is known before anything is built; lone surrogates are not accepted."""
    _refuse_structure(body, policy)
    try:
        parsed = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal("validation", f"body: not valid JSON: {_position(str(error))}") from None
    if not isinstance(parsed, dict):
        raise Refusal("validation", f"body: must be an object, got {_kind(parsed)}")
    return parsed


def _refuse_structure(body: bytes, policy: HttpPolicy) -> None:
    """Depth and number of objects and lists. The work is all in C, some milliseconds for 2 MB."""
    depth, most = policy.max_json_depth, policy.max_json_objects
    if body.count(b"[") + body.count(b"{") <= min(depth, most):
        return
    left = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    count = left.count(b"[") + left.count(b"{")
    if count > most:
        raise Refusal("validation", f"body: at most {most} objects and lists are allowed, got {count}")
    for _ in range(depth):  # each pass peels the innermost level; the blanks keep it from peeling another one
        left = left.replace(b"[]", b"  ").replace(b"{}", b"  ").translate(None, b" ")
    if left.startswith((b"[", b"{")):
        raise Refusal("validation", f"body: at most {depth} levels are allowed, got {depth + 1} or more")


def _position(said: str) -> str:
    """What the parser said: a rule and a place, and nothing of the body."""
    return said if len(said) <= 120 else said[:120]


def validated(model: type[_Model], body: Mapping[str, Any]) -> _Model:
    """The body, checked. The refusal names the first field that is wrong and what was seen, never a text."""
    if model.model_config.get("extra") == "forbid":
        refuse_unknown(model, body)
    try:
        return model.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        # where several types are allowed, the problem that lies deepest is that of the type that was meant
        first = _field(found[0]["loc"])
        same = [each for each in found if _field(each["loc"]).startswith(first)]
        problem = max(reversed(same), key=lambda each: len(each["loc"]))
        field = _field(problem["loc"])
        raise Refusal(
            "validation", f"{field}: {_problem(problem)}", param=field, code=problem["type"]
        ) from None


def _field(place: tuple[int | str, ...]) -> str:
    path = ""
    for number, part in enumerate(place):
        if isinstance(part, int):
            path += f"[{part}]"
        elif number == 0:
            path = part[:SHOWN_CHARS]
        elif not _BRANCH.fullmatch(part):
            path += f".{part[:SHOWN_CHARS]}"
    return path


def _problem(problem: Any) -> str:
    match problem["type"]:
        case "missing":
            return "is missing"
        case "extra_forbidden":
            return "is not a field of this request"
        case "string_type" | "model_type" | "model_attributes_type" if _one_of_many(problem):
            return f"must be a string, or an object with text, got {_kind(problem['input'])}"
        case "model_type" | "model_attributes_type":
            return f"must be an object with text, got {_seen(problem['input'])}"
        case "dict_type":
            return f"must be an object, got {_seen(problem['input'])}"
        case "string_pattern_mismatch":  # the only pattern that there is
            return f"must not be only white space, got {_seen(problem['input'])}"
    return f"{problem['msg'].removeprefix('Input ')}, got {_seen(problem['input'])}"


def _one_of_many(problem: Any) -> bool:
    """Whether it is a whole item that is wrong, where a text and an object are allowed, and not a field of it."""
    last = problem["loc"][-1]
    return len(problem["loc"]) > 1 and isinstance(last, str) and _BRANCH.fullmatch(last) is not None


def _seen(value: object) -> str:
    """A number or a truth value as JSON has it, of anything else its type."""
    return json.dumps(value)[:SHOWN_CHARS] if isinstance(value, int | float) else _kind(value)


def _kind(value: object) -> str:
    """A value's type, in JSON's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"a string of {len(value)} characters"
        case list():
            return f"a list of {len(value)}"
    return "an object"


def check_count(body: Mapping[str, Any], policy: HttpPolicy, texts: str) -> None:
    """The number of candidates, before each is looked at. `texts`: what the dialect calls them."""
    given = body.get(texts)
    if isinstance(given, list) and len(given) > policy.max_candidates:
        over(texts, f"{policy.max_candidates} candidates", len(given))


def check(call: Call, policy: HttpPolicy, texts: str) -> None:
    """Sizes. `texts`: what the dialect calls its candidates."""
    if len(call.query) > policy.max_query_chars:
        over("query", f"{policy.max_query_chars} characters", len(call.query))
    for place, each in enumerate(call.candidates):
        length = len(each if isinstance(each, str) else each["text"])
        if length > policy.max_candidate_chars:
            over(f"{texts}[{place}]", f"{policy.max_candidate_chars} characters", length)


def over(field: str, limit: str, seen: int) -> NoReturn:
    """Refuse what is over a limit, naming it and what was seen."""
    raise Refusal(
        "validation", f"{field}: at most {limit} are allowed, got {seen}", param=field, code="limit"
    )
