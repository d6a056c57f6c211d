"""One request inside the engine: which of its pairs wait, run, are scored or given up."""

import math
from collections import deque
from collections.abc import Iterable, Sequence

from rerankd.core.estimate import pair_weight
from rerankd.core.lengths import USUAL, PerToken, estimated_tokens
from rerankd.core.types import Pair, Reason, Text

__all__ = ["FIRST", "REFINING", "Item", "Job", "Part"]

FIRST, REFINING = 0, 1
"""The lanes: of a request's first pass, and of the larger model of a cascade."""


class Item:
    """One pair of one candidate of one job."""

    __slots__ = ("candidate", "job", "pair")

    def __init__(self, job: "Job", candidate: int, pair: Pair) -> None:
        self.job = job
        self.candidate = candidate
        self.pair = pair


class Part:
    """The head or the rest of a job: the candidates from `first` up to `last`, without it."""

    __slots__ = ("first", "last", "next", "ready", "waiting_pairs", "waiting_weight")

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last
        self.next = first
        """The first candidate that nobody has begun to encode."""
        self.ready: deque[Item] = deque()
        """Encoded pairs that wait for a run, in retrieval order."""
        self.waiting_weight = 0.0
        """What is not yet begun will weigh, estimated until it is encoded."""
        self.waiting_pairs = 0

    def change(self, pairs: int, weight: float) -> None:
        """So many pairs more, or fewer, wait."""
        self.waiting_pairs += pairs
        # rounding may neither go below nothing nor leave a remainder of it
        self.waiting_weight = max(0.0, self.waiting_weight + weight) if self.waiting_pairs else 0.0

    @property
    def available(self) -> bool:
        """Whether a worker could begin something here."""
        return bool(self.ready) or self.next < self.last


