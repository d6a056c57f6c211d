"""Scores windows of rows with a model, on as many threads as it can use, and without deadlines."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from rerankd.bulk.grouping import token_batches
from rerankd.bulk.job import Job
from rerankd.bulk.row import Row, Scored
from rerankd.core.lengths import estimated_tokens
from rerankd.core.ports import Model
from rerankd.core.ranking import cut, is_score, order, sigmoid
from rerankd.core.request import Request, read_request
from rerankd.core.types import Pair, Reason
from rerankd.engine.stop import StopSignal
from rerankd.errors import InvalidRequest, OutOfMemory

__all__ = ["MAX_BATCH_TOKENS", "BulkScorer"]

MAX_BATCH_TOKENS = 16_384
"""Padded tokens of one run where pairs share runs, unless the scorer asks for less."""
_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


@dataclass(slots=True)
class _Asked:
    """A row that is a good request."""

    request: Request
    pairs: Sequence[tuple[Pair, ...]]


class BulkScorer:
    """Scores rows. The same rows in one call get the same scores, however many threads there are."""

    def __init__(self, model: Model, job: Job, *, threads: int = 0) -> None:
        """`threads` 0: as many as the scorer can use at once."""
        traits = model.scorer.traits
        self._model = model
        self._job = job
        self._policy = job.policy
        grouped = traits.batch_invariant and traits.max_batch_tokens > 0
        self._max_tokens = min(MAX_BATCH_TOKENS, traits.max_batch_tokens) if grouped else 0
        self._stop = StopSignal()
        self._count = threads or traits.concurrency
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="rerankd-bulk")

    def close(self) -> None:
        """End what is under way. The model is not closed."""
        self._stop.fire()
        self._threads.shutdown(cancel_futures=True)

    def score(self, rows: Sequence[Row]) -> list[Scored | str]:
        """For each row its scores, or why it has none; the reason never quotes a text."""
        asked = self._map(self._read, rows)
        good = [each for each in asked if isinstance(each, _Asked)]
        pairs = [pair for each in good for chunks in each.pairs for pair in chunks]
        values: list[float | str] = [Reason.MODEL_ERROR] * len(pairs)
        self._run_all(self._batches(good), pairs, values)
        given = iter(values)
        return [each if isinstance(each, str) else self._result(each, given) for each in asked]

    def _map(self, call: Callable[[_Given], _Made], given: Sequence[_Given]) -> list[_Made]:
        return list(self._threads.map(call, given))

    def _read(self, row: Row) -> _Asked | str:
        """Check the row as any request, and encode it."""
        if row.problem is not None:
            return row.problem
        try:
            request = read_request(self._policy, row.query, row.candidates, budget_ms=None)  # type: ignore[arg-type]
        except InvalidRequest as error:
            return str(error)
        pairs = self._attempt(lambda: self._encode(request))
        return pairs if isinstance(pairs, str) else _Asked(request, pairs)

    def _encode(self, request: Request) -> Sequence[tuple[Pair, ...]]:
        query, texts = request.query, [candidate.text for candidate in request.candidates]
        if not texts:
            return []
        window = self._model.max_tokens
        if self._model.tokenizer is None:
            return [(Pair(query, text, estimated_tokens(query, text, max_tokens=window)),) for text in texts]
        chunks = self._job.max_chunks if request.long_text == "chunk" else 1
        return self._model.tokenizer.encode(query, texts, max_tokens=window, max_chunks=chunks)

    def _batches(self, good: Sequence[_Asked]) -> list[list[int]]:
        lengths = [pair.tokens for each in good for chunks in each.pairs for pair in chunks]
        if self._model.scorer.traits.unit == "pair":
            return token_batches(lengths, self._max_tokens)
        batches, first = [], 0
        for each in good:
            count = sum(map(len, each.pairs))
            batches.append(list(range(first, first + count)))
            first += count
        return [batch for batch in batches if batch]

    def _run_all(
        self, batches: Sequence[list[int]], pairs: Sequence[Pair], values: list[float | str]
    ) -> None:
        """Run the batches in their order, each on the thread that is free first, and write the values down."""
        waiting = iter(batches)  # taken from by all threads: the interpreter hands out each batch once

        def drain(_: int) -> None:
            for batch in waiting:
                if self._stop.stopped:
                    return  # closed meanwhile; whoever asked has been interrupted
                for position, value in zip(batch, self._run(batch, pairs), strict=True):
                    values[position] = value

        # a task for each thread and not for each batch: where pairs run alone, tasks would cost as much as encoding
        self._map(drain, range(self._count))

    def _run(self, batch: Sequence[int], pairs: Sequence[Pair]) -> list[float | str]:
        """The values of a batch. What fails, as for want of memory, is tried again in halves, down to one pair."""
        asked = [pairs[position] for position in batch]
        scored = self._attempt(lambda: self._scored(asked))
        if not isinstance(scored, str):
            return list(scored)
        if len(batch) == 1 or self._model.scorer.traits.unit == "query":
            return [scored] * len(batch)
        half = len(batch) // 2
        return self._run(batch[:half], pairs) + self._run(batch[half:], pairs)

    def _scored(self, asked: Sequence[Pair]) -> list[float]:
        values = [float(value) for value in self._model.scorer.score(asked, self._stop)]
        if len(values) != len(asked):
            raise ValueError("not one score a pair")
        return values

    def _attempt(self, call: Callable[[], _Made]) -> _Made | str:
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the scorer's boundary: what fails costs its row, which says so
            # its message might quote a text
            kind = "out of memory" if isinstance(error, OutOfMemory) else type(error).__name__
            return f"{Reason.MODEL_ERROR}: {kind}"

    def _result(self, asked: _Asked, values: Iterator[float | str]) -> Scored | str:
        """A row is scored as a whole or not at all."""
        logits: list[float] = []
        problem = ""
        for chunks in asked.pairs:
            found = [next(values) for _ in chunks]
            numbers = [value for value in found if not isinstance(value, str)]
            failed = next((value for value in found if isinstance(value, str)), "")
            # the best chunk counts; and one that has no score might have been the best
            best = max(numbers) if all(map(is_score, numbers)) and numbers else float("nan")
            problem = problem or failed or ("" if is_score(best) else str(Reason.NONFINITE_SCORE))
            logits.append(best)
        if problem:
            return problem
        identity = self._model.scorer.traits.activation == "identity"
        scores = logits if identity else [sigmoid(logit) for logit in logits]
        return Scored(tuple(scores), tuple(logits), tuple(cut(order(logits), scores, top_k=self._job.top_k)))
