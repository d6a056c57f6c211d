"""What a model makes of a collection's candidates, and what each pair costs: recorded once, replayed often."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rerankd.core.ports import Clock, Model, Scorer
from rerankd.core.types import Pair, Text
from rerankd.engine.calibration import Calibration, calibrate
from rerankd.engine.stop import StopSignal
from rerankd.errors import ConfigError
from rerankd.evaluation.collection import Collection
from rerankd.evaluation.run import Run
from rerankd.evaluation.sample import sample

__all__ = ["RecordedQuery", "Recording", "record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedQuery:
    """One query's first candidates, in retrieval order."""

    query: Text = field(repr=False)
    documents: tuple[str, ...] = field(repr=False)
    """Their ids, and after them those of the rest of the run."""
    texts: tuple[Text, ...] = field(repr=False)
    tokens: tuple[int, ...]
    logits: tuple[float, ...]
    seconds: tuple[float, ...]
    """What each pair's run took while all workers were busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A model's scores and costs on one collection and one run."""

    model: str
    run: str
    workers: int
    max_tokens: int
    queries: Mapping[str, RecordedQuery] = field(repr=False)
    calibration: Calibration = field(repr=False)
    without: tuple[str, ...] = ()
    """Judged queries that the run has nothing for: there is nothing to ask, and each counts as 0."""

    @property
    def judged(self) -> int:
        """How many queries every mean is over."""
        return len(self.queries) + len(self.without)

    def encode_seconds(self, characters: int) -> float:
        """What encoding so many characters takes: a line through what was timed."""
        (light, quick), (heavy, slow) = sorted(self.calibration.encodings)
        slope = max(0.0, (slow - quick) / (heavy - light))
        return max(0.0, quick - slope * light) + slope * characters

    def capacity(self) -> float:
        """Full queries a second."""
        spent = sum(
            sum(each.seconds) + self.encode_seconds(sum(map(len, each.texts)))
            for each in self.queries.values()
        )
        return self.workers * len(self.queries) / spent


def record(
    collection: Collection,
    run: Run,
    model: Model,
    clock: Clock,
    *,
    depth: int = 24,
    size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Recording:
    """Score the first `depth` documents of each judged query, one pair a run on all of the model's workers.

    A judged query that the run has nothing for is kept by its id, and counts as 0 as in `evaluate`.
    Raises `ConfigError` for a model that is not local or is not scored pair by pair, and for a run that has
    none of the judged queries; what the model raises passes through.
    """
    traits = model.scorer.traits
    if not traits.local or traits.unit != "pair" or model.tokenizer is None:
        raise ConfigError(f"at-budgets: {traits.model} is not scored pair by pair on this machine")
    calibration = calibrate(model, clock)
    drawn = sample(collection.judgements, size)
    asked = [query for query in drawn if run.orders.get(query)]
    if not asked:
        raise ConfigError("at-budgets: no judged query has a line in the run")
    recorded = {}
    with ThreadPoolExecutor(traits.concurrency) as pool:
        for done, query in enumerate(asked, 1):
            order = run.orders[query]
            text = Text(collection.queries[query].text)
            texts = tuple(collection.documents[key].text for key in order[:depth])
            pairs = [pairs[0] for pairs in model.tokenizer.encode(text, texts, max_tokens=model.max_tokens)]
            runs = list(pool.map(lambda pair: _timed(model.scorer, pair, clock), pairs))
            recorded[query] = RecordedQuery(
                query=text,
                documents=tuple(order),
                texts=texts,
                tokens=tuple(pair.tokens for pair in pairs),
                logits=tuple(logit for logit, _ in runs),
                seconds=tuple(seconds for _, seconds in runs),
            )
            if progress is not None:
                progress(done, len(asked))
    return Recording(
        model=traits.model,
        run=run.name,
        workers=traits.concurrency,
        max_tokens=model.max_tokens,
        queries=recorded,
        calibration=calibration,
        without=tuple(query for query in drawn if query not in recorded),
    )


def _timed(scorer: Scorer, pair: Pair, clock: Clock) -> tuple[float, float]:
    began = clock.now()
    scores: Sequence[float] = scorer.score([pair], StopSignal())
    return float(scores[0]), clock.now() - began
