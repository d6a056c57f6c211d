"""What the core asks of the world: protocols of one to four methods. Fakes are in `rerankd.testing`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from rerankd.core.events import Event, LossCause, ModelState
from rerankd.core.flag import Flag
from rerankd.core.types import Activation, Pair, Text

__all__ = [
    "Clock",
    "FlagSource",
    "FlagStore",
    "Health",
    "HealthChange",
    "Model",
    "Observer",
    "Scorer",
    "ScorerTraits",
    "Stop",
    "Tokenizer",
]


class Clock(Protocol):
    """Monotonic time. The only source of "now" below the edge."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        ...


class Stop(Protocol):
    """Tells a running scorer that nobody waits for it any more."""

    @property
    def stopped(self) -> bool: ...

    @property
    def deadline(self) -> float:
        """When the last of those who wait stops waiting, in the clock's seconds; infinity: no limit."""
        ...

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from another thread, when the run should end; now if it already should."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerTraits:
    """What a scorer is and how it wants to be fed."""

    model: str
    """The model's id as answers and metrics name it."""
    device: str
    """`cpu`, `cuda:0`, `remote`."""
    concurrency: int = 1
    """How many runs may be under way at once; one worker thread each."""
    unit: Literal["pair", "query"] = "pair"
    """`query`: one run takes all pairs of one request, as plain text; the engine never splits or mixes them."""
    batch_invariant: bool = False
    """Whether a pair's score is the same whoever shares its run. Only then are pairs ever grouped."""
    max_batch_tokens: int = 0
    """Padded tokens that one run may hold when pairs are grouped; 0: one pair a run is fastest."""
    interruptible: bool = False
    """Whether a run ends soon after its `Stop` fires."""
    activation: Activation = "sigmoid"
    """`sigmoid` where scores are logits, `identity` where they are probabilities already."""
    punctual: bool = False
    """Of a scorer of whole requests: whether it answers by the deadline that it is told, with less if need be.
    Then what its calls took before says nothing about the next."""
    local: bool = True
    """Local scorers are probed with a synthetic pair and heal fast; remote ones with a caller's request."""


class Scorer(Protocol):
    """Scores pairs. Called from several threads at once, up to `traits.concurrency`."""

    @property
    def traits(self) -> ScorerTraits: ...

    def score(self, pairs: Sequence[Pair], stop: Stop) -> Sequence[float]:
        """One raw score a pair, in order. Raises `OutOfMemory` when the run did not fit, `DeviceLost` when no
        run will go well any more, else anything.

        `Scores`, with NaN where there is none, where it did not come to all of them by no fault of its own.

        Once `stop` has fired it may raise, or return fewer scores: nobody reads them.
        """
        ...

    def close(self) -> None:
        """Free what the scorer holds. Called once, after the last run."""
        ...


class Tokenizer(Protocol):
    """Turns text into pairs. Called from several threads at once."""

    def encode(
        self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1
    ) -> Sequence[tuple[Pair, ...]]:
        """For each text its pairs: one, or with `max_chunks` > 1 up to that many overlapping chunks.

        No pair is longer than `max_tokens` tokens, special tokens included. The candidate is cut, never the
        query, which may itself fill at most half the window. Work per text is bounded whatever its length.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthChange:
    """A scorer that lives in a process of its own was lost, or is back."""

    state: ModelState
    error: str | None = None
    """Why it cannot score now."""
    cause: LossCause | None = None
    """What became of it, where it was just lost."""
    seconds: float | None = None
    """How long it took to load, where it is back."""


class Health(Protocol):
    """Tells whether a scorer that lives in a process of its own can score now."""

    @property
    def state(self) -> ModelState: ...

    def watch(self, changed: Callable[[HealthChange], None]) -> None:
        """Have every change told from now on, from another thread; at once what has changed before."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A loaded model: a scorer, and the tokenizer that prepares its pairs (None: it takes plain text)."""

    scorer: Scorer
    tokenizer: Tokenizer | None
    max_tokens: int
    """The window of the model, special tokens included."""
    health: Health | None = None
    """Of a scorer that can be lost and replaced while it is in use; None: it is there until it is closed."""
    digest: str = ""
    """The SHA-256 of the weights' file, in hexadecimal; empty where whoever loaded it has not seen the file."""
    stands_in_s: float | None = None
    """Where it runs in the place of a better one that was lost: seconds after which that should be tried again."""
    refiner: "Model | None" = None
    """The larger model of a cascade, which rescores what this one has put first, pair by pair."""

    @property
    def name(self) -> str:
        """As answers name it: the ids of a cascade are joined by a plus."""
        own = self.scorer.traits.model
        return own if self.refiner is None else f"{own}+{self.refiner.name}"

    def close(self) -> None:
        """Free what its scorers hold."""
        self.scorer.close()
        if self.refiner is not None:
            self.refiner.close()


class Observer(Protocol):
    """Hears what happened. Must be quick; an exception is caught, counted and otherwise ignored."""

    def on(self, event: Event) -> None: ...


class FlagSource(Protocol):
    """Where the run-time switch is kept."""

    @property
    def name(self) -> str:
        """For people: `memory`, `file`, `openfeature`."""
        ...

    @property
    def immediate(self) -> bool:
        """Whether `read` touches nothing outside the process. It is then asked for every request; another
        source is polled, away from the request path."""
        ...

    def read(self, context: Mapping[str, str]) -> Flag | None:
        """The flag now, or None when it cannot be read: the last known one then stays in force."""
        ...


@runtime_checkable
class FlagStore(FlagSource, Protocol):
    """A source that this process may change itself."""

    def set(self, flag: Flag) -> None: ...
