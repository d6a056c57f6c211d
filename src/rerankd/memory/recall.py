"""The way of a question: embed, find the user's nearest memories, open them, rerank, all under one deadline.

Only reranking fails open. No database, no embedding, no key: an error, in time. A record that does not open in
its place is left out, told of, and not made up for with the next nearest: whoever damaged it must not choose
what is shown instead.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rerankd.core.deadline import Deadline
from rerankd.core.events import Event, MemoryQueried, RecordsRejected
from rerankd.core.types import Text
from rerankd.errors import StoreError
from rerankd.memory.decay import oldest, weight
from rerankd.memory.directory import Directory
from rerankd.memory.embedder import Embedder, Run, Vector
from rerankd.memory.epochs import MissingKey
from rerankd.memory.labels import PURPOSE, labels_of
from rerankd.memory.sealing import Sealer, TamperedError
from rerankd.memory.store.port import Store
from rerankd.memory.types import (
    Filter,
    Found,
    MemoryChunk,
    Recall,
    RecallTimings,
    StoredRow,
    UserRecord,
    VectorMode,
    Vectors,
)
from rerankd.memory.vault import CHUNKS, VECTOR, Opened, Vault, open_row
from rerankd.reranker import Reranker

if TYPE_CHECKING:
    from rerankd.memory.vectors import Near

__all__ = ["Question", "Recaller", "check_embedder"]

_AT_ONCE = 256
"""So many sealed vectors are opened in the event loop, in half a millisecond; more go to a thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A checked question."""

    query: Text
    tenant: str
    user_id: str = field(repr=False)
    budget_ms: float | None
    arrived: float
    """By the reranker's clock."""
    now: datetime
    """From which ages count."""
    top_k_ann: int
    top_k: int
    since: datetime | None
    until: datetime | None
    metadata: Mapping[str, Any] = field(repr=False)
    half_life_seconds: float
    """0: age does not count."""
    floor: float
    decay_score: bool

    @property
    def deadline(self) -> Deadline:
        return Deadline.after(self.arrived, self.budget_ms)

    def filter(self, labels: tuple[bytes, ...]) -> Filter:
        since = self.since
        decays = self.half_life_seconds > 0
        if decays:
            cut = oldest(self.now, self.half_life_seconds, self.floor)
            since = max(filter(None, (since, cut)), default=None)
        return Filter(
            since=since,
            until=self.until,
            labels=labels,
            now=self.now if decays and self.decay_score else None,
            half_life_seconds=self.half_life_seconds if decays and self.decay_score else None,
        )

    def retrieval_score(self, row: StoredRow) -> float:
        """Cosine similarity, times the decay where the order counts it."""
        similarity = 1.0 - (1.0 if row.distance is None else row.distance)
        if self.half_life_seconds > 0 and self.decay_score:
            age = (self.now - row.created_at).total_seconds()
            return max(0.0, similarity) * weight(age, self.half_life_seconds)
        return similarity


@dataclass(slots=True)
class _Stopwatch:
    """How long each stage took, in milliseconds."""

    now: Callable[[], float]
    since: float
    stages: dict[str, float] = field(default_factory=dict)

    def end(self, stage: str) -> None:
        """The time since the last stage ended was this one's."""
        moment = self.now()
        self.stages[stage] = self.stages.get(stage, 0.0) + (moment - self.since) * 1000
        self.since = moment


class _Moved(Exception):  # noqa: N818 - reads as what happened
    """The user was erased and made anew, or the vectors were, between two reads."""


@dataclass(frozen=True, slots=True)
class _Retrieved:
    rows: tuple[StoredRow, ...]
    """Nearest first, with their distances."""
    sealer: Sealer | None
    user: UserRecord | None
    rejected: int = 0
    """How many vectors did not open."""


def check_embedder(user: UserRecord, embedder: Embedder) -> None:
    """Raise `StoreError` unless this embedder made the user's vectors: others cannot be compared with its own."""
    if user.embedder != embedder.id:
        raise StoreError(
            f"this user's memories were embedded by {user.embedder}, not by {embedder.id}:"
            " run `rerankd memory reembed`, or set `memory.embedder` back"
        )


