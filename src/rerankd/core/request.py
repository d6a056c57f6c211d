"""What a caller asks for, checked before anything is queued."""

from dataclasses import dataclass

from rerankd.core.policy import check_one_of, check_range
from rerankd.core.types import LongText, OnDeadline


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
    """The head of a request, scored before anyone's rest: this many times its `top_k`, rounded up ..."""
    head_min: int = 8
    """... and at least this many candidates."""
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
