"""How many scorers a Ray cluster runs, what each is given, and how they are asked."""

from dataclasses import dataclass

from rerankd.core.policy import check_at_least, check_range
from rerankd.errors import ConfigError

__all__ = ["ReplicasPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicasPolicy:
    """Scorers on a Ray cluster. Only `rerankd serve --ray`, `rerankd batch --ray` and the Serve application look
    here."""

    address: str = ""
    """The cluster (`ray://head:10001`, `auto`); empty: the one that `RAY_ADDRESS` names or that runs on this
    machine, else one of this process's own."""
    replicas: int = 0
    """How many scorers run; 0: between `min_replicas` and `max_replicas`, as the load asks."""
    min_replicas: int = 1
    """Fewest scorers, where the load decides."""
    max_replicas: int = 8
    """Most scorers, where the load decides."""
    target_ongoing_requests: float = 2.0
    """Requests under way at each scorer that the load is spread for: more add scorers, fewer remove some."""
    cpus: float = 1.0
    """Cores of each scorer; as many worker threads, rounded down and at least one."""
    gpus: float = 0.0
    """GPUs of each scorer; 0.5 lets two of them share one."""
    max_ongoing_requests: int = 32
    """Most requests at once at one scorer, which itself decides what of them fits in time."""
    max_queued_requests: int = 64
    """Most requests of one ingress that may wait until some scorer takes them; those beyond it are answered
    `overloaded`."""
    connections: int = 64
    """Most requests of one ingress under way at once; more wait in its own queue."""
    reserve_ms: float = 10.0
    """How much of what is left of a budget is kept for the way to the scorer and back; it is told the rest."""
    timeout_ms: float = 30_000.0
    """The longest wait for an answer, where the caller has set no budget."""
    ingresses: int = 1
    """Replicas of the HTTP application, where Ray Serve runs that, too (`rerankd.scale.serve:app`)."""
    keyless: bool = False
    """Let Ray Serve's proxy pass on requests without an API key. Whoever reaches the proxy may then rerank."""

    def __post_init__(self) -> None:
        check_range(self, "replicas", 0)
        check_range(self, "min_replicas", 1)
        check_at_least(self, "max_replicas", "min_replicas")
        check_range(self, "target_ongoing_requests", 0.1)
        check_range(self, "cpus", 0)
        check_range(self, "gpus", 0)
        check_range(self, "max_ongoing_requests", 1)
        check_range(self, "max_queued_requests", 1)
        check_range(self, "connections", 1, 1_000)
        check_range(self, "reserve_ms", 0)
        check_range(self, "timeout_ms", 1)
        check_range(self, "ingresses", 1)
        if self.cpus == 0 and self.gpus == 0:
            raise ConfigError("ReplicasPolicy.cpus: must be above 0 where gpus is 0, got 0")
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ConfigError(f"ReplicasPolicy.gpus: must be a whole number beyond 1, got {self.gpus!r}")