class Recaller:
    """Answers questions. Knows the parts, and keeps nothing between two questions."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        vault: Vault,
        embedder: Embedder,
        reranker: Reranker,
        mode: VectorMode,
        threads: Executor,
        emit: Callable[[Event], None],
    ) -> None:
        """`mode`: in which mode most users are; asked first. `threads`: where many vectors are opened."""
        self._store = store
        self._directory = directory
        self._vault = vault
        self._embedder = embedder
        self._reranker = reranker
        self._mode = mode
        self._threads = threads
        self._emit = emit

    async def recall(self, question: Question) -> Recall:
        """Raises `StoreError`, `SealError` and `BackendError` (no embedding) by the deadline."""
        watch = _Stopwatch(self._reranker.clock.now, question.arrived)
        vector = await self._embedder.query(question.query, deadline=question.deadline)
        watch.end("embed")
        found = await self._retrieved(question, vector, watch)
        opened, rejected = self._opened(question, found)
        watch.end("open")
        ranking = await self._reranker.arerank(
            question.query,
            opened,
            budget_ms=question.budget_ms,
            top_k=question.top_k,
            arrived=question.arrived,
            flag_key=None if found.user is None else found.user.subject.hex,
        )
        watch.end("rerank")
        total = (watch.since - question.arrived) * 1000
        recall = Recall(
            chunks=tuple(_chunk(candidate) for candidate in ranking),
            outcome=ranking.outcome,
            reason=ranking.reason,
            depth=ranking.depth,
            candidates=len(opened),
            dropped=rejected,
            timings=RecallTimings(**watch.stages, total=total),
            model=ranking.model,
        )
        self._tell(question, recall)
        return recall

    async def _retrieved(self, question: Question, vector: Vector, watch: _Stopwatch) -> _Retrieved:
        """The nearest rows, and what opens them."""
        for last in (False, False, True):
            try:
                return await self._attempt(question, vector, watch)
            except _Moved:
                if last:
                    raise StoreError("the user is being made anew again and again: ask later") from None
            except MissingKey:
                # the data key was wrapped anew after it was read, and the old key is gone: read it again
                if last:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, question: Question, vector: Vector, watch: _Stopwatch) -> _Retrieved:
        labels: tuple[bytes, ...] = ()
        labelled: UserRecord | None = None
        if question.metadata:
            labelled = await self._user(question)
            if labelled is None:
                watch.end("store")
                return _Retrieved((), None, None)
            sealer = await self._vault.sealer(labelled, deadline=question.deadline)
            labels = labels_of(sealer.derive(PURPOSE), question.metadata)
        chosen = question.filter(labels)
        modes: tuple[VectorMode, ...] = ("plain", "sealed") if self._mode == "plain" else ("sealed", "plain")
        for mode in modes:
            read = self._plain if mode == "plain" else self._sealed
            found = await read(question, vector, chosen, watch)
            if found.user is None or found.user.vectors == mode:
                break
        else:
            raise _Moved  # each kind was asked for while the other was kept: to be empty is no answer
        if found.user is not None:
            check_embedder(found.user, self._embedder)
        # labels are of one data key: with another one they would find nothing and not say why
        if labelled is not None and (found.user is None or found.user.subject != labelled.subject):
            raise _Moved
        return found

    async def _user(self, question: Question) -> UserRecord | None:
        deadline = question.deadline
        return await self._directory.look(
            question.tenant,
            question.user_id,
            lambda user_hash: self._store.user(user_hash, deadline=deadline),
            deadline=deadline,
        )

    async def _plain(
        self, question: Question, vector: Vector, chosen: Filter, watch: _Stopwatch
    ) -> _Retrieved:
        deadline = question.deadline

        async def ask(user_hash: str) -> Found | None:
            found = await self._store.nearest(
                user_hash, vector.tolist(), question.top_k_ann, chosen, deadline=deadline
            )
            return found if found.user is not None else None

        found = await self._directory.look(question.tenant, question.user_id, ask, deadline=deadline)
        watch.end("store")
        if found is None or found.user is None:
            return _Retrieved((), None, None)
        sealer = await self._vault.sealer(found.user, deadline=deadline)
        return _Retrieved(tuple(found.rows), sealer, found.user)

    async def _sealed(
        self, question: Question, vector: Vector, chosen: Filter, watch: _Stopwatch
    ) -> _Retrieved:
        deadline = question.deadline

        async def ask(user_hash: str) -> tuple[str, Vectors] | None:
            found = await self._store.vectors(user_hash, chosen, deadline=deadline)
            return (user_hash, found) if found.user is not None else None

        answer = await self._directory.look(question.tenant, question.user_id, ask, deadline=deadline)
        watch.end("store")
        if answer is None or answer[1].user is None:
            return _Retrieved((), None, None)
        user_hash, found = answer
        user = answer[1].user
        sealer = await self._vault.sealer(user, deadline=deadline)
        if not found.rows:
            return _Retrieved((), sealer, user)
        near = await self._nearest(question, sealer, found, vector, chosen)
        watch.end("rank")
        read = await self._store.rows(user_hash, near.ids, deadline=deadline)
        watch.end("store")
        if read.user is None or read.user.subject != user.subject:
            raise _Moved
        distances = dict(zip(near.ids, near.distances, strict=True))
        rows = tuple(replace(row, distance=distances[row.id]) for row in read.rows)
        return _Retrieved(rows, sealer, user, rejected=near.rejected)

    async def _nearest(
        self, question: Question, sealer: Sealer, found: Vectors, vector: Vector, chosen: Filter
    ) -> "Near":
        from rerankd.memory.vectors import nearest

        run = Run()
        given = (sealer, CHUNKS, VECTOR, found.rows, vector, question.top_k_ann, chosen, run)
        if len(found.rows) <= _AT_ONCE:
            return nearest(*given)
        left = question.deadline.remaining(self._reranker.clock.now())
        try:
            async with asyncio.timeout(None if left == math.inf else max(0.0, left)):
                return await asyncio.get_running_loop().run_in_executor(self._threads, nearest, *given)
        except TimeoutError:
            raise StoreError("the user's vectors were not opened and ranked by the deadline") from None
        finally:
            run.end()  # whoever waited may be gone

    def _opened(self, question: Question, found: _Retrieved) -> tuple[list[Opened], int]:
        """The memories that open, and how many records did not."""
        opened: list[Opened] = []
        if found.sealer is None:
            return opened, 0
        for row in found.rows:
            try:
                opened.append(open_row(found.sealer, row, score=question.retrieval_score(row)))
            except TamperedError:
                continue
        rejected = found.rejected + len(found.rows) - len(opened)
        if rejected and found.user is not None:
            self._emit(RecordsRejected(subject=found.user.subject.hex, records=rejected))
        return opened, rejected

    def _tell(self, question: Question, recall: Recall) -> None:
        times = recall.timings
        self._emit(
            MemoryQueried(
                outcome=recall.outcome,
                reason=recall.reason,
                depth=recall.depth,
                candidates=recall.candidates,
                rejected=recall.dropped,
                budget_ms=question.budget_ms,
                elapsed_ms=times.total,
                embed_ms=times.embed,
                store_ms=times.store,
                rank_ms=times.rank,
                open_ms=times.open,
                rerank_ms=times.rerank,
            )
        )


def _chunk(candidate: Any) -> MemoryChunk:
    opened: Opened = candidate.item
    return MemoryChunk(
        id=opened.id,
        text=opened.text,
        metadata=opened.metadata,
        score=candidate.score,
        retrieval_score=opened.score or 0.0,
        retrieval_rank=candidate.retrieval_rank,
        created_at=opened.created_at,
    )
