"""Which server scores instead of a model of our own, and what it is trusted with."""

from dataclasses import dataclass
from typing import Literal, get_args
from urllib.parse import urlsplit

from rerankd.core.policy import check_one_of, check_range
from rerankd.core.secret import Secret
from rerankd.errors import ConfigError

__all__ = ["Dialect", "RemotePolicy"]

Dialect = Literal["rerankd", "tei", "cohere", "jina", "voyage"]
_NAMES_A_MODEL = ("cohere", "jina", "voyage")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemotePolicy:
    """Which server scores, and how long it is waited for."""

    url: str = ""
    """Where the server is (`https://api.cohere.com`); empty: the model runs here. A path is kept; one that ends
    in `/rerank` is taken as it is."""
    dialect: Dialect = "rerankd"
    """What it speaks; `cohere` is its version 2."""
    key: Secret | None = None
    """The key to send as a bearer token."""
    model: str = ""
    """The model to ask it for; `cohere`, `jina` and `voyage` need one, the others may do without."""
    reserve_ms: float = 10.0
    """How much of what is left of a budget is kept for the way there and back; the server is told the rest."""
    timeout_ms: float = 30_000.0
    """The longest wait for an answer, where the caller has set no budget."""
    connections: int = 16
    """Most requests under way at once, each on a connection that is kept for the next."""
    keepalive_ms: float = 30_000.0
    """How long an idle connection is kept."""
    max_candidates: int = 1_000
    """Most candidates of one HTTP request; more go in several at once. A default TEI server takes 32."""
    max_answer_bytes: int = 4_000_000
    """The longest answer that is read."""
    max_tokens: int = 512
    """The window of its model: of longer texts only the beginning is sent, 16 characters a token."""
    takeover: float = 0.0
    """The share of a budget, from 0 to 1, after which a model of our own takes over from a server that has not
    answered; at once where it failed. 0: never."""
    takeover_model: str = "large"
    """The model that takes over: a folder, a hub id or an alias."""

    def __post_init__(self) -> None:
        check_one_of(self, "dialect", get_args(Dialect))
        check_range(self, "reserve_ms", 0)
        check_range(self, "timeout_ms", 1)
        check_range(self, "connections", 1, 1_000)
        check_range(self, "keepalive_ms", 0)
        check_range(self, "max_candidates", 1)
        check_range(self, "max_answer_bytes", 1_000)
        check_range(self, "max_tokens", 16)
        check_range(self, "takeover", 0, 0.95)
        if not self.url:
            return
        # the value is not repeated: people put keys into URLs, which is why that is refused
        problem = _what_is_wrong_with(self.url)
        if problem:
            raise ConfigError(f"RemotePolicy.url: {problem}")
        if self.dialect in _NAMES_A_MODEL and not self.model:
            raise ConfigError(f"RemotePolicy.model: {self.dialect} wants one, got ''")

    @property
    def host(self) -> str:
        """The server's name, for people and metrics."""
        return urlsplit(self.url).hostname or ""

    @property
    def name(self) -> str:
        """What answers and metrics call the scorer."""
        return self.model or f"{self.dialect}@{self.host}"


def _what_is_wrong_with(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "must be an http or https URL"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must be an http or https URL"
    if parts.username is not None or parts.query or parts.fragment:
        return "must hold no user, query or fragment; a key goes into RERANKD_REMOTE_KEY"
    return ""