class Job:
    """A request's candidates on their way through the workers.

    A candidate is resolved once: scored when all its chunks have a finite score (the best chunk counts),
    given up when a run with one of them failed, gave no number, or could not end in time. The job is complete
    when all are resolved; from then on, or once it is closed, nothing changes it any more.
    """

    __slots__ = (
        "_chunks",
        "_resolved",
        "_spans",
        "arrived",
        "begun",
        "closed",
        "deadline",
        "dropped",
        "errors",
        "exchange",
        "first_work",
        "head",
        "head_unresolved",
        "known",
        "lane",
        "late",
        "left",
        "lengths",
        "logits",
        "max_chunks",
        "max_tokens",
        "nonfinite",
        "number",
        "overran",
        "parts",
        "per_token",
        "query",
        "sizes",
        "texts",
        "tier",
        "unresolved",
        "unserved",
    )

    def __init__(
        self,
        number: int,
        query: Text,
        texts: Sequence[Text],
        *,
        arrived: float,
        deadline: float,
        head: int,
        max_tokens: int,
        max_chunks: int = 1,
        tier: int | None = None,
        known: Sequence[float | None] = (),
    ) -> None:
        """`deadline`: when the caller stops waiting, in the clock's seconds. `head`: how many are tier 0.

        `tier`: of a job for the larger model of a cascade, which of its tiers this is, from 0; None: a first pass.
        `known`: one a text, the raw score where it was given before; only the others are the job's work, and
        everything but its `results` speaks of those alone.
        """
        self.number = number
        self.query = query
        self.known = known
        if known:
            head = sum(score is None for score in known[:head])
            texts = [text for text, score in zip(texts, known, strict=True) if score is None]
            # what is left is a job like any other: that the scorer serves some of it is what it is judged by
            head = max(1, head)
        self.texts = texts
        self.arrived = arrived
        self.deadline = deadline
        self.tier = tier
        self.lane = FIRST if tier is None else REFINING
        """Which scorer the job is for."""
        self.head = min(head, len(texts))
        self.max_chunks = max_chunks
        self.parts = (Part(0, self.head), Part(self.head, len(texts)))
        self.logits: list[float | None] = [None] * len(texts)
        self.unresolved = len(texts)
        self.head_unresolved = self.head
        self.errors = 0
        self.nonfinite = 0
        self.left: Reason | None = None
        """Why the scorer left candidates without a score, where that was no failure."""
        self.dropped = 0
        """Pairs that were never run, or stopped: they could not end in time."""
        self.late = False
        """Whether a candidate was given up because it could not end in time."""
        self.unserved = False
        """Whether the engine was closed under it."""
        self.overran = False
        """Whether a run was overdue when the job was closed, or was given up while the job waited."""
        self.begun = False
        self.closed = False
        self.exchange: object = None
        """The engine's own handle for whoever waits."""
        self.first_work: float | None = None
        self._chunks = [1] * len(texts)
        self._resolved = [False] * len(texts)
        self._spans = {"tokenize": _Span(), "inference": _Span()}
        self.lengths: list[int] = []
        """Tokens of each candidate, guessed until it is encoded."""
        self.sizes: list[int] = []
        """The same as it is usually guessed, whatever was learned of other texts."""
        self.per_token = USUAL
        self.max_tokens = max_tokens
        self.cap(max_tokens)

    def split(self, head: int) -> None:
        """Make the head that long; only before anything is begun."""
        self.head = min(head, len(self.texts))
        self.head_unresolved = self.head
        self.parts = (Part(0, self.head), Part(self.head, len(self.texts)))
        self._weigh()

    def cap(self, max_tokens: int) -> None:
        """Cut every candidate to that many tokens; only before anything is begun."""
        self.max_tokens = max_tokens
        self.sizes = [self._guessed(text, USUAL) for text in self.texts]
        if self.per_token == USUAL:
            self.lengths = self.sizes.copy()
        else:
            self.lengths = [self._guessed(text, self.per_token) for text in self.texts]
        self._weigh()

    def guess(self, per_token: PerToken) -> None:
        """Guess anew how long those candidates are that nobody has begun to encode."""
        if per_token.near(self.per_token):
            return  # not worth going through a thousand texts
        self.per_token = per_token
        for part in self.parts:
            for candidate in range(part.next, part.last):
                before, tokens = self.lengths[candidate], self._guessed(self.texts[candidate], per_token)
                if tokens != before:
                    part.change(0, self.weight(tokens) - self.weight(before))
                    self.lengths[candidate] = tokens

    def _guessed(self, text: Text, per_token: PerToken) -> int:
        return estimated_tokens(
            self.query, text, max_tokens=self.max_tokens, max_chunks=self.max_chunks, per_token=per_token
        )

    def _weigh(self) -> None:
        for part in self.parts:
            span = self.lengths[part.first : part.last]
            part.waiting_weight = sum(self.weight(tokens) for tokens in span)
            part.waiting_pairs = len(span)

    def weight(self, tokens: int) -> float:
        """The relative cost of a candidate that long, chunks included."""
        windows, remainder = divmod(tokens, self.max_tokens)
        return windows * pair_weight(self.max_tokens) + pair_weight(remainder)

    def part_of(self, candidate: int) -> Part:
        return self.parts[candidate >= self.head]

    @property
    def waiting_pairs(self) -> int:
        """Pairs that nobody has begun to score."""
        return self.parts[0].waiting_pairs + self.parts[1].waiting_pairs

    @property
    def complete(self) -> bool:
        return self.unresolved == 0

    @property
    def whole(self) -> bool:
        """Whether it is complete, and nothing in it was given up for want of time."""
        return self.complete and not self.late

    @property
    def head_complete(self) -> bool:
        """Whether the first tier is finished: the order could be shown as it is then."""
        return self.head_unresolved == 0

    def drop_unencoded(self, part: Part) -> None:
        """Give up what nobody has begun to encode: it could not end in time."""
        self.forget(part, part.next, part.last)
        for candidate in range(part.next, part.last):
            self.drop(candidate)
        part.next = part.last

    def forget(self, part: Part, first: int, last: int) -> None:
        """These candidates will never have pairs to wait for."""
        for candidate in range(first, last):
            part.change(-1, -self.weight(self.lengths[candidate]))

    def ready(self, candidate: int, pairs: Sequence[Pair]) -> None:
        """A candidate has been encoded into these pairs, which now wait for a run."""
        part = self.part_of(candidate)
        weight = sum(pair_weight(pair.tokens) for pair in pairs)
        part.change(len(pairs) - 1, weight - self.weight(self.lengths[candidate]))
        self._chunks[candidate] = len(pairs)
        self.lengths[candidate] = sum(pair.tokens for pair in pairs)
        part.ready.extend(Item(self, candidate, pair) for pair in pairs)

    def taken(self, item: Item) -> None:
        """A pair left the queue, to run or to be dropped."""
        self.part_of(item.candidate).change(-1, -pair_weight(item.pair.tokens))

    def returned(self, item: Item) -> None:
        """A pair goes back to the front of the queue: its run did not fit into memory."""
        part = self.part_of(item.candidate)
        part.change(1, pair_weight(item.pair.tokens))
        part.ready.appendleft(item)

    def scored(self, candidate: int, logit: float) -> None:
        """A chunk has its score; the candidate has one when all of them do."""
        if self._resolved[candidate]:
            return
        if not math.isfinite(logit):
            self.nonfinite += 1
            self.give_up(candidate)
            return
        best = self.logits[candidate]
        self.logits[candidate] = logit if best is None else max(best, logit)
        self._chunks[candidate] -= 1
        if self._chunks[candidate] == 0:
            self._resolve(candidate)

    def failed(self, candidates: Iterable[int]) -> None:
        """A run, or the encoding, of these candidates failed."""
        self.errors += 1
        for candidate in candidates:
            self.give_up(candidate)

    def give_up(self, candidate: int) -> None:
        """This candidate will not be scored."""
        if not self._resolved[candidate]:
            self.logits[candidate] = None
            self._resolve(candidate)

    def leave(self, candidate: int, reason: Reason) -> None:
        """The scorer did not come to this candidate."""
        self.left = self.left or reason
        self.give_up(candidate)

    def drop(self, candidate: int) -> None:
        """One of its pairs could not end in time."""
        self.dropped += 1
        self.late = True
        self.give_up(candidate)

    def close(self, *, overran: bool) -> None:
        """Nobody waits for it any more: what nobody has begun is dropped."""
        self.closed = True
        self.overran = self.overran or overran
        self.dropped += self.waiting_pairs
        for part in self.parts:
            # what is in there points back here: let go of it now, not when the collector comes round
            part.ready.clear()
            part.next = part.last
            part.change(-part.waiting_pairs, 0.0)

    def abandon(self) -> None:
        """It cannot be complete in time, and would be of no use otherwise: give up what has no score yet."""
        self.late = True
        self.dropped += self.waiting_pairs
        for candidate in range(len(self.texts)):
            self.give_up(candidate)
        for part in self.parts:
            part.ready.clear()
            part.next = part.last
            part.change(-part.waiting_pairs, 0.0)

    def fail_all(self) -> None:
        """The engine itself failed: nothing more will come."""
        self.failed(range(len(self.texts)))

    def results(self) -> list[float | None]:
        """Each candidate's raw score, None where it has none (also where only some chunks have one)."""
        found = self.scores()
        if not self.known:
            return found
        given = iter(found)
        return [next(given) if score is None else score for score in self.known]

    def scores(self) -> list[float | None]:
        """The same of those candidates whose score was not known before."""
        return [logit if done else None for logit, done in zip(self.logits, self._resolved, strict=True)]

    def wants(self, item: Item) -> bool:
        """Whether the pair's score would still be used."""
        return not (self.closed or self._resolved[item.candidate])

    def begin(self, stage: str, now: float) -> None:
        """A worker begins to work for this job."""
        self.begun = True
        if self.first_work is None:
            self.first_work = now
        self._spans[stage].begin(now)

    def end(self, stage: str, now: float) -> None:
        self._spans[stage].end(now)

    def spent(self, stage: str, now: float) -> float:
        """Seconds in which at least one worker did this for the job."""
        return self._spans[stage].total(now)

    def _resolve(self, candidate: int) -> None:
        self._resolved[candidate] = True
        self.unresolved -= 1
        self.head_unresolved -= candidate < self.head


class _Span:
    """Time in which at least one of several overlapping activities went on."""

    __slots__ = ("_active", "_since", "_total")

    def __init__(self) -> None:
        self._active = 0
        self._since = 0.0
        self._total = 0.0

    def begin(self, now: float) -> None:
        if self._active == 0:
            self._since = now
        self._active += 1

    def end(self, now: float) -> None:
        self._active -= 1
        if self._active == 0:
            self._total += now - self._since

    def total(self, now: float) -> float:
        return self._total + (now - self._since if self._active else 0.0)
