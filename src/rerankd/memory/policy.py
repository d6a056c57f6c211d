"""How the memory is kept (`StorePolicy`) and how it is asked (`MemoryPolicy`)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rerankd.core.policy import check_at_least, check_one_of, check_range
from rerankd.core.secret import Secret
from rerankd.errors import ConfigError

__all__ = ["MemoryPolicy", "StorePolicy"]

_MODES = ("plain", "sealed")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePolicy:
    """Which database, whose memories, how the vectors are kept, and how long it may take."""

    url: Secret | None = None
    """The database as the application's plain role sees it; empty: an embedded one in the data folder."""
    owner_url: Secret | None = None
    """The same database as the owner of the tables; `memory migrate` needs it."""
    maintain_url: Secret | None = None
    """The same database as the maintaining role; rotating, re-embedding and vacuuming need it."""
    tenant: str = "default"
    """Whose memories these are; part of the hash by which a user is found."""
    vectors: Literal["plain", "sealed"] = "plain"
    """`plain`: pgvector ranks. `sealed`: vectors are encrypted like the text, and opened and ranked here."""
    pool_min: int = 1
    """Connections that are kept open."""
    pool_max: int = 8
    """The most connections that are open at once."""
    connect_timeout_ms: float = 5_000.0
    """How long making a connection may take."""
    statement_timeout_ms: float = 30_000.0
    """How long a statement may run where no budget sets a shorter limit."""

    def __post_init__(self) -> None:
        if not isinstance(self.tenant, str) or not self.tenant or len(self.tenant) > 200:
            raise ConfigError(f"StorePolicy.tenant: must be 1 to 200 characters, got {self.tenant!r}")
        check_one_of(self, "vectors", _MODES)
        check_range(self, "pool_min", 1)
        check_range(self, "pool_max", 1, 1_000)
        check_at_least(self, "pool_max", "pool_min")
        check_range(self, "connect_timeout_ms", 1)
        check_range(self, "statement_timeout_ms", 1)


_EPOCHS = re.compile(r"\s*\d{1,6}:[A-Za-z0-9+/_=-]+(\s*,\s*\d{1,6}:[A-Za-z0-9+/_=-]+)*\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPolicy:
    """How many memories a query looks at, what it may take, how old ones fade, and where the keys are."""

    top_k_ann: int = 24
    """How many nearest memories are handed to the reranker."""
    top_k: int = 8
    """How many memories a query returns."""
    budget_ms: float = 250.0
    """The deadline of a query, embedding and database included."""
    half_life_days: float = 0.0
    """After this age a memory counts half; 0: age does not count."""
    floor: float = 0.0
    """Memories that count less than this share are left out; needs a half-life. 0: none are."""
    decay_score: bool = True
    """With a half-life, whether the retrieval score is multiplied by the decay; else only the floor applies."""
    max_characters: int = 20_000
    """The longest text that `add` takes."""
    max_metadata_bytes: int = 8_192
    """The largest metadata of one memory, as JSON."""
    max_batch: int = 10_000
    """The most texts that one `add` takes."""
    embedder: str = "BAAI/bge-small-en-v1.5"
    """What turns text into vectors of 384 numbers: the embedded one by its id, or a folder with its files."""
    embed_workers: int = 1
    """Threads that embed."""
    embed_queue: int = 64
    """How many queries may wait for the embedder before further ones are refused."""
    keys: Secret | None = None
    """Key-encryption keys as `EPOCH:BASE64,...` (32 bytes each, the highest epoch is current), from a secret
    manager; empty: files in `key_dir`, generated at first use."""
    peppers: Secret | None = None
    """Peppers of the user hash, written like `keys`; empty: files in `key_dir`, generated at first use."""
    key_dir: Path | None = None
    """Where generated keys are kept, of one database; empty: under `keys` in the data folder."""

    def __post_init__(self) -> None:
        check_range(self, "top_k_ann", 1, 1_000)
        check_range(self, "top_k", 1, 1_000)
        check_at_least(self, "top_k_ann", "top_k")
        check_range(self, "budget_ms", 1)
        check_range(self, "half_life_days", 0)
        check_range(self, "floor", 0, 1)
        if self.floor > 0 and self.half_life_days == 0:
            raise ConfigError(f"MemoryPolicy.floor: needs half_life_days, got {self.floor!r} without one")
        check_range(self, "max_characters", 1, 1_000_000)
        check_range(self, "max_metadata_bytes", 2, 1_000_000)
        check_range(self, "max_batch", 1, 1_000_000)
        if not isinstance(self.embedder, str) or not self.embedder.strip():
            raise ConfigError(f"MemoryPolicy.embedder: must be an id or a folder, got {self.embedder!r}")
        check_range(self, "embed_workers", 1, 64)
        check_range(self, "embed_queue", 1, 100_000)
        for name in ("keys", "peppers"):
            value = getattr(self, name)
            if value is not None and not _EPOCHS.fullmatch(value):
                raise ConfigError(f"MemoryPolicy.{name}: must be EPOCH:BASE64 pairs, got {value!r}")
