"""What a caller asks for, checked before anything is queued."""

import math
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from rerankd.core.policy import check_one_of, check_range
from rerankd.core.types import Candidate, CandidateId, LongText, OnDeadline, Text
from rerankd.errors import InvalidRequest

__all__ = ["Request", "RerankPolicy", "head_size", "read_candidates", "read_request"]

_MOST_SHOWN = 16
"""An error shows no word longer than this."""
_MOST_DIGITS = 1e15

_USUAL_TOP_K = 8
"""The head of a request that asks for all candidates is that of one asking for the usual 8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankPolicy:
    """What a request means where it says nothing itself."""

    budget_ms: float = 250.0
    """The caller's limit, from the call to the answer."""
    target_ms: float = 200.0
    """What p95 should stay below: dashboards and `doctor` compare with it, no request is cut by it."""
    guard_ms: float = 3.0
    """How long before the deadline a waiting caller wakes, to have the time to order and return."""
    head_factor: float = 1.5
    """The head of a request, scored before anyone's rest, is this many times its `top_k`, rounded up."""
    head_min: int = 8
    """The head of a request is at least this many candidates."""
    on_deadline: OnDeadline = "partial"
    """`partial`: what was scored is sorted; `retrieval`: all or nothing."""
    long_text: LongText = "truncate"
    """What happens to a candidate longer than the model's window."""
    max_chunks: int = 4
    """Most chunks of one candidate, with `long_text="chunk"`."""
    fit_floor_tokens: int = 96
    """The shortest cut of a candidate, with `long_text="fit"`."""
    max_candidates: int = 10_000
    """Most candidates of one request."""

    def __post_init__(self) -> None:
        check_range(self, "budget_ms", 0)
        check_range(self, "target_ms", 0)
        check_range(self, "guard_ms", 0)
        check_range(self, "head_factor", 1)
        check_range(self, "head_min", 1)
        check_one_of(self, "on_deadline", ("partial", "retrieval"))
        check_one_of(self, "long_text", ("truncate", "chunk", "fit"))
        check_range(self, "max_chunks", 1)
        check_range(self, "fit_floor_tokens", 8)
        check_range(self, "max_candidates", 1)

    def guard(self, budget_ms: float | None) -> float:
        """Seconds before the deadline at which the caller wakes; a quarter of a budget that is tiny."""
        return 0.0 if budget_ms is None else min(self.guard_ms, budget_ms / 4) / 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A checked request."""

    query: Text
    candidates: tuple[Candidate, ...]
    budget_ms: float | None
    top_k: int | None
    min_score: float | None
    on_deadline: OnDeadline
    long_text: LongText
    head: int
    """How many of the first candidates are scored before anyone's rest."""


def head_size(policy: RerankPolicy, top_k: int | None) -> int:
    """How many of the first candidates a request needs scored for its answer to be worth having.

    A head no larger than `top_k` could only permute what is returned anyway.
    """
    return max(policy.head_min, math.ceil(policy.head_factor * (top_k or _USUAL_TOP_K)))


def read_request(
    policy: RerankPolicy,
    query: object,
    candidates: Iterable[Any],
    *,
    budget_ms: float | None,
    top_k: int | None = None,
    min_score: float | None = None,
    on_deadline: OnDeadline | None = None,
    long_text: LongText | None = None,
    text: Callable[[Any], str] | None = None,
) -> Request:
    """Check a caller's arguments. Raises `InvalidRequest`, which names the argument and what was seen."""
    if not isinstance(query, str):
        raise InvalidRequest("query", f"must be a string, got {type(query).__name__}")
    if not query or query.isspace():
        raise InvalidRequest("query", "must not be empty or only white space")
    budget = _read_number("budget_ms", budget_ms, "a number of at least 0", low=0.0)
    least = _read_number("min_score", min_score, "a number", low=-math.inf)
    most = None if top_k is None else min(_read_top_k(top_k), policy.max_candidates)
    _check_word("on_deadline", on_deadline, ("partial", "retrieval"))
    _check_word("long_text", long_text, ("truncate", "chunk", "fit"))
    if text is not None and not callable(text):
        raise InvalidRequest("text", f"must be a function of a candidate, or None, got {_seen(text)}")
    return Request(
        query=Text(query),
        candidates=read_candidates(candidates, text=text, most=policy.max_candidates),
        budget_ms=None if budget == math.inf else budget,
        top_k=most,
        min_score=least,
        on_deadline=on_deadline or policy.on_deadline,
        long_text=long_text or policy.long_text,
        head=head_size(policy, most),
    )


