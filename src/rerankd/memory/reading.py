"""Checks what callers give, before any work is done. Raises `InvalidRequest`, which never quotes a text."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from rerankd.core.types import Text
from rerankd.errors import InvalidRequest
from rerankd.memory.policy import MemoryPolicy
from rerankd.memory.vault import Draft

__all__ = ["read_drafts", "read_ids", "read_metadata", "read_moment", "read_text", "read_user", "read_whole"]

_MOST_USER_ID = 1_000
_MOST_ENTRIES = 100
_MOST_DEEP = 20
_MOST_BITS = 1_024
"""Of a whole number: Python refuses to print much longer ones."""


def read_user(user_id: object, argument: str = "user_id") -> str:
    """A user id: 1 to 1,000 characters, none of them alone a surrogate."""
    if not isinstance(user_id, str):
        raise InvalidRequest(argument, f"must be a string, got {type(user_id).__name__}")
    if not user_id or user_id.isspace():
        raise InvalidRequest(argument, "must not be empty or only white space")
    if len(user_id) > _MOST_USER_ID:
        raise InvalidRequest(argument, f"at most {_MOST_USER_ID} characters are allowed, got {len(user_id)}")
    _check_unicode(user_id, argument)
    return user_id


def read_text(text: object, argument: str, policy: MemoryPolicy) -> Text:
    if not isinstance(text, str):
        raise InvalidRequest(argument, f"must be a string, got {type(text).__name__}")
    if not text or text.isspace():
        raise InvalidRequest(argument, "must not be empty or only white space")
    if len(text) > policy.max_characters:
        raise InvalidRequest(
            argument, f"at most {policy.max_characters} characters are allowed, got {len(text)}"
        )
    _check_unicode(text, argument)
    return Text(text)


def read_drafts(
    texts: object,
    metadata: object,
    created_at: object,
    *,
    now: datetime,
    policy: MemoryPolicy,
) -> list[Draft]:
    """The memories to add. `metadata` and `created_at`: one for all texts, or one for each, or None."""
    if isinstance(texts, str | bytes | Mapping) or not isinstance(texts, Iterable):
        raise InvalidRequest("texts", f"must be a list of strings, got {type(texts).__name__}")
    given = list(texts)
    if len(given) > policy.max_batch:
        raise InvalidRequest("texts", f"at most {policy.max_batch} are allowed at once, got {len(given)}")
    about = _one_each(metadata, "metadata", len(given), Mapping)
    moments = _one_each(created_at, "created_at", len(given), datetime)
    drafts = []
    for at, text in enumerate(given):
        where = f"[{at}]"
        own = f"metadata{where}" if isinstance(metadata, list | tuple) else "metadata"
        when = f"created_at{where}" if isinstance(created_at, list | tuple) else "created_at"
        drafts.append(
            Draft(
                id=uuid4(),
                text=read_text(text, f"texts{where}", policy),
                metadata=read_metadata(about[at], own, policy),
                # a microsecond apart, so that the order in which they were given is known
                created_at=read_moment(moments[at], when) or now + timedelta(microseconds=at),
            )
        )
    return drafts


def _one_each(value: object, argument: str, count: int, kind: type) -> Sequence[Any]:
    if value is None or isinstance(value, kind):
        return [value] * count
    if not isinstance(value, list | tuple):
        wanted = "an object" if kind is Mapping else "a datetime"
        raise InvalidRequest(
            argument, f"must be {wanted}, or a list with one for each text, got {type(value).__name__}"
        )
    if len(value) != count:
        raise InvalidRequest(argument, f"must be one for each of {count} texts, got {len(value)}")
    return value


def read_metadata(value: object, argument: str, policy: MemoryPolicy) -> Mapping[str, Any]:
    """A JSON object, as it will come back: a copy, so that a later change of the caller's changes nothing."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidRequest(argument, f"must be a JSON object, got {type(value).__name__}")
    if len(value) > _MOST_ENTRIES:
        raise InvalidRequest(argument, f"at most {_MOST_ENTRIES} entries are allowed, got {len(value)}")
    _check_json(dict(value), argument, 0)
    written = json.dumps(dict(value), allow_nan=False)
    if len(written) > policy.max_metadata_bytes:
        raise InvalidRequest(
            argument, f"at most {policy.max_metadata_bytes} bytes of JSON are allowed, got {len(written)}"
        )
    copied: dict[str, Any] = json.loads(written)
    return copied


def _check_json(value: object, argument: str, depth: int) -> None:
    """What JSON gives back as it was: no names but strings, no NaN, no objects of other kinds."""
    if depth > _MOST_DEEP:
        raise InvalidRequest(argument, f"must not be nested deeper than {_MOST_DEEP}")
    if isinstance(value, str):
        _check_unicode(value, argument)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise InvalidRequest(argument, f"names must be strings, got {type(name).__name__}")
            _check_unicode(name, argument)
            _check_json(inner, argument, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_json(inner, argument, depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InvalidRequest(argument, "must not hold NaN or infinities")
    elif isinstance(value, int):
        if value.bit_length() > _MOST_BITS:
            raise InvalidRequest(argument, "holds a number that is too large")
    elif value is not None:
        raise InvalidRequest(argument, f"must be JSON, got {type(value).__name__}")


def read_moment(value: object, argument: str) -> datetime | None:
    """A date and time with a time zone, or None."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise InvalidRequest(argument, f"must be a datetime, or None, got {type(value).__name__}")
    if value.utcoffset() is None:
        raise InvalidRequest(argument, "must have a time zone")
    try:
        value.astimezone(UTC)
    except OverflowError:  # the database could keep it, and no driver read it back
        raise InvalidRequest(argument, "must lie in the years 1 to 9999 of UTC") from None
    return value


def read_ids(ids: object) -> list[UUID]:
    """Ids as `add` gave them: UUIDs, or strings of them."""
    if isinstance(ids, str | bytes | Mapping | UUID) or not isinstance(ids, Iterable):
        raise InvalidRequest("ids", f"must be a list of ids, got {type(ids).__name__}")
    read = []
    for at, value in enumerate(ids):
        try:
            read.append(value if isinstance(value, UUID) else UUID(value))
        except (ValueError, TypeError, AttributeError):
            raise InvalidRequest(f"ids[{at}]", "must be the id of a memory, a UUID") from None
    return read


def read_whole(value: object, argument: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        seen = value if isinstance(value, int) and abs(value) < 10**15 else type(value).__name__
        raise InvalidRequest(argument, f"must be a whole number from 1 to {most}, got {seen}")
    return value


def _check_unicode(text: str, argument: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InvalidRequest(argument, "must be valid Unicode: it has half of a surrogate pair") from None
