"""What observers hear. Events carry sizes, ids, durations and enums, never text."""

from dataclasses import dataclass
from typing import Literal

from rerankd.core.flag import Flag
from rerankd.core.types import Outcome, Reason

__all__ = [
    "STAGES",
    "BatchLimitChanged",
    "CircuitChanged",
    "CircuitState",
    "Event",
    "FlagChanged",
    "LossCause",
    "MemoryFailed",
    "MemoryQueried",
    "ModelChanged",
    "ModelState",
    "RecordsRejected",
    "RunEnded",
    "RunResult",
    "ScorerLost",
    "Settled",
    "Shadow",
    "Timings",
    "WorkerReplaced",
]

CircuitState = Literal["closed", "half_open", "open"]
ModelState = Literal["loading", "ready", "unavailable"]
RunResult = Literal["scored", "failed", "dropped", "yielded"]
"""`yielded`: a larger model's run made way for a first pass, and its pairs went back to their queue."""
LossCause = Literal["died", "stopped", "hung"]


STAGES = ("queue", "tokenize", "inference", "refine", "order")
"""The fields of `Timings`, in the order in which a request passes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Where a request's time went, in milliseconds.

    `queue`: until its first work began. `tokenize` and `inference`: time during which at least one worker
    did that for this request (two workers at once count once), in its first pass.
    `refine`: from the end of that until the larger model of a cascade had rescored what it could. `order`: making
    the answer.
    """

    queue: float = 0.0
    tokenize: float = 0.0
    inference: float = 0.0
    refine: float = 0.0
    order: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """What a request in shadow mode would have been answered."""

    outcome: Outcome
    reason: Reason | None
    depth: int
    overlap: float
    """Share of the first `top_k` (or 8) candidates that both orders have there."""
    moved: int
    """How many candidates would have stood in another place."""
    elapsed_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A request was answered. Exactly one for each request that was not refused as invalid."""

    request: int
    outcome: Outcome
    reason: Reason | None
    depth: int
    candidates: int
    budget_ms: float | None
    elapsed_ms: float
    timings: Timings
    model: str | None
    shadow: Shadow | None = None
    refined_depth: int | None = None
    """How many of the candidates the larger model of a cascade rescored; None: it is no cascade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnded:
    """A run of the scorer ended, or pairs were dropped before one (then `seconds` is 0)."""

    result: RunResult
    pairs: int
    tokens: int
    padded_tokens: int
    seconds: float
    predicted_seconds: float
    model: str
    error: str | None = None
    """The exception's type name, never its message: a message may quote text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged:
    scorer: str
    state: CircuitState
    previous: CircuitState
    bad: int
    calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChanged:
    state: ModelState
    model: str
    device: str | None = None
    error: str | None = None
    """Why it is unavailable: names a file or a step."""
    load_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReplaced:
    """A worker died, or hung beyond its limit and was abandoned."""

    cause: Literal["died", "hung"]
    abandoned: int
    """How many hung threads are still alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerLost:
    """The process that scored ended, was stopped, or hung and was killed. The next one is being started."""

    cause: LossCause
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimitChanged:
    """Runs were made smaller after one ran out of memory, or are growing back."""

    max_pairs: int
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagChanged:
    flag: Flag
    previous: Flag
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryQueried:
    """The memory answered a question. Times in milliseconds; what reranking did is in a `Settled` as well."""

    outcome: Outcome
    reason: Reason | None
    depth: int
    candidates: int
    """How many memories were found and opened."""
    rejected: int
    """How many were found and did not open."""
    budget_ms: float | None
    elapsed_ms: float
    embed_ms: float
    store_ms: float
    rank_ms: float
    open_ms: float
    rerank_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFailed:
    """A call of the memory raised an error that is not its caller's fault."""

    call: str
    """`query`, `add`, `delete`, ..."""
    error: str
    """The exception's type name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsRejected:
    """Sealed records did not open in their place, and were left out. Damage, or an attack: raise an alert."""

    subject: str
    """The random id of the user whose records they are; it says nothing about who that is."""
    records: int


Event = (
    Settled
    | RunEnded
    | CircuitChanged
    | ModelChanged
    | WorkerReplaced
    | ScorerLost
    | BatchLimitChanged
    | FlagChanged
    | MemoryQueried
    | MemoryFailed
    | RecordsRejected
)