def read_candidates(
    candidates: Iterable[Any], *, text: Callable[[Any], str] | None, most: int
) -> tuple[Candidate, ...]:
    """Read strings, objects or rows.

    The text is what `text(item)` gives, else the string itself, else the item's `text` (a key of a mapping,
    an attribute of an object). `id`, `score` and `metadata` are taken where the item has them; without an id,
    the position is the id.
    """
    # a mapping gives its keys and a set no order: neither is what the caller meant
    if isinstance(candidates, str | bytes | Mapping | AbstractSet) or not isinstance(candidates, Iterable):
        raise InvalidRequest("candidates", f"must be a list of candidates, got {type(candidates).__name__}")
    read: list[Candidate] = []
    seen: dict[CandidateId, int] = {}
    for position, item in enumerate(candidates):
        if position >= most:
            raise InvalidRequest("candidates", f"at most {most} are allowed, got more")
        candidate = _read_candidate(position, item, text)
        first = seen.setdefault(candidate.id, position)
        if first != position:
            raise InvalidRequest(
                f"candidates[{position}].id", f"the id of candidates[{first}] again; ids must be unique"
            )
        read.append(candidate)
    return tuple(read)


def _read_candidate(position: int, item: Any, text: Callable[[Any], str] | None) -> Candidate:
    if isinstance(item, str) and text is None:
        return Candidate(id=position, text=Text(item), item=item)
    value = text(item) if text is not None else _field(item, "text")
    if not isinstance(value, str):
        missing = value is None and text is None
        seen = f"{type(item).__name__} without one" if missing else type(value).__name__
        raise InvalidRequest(f"candidates[{position}].text", f"must be a string, got {seen}")
    identity = _field(item, "id")
    if identity is None or not _is_hashable(identity):
        identity = position
    score = _field(item, "score")
    return Candidate(
        id=identity,
        text=Text(value),
        score=_as_float(score) if _is_number(score) else None,
        metadata=_field(item, "metadata"),
        item=item,
    )


def _field(item: Any, name: str) -> Any:
    if isinstance(item, Mapping):
        return item.get(name)
    if isinstance(item, str):
        return None
    return getattr(item, name, None)


def _is_number(value: object) -> bool:
    # Real rather than float: a row's score may be a numpy scalar
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_hashable(value: object) -> bool:
    # a tuple is a Hashable also when what it holds is not
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _read_number(argument: str, value: Any, wanted: str, *, low: float) -> float | None:
    """As a plain float: a narrower type would pull the deadline down to its own precision."""
    if value is None:
        return None
    number = _as_float(value) if _is_number(value) else math.nan
    if not number >= low:
        raise InvalidRequest(argument, f"must be {wanted}, or None, got {_seen(value)}")
    return number


def _read_top_k(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise InvalidRequest("top_k", f"must be a whole number of at least 1, or None, got {_seen(value)}")
    return int(value)


def _check_word(argument: str, value: object, allowed: tuple[str, ...]) -> None:
    if value is not None and (not isinstance(value, str) or value not in allowed):
        short = isinstance(value, str) and len(value) <= _MOST_SHOWN
        seen = repr(value) if short else type(value).__name__
        raise InvalidRequest(argument, f"must be one of {', '.join(allowed)}, got {seen}")


def _seen(value: object) -> str:
    """A value as an error may show it: anything but a number could be a text in the wrong place."""
    if not isinstance(value, Real):
        return type(value).__name__
    number = _as_float(value)
    # a longer one may have more digits than Python is willing to print
    return repr(value) if abs(number) < _MOST_DIGITS else repr(number)
