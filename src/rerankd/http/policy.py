"""Where the service listens, and what it takes from a caller before it says no."""

from dataclasses import dataclass
from pathlib import Path

from rerankd.core.policy import check_at_least, check_range
from rerankd.errors import ConfigError

__all__ = ["HttpPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPolicy:
    """The service's limits. Each is checked before the work that it spares."""

    listen_host: str = "127.0.0.1"
    """The address to listen on. On anything but loopback an API key must exist."""
    listen_port: int = 8000
    """The port to listen on; 0 lets the system choose one."""
    max_body_bytes: int = 2_000_000
    """The largest request body, counted while it arrives."""
    max_candidates: int = 1_000
    """Most candidates of one request."""
    max_memories: int = 256
    """Most memories that one request adds or deletes; each that is added is embedded before the answer."""
    max_candidate_chars: int = 32_000
    """Most characters of one candidate."""
    max_query_chars: int = 8_000
    """Most characters of a query."""
    max_json_depth: int = 8
    """How deep objects and lists of a body may be nested."""
    max_json_objects: int = 50_000
    """Most objects and lists in a body: reading very many would hold everybody up."""
    max_budget_ms: float = 10_000.0
    """The longest budget that a caller gets, also one that asked for more."""
    answer_ms: float = 5.0
    """How much of each budget is kept for writing an answer and its way to the caller, whose clock it is that
    counts. With none, answers under load came 2 ms after the budget in the middle and 7 to 10 ms at p99
    (`make prove-service ARGS="--row 3"`, two cores that also sent the requests)."""
    strict_model: bool = False
    """Refuse a `model` that is not served in every dialect. Our own always does."""
    metrics_public: bool = False
    """Answer `/metrics` without a key where keys are needed."""
    keys_file: Path | None = None
    """The file of hashed API keys; unset: `keys.json` in the data folder."""
    key_requests_per_minute: int = 6_000
    """Requests a key may send per minute, in the long run; 0: any number. What is over is answered unscored."""
    key_concurrency: int = 64
    """Requests of one key in flight at once; 0: any number. What is over is answered unscored."""
    max_header_bytes: int = 65_536
    """The longest request line and headers that are waited for; what is read at once may be longer."""
    header_timeout_ms: float = 10_000.0
    """The time in which a request's headers must have arrived, from the connection or the previous answer's
    end on, once a first byte has come."""
    body_timeout_ms: float = 10_000.0
    """The time in which a request's body must have arrived, from the end of its headers on."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the service; none: no page of another origin."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names that a request may be addressed to; none: on loopback the loopback's own, else any."""
    shutdown_grace_ms: float = 5_000.0
    """How long a stopping server waits for the answers in flight."""
    memory: bool = False
    """Serve the memory too, at `/api/v1/memory/`. It always needs a key with a memory scope."""
    isolated: bool = True
    """Run the model in a supervised process of its own, which is replaced when it dies or hangs."""

    def __post_init__(self) -> None:
        check_range(self, "listen_port", 0, 65_535)
        check_range(self, "max_body_bytes", 1_000)
        check_range(self, "max_candidates", 1)
        check_range(self, "max_memories", 1)
        check_range(self, "max_candidate_chars", 1)
        check_range(self, "max_query_chars", 1)
        check_range(self, "max_json_depth", 3, 100)
        check_range(self, "max_header_bytes", 1_000)
        check_range(self, "max_json_objects", 10)
        check_range(self, "max_budget_ms", 1)
        check_range(self, "answer_ms", 0)
        check_range(self, "key_requests_per_minute", 0)
        check_range(self, "key_concurrency", 0)
        check_range(self, "header_timeout_ms", 100)
        check_range(self, "body_timeout_ms", 100)
        check_range(self, "shutdown_grace_ms", 0)
        check_at_least(self, "max_body_bytes", "max_query_chars")
        if not self.listen_host:
            raise ConfigError("HttpPolicy.listen_host: must be an address or a host name, got ''")
