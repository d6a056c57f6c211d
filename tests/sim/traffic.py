"""Who calls the virtual reranker: what callers ask for, how they wait, and what they do not wait for."""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rerankd.core.answer import Ranking
from rerankd.core.types import Text
from rerankd.engine.ticket import Ticket
from rerankd.reranker import Reranker
from rerankd.serving import Call
from tests.sim.world import World

__all__ = ["Ask", "Caller", "Mix", "Pool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What requests of one scenario look like; shares are from 0 to 1."""

    budgets: tuple[tuple[float, float, float], ...] = (
        (0.70, 250.0, 250.0),
        (0.15, 20.0, 1_000.0),
        (0.08, 0.0, 6.0),
        (0.04, 1_000.0, 5_000.0),
        (0.03, math.inf, math.inf),
    )
    """`(share, from, to)` in milliseconds; infinity: no limit."""
    most: int = 40
    large: float = 0.0005
    """Requests of 1,000 candidates."""
    long: float = 0.02
    """Candidates far beyond the window; one of 1 MB among them now and then."""
    cancels: float = 0.03
    frozen: float = 0.005
    """Callers whose thread stands still for a while after it was woken."""
    rate_limited: float = 0.01
    plain: bool = False
    """Only the usual request: no cut, no variant, the policy's long texts."""
    count: int = 0
    """Candidates of every request; 0: from none to `most`."""
    tenants: int = 0
    """On whose behalf requests come, some on nobody's; 0: all on nobody's, whose scores are never kept."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request's arguments, and how its caller behaves."""

    items: list[Any]
    texts: list[str]
    options: dict[str, Any]
    cancel_after: float | None
    dawdles: float
    frozen: bool


class _Row:
    """A caller's own class."""

    __slots__ = ("id", "metadata", "score", "text")

    def __init__(self, number: int, text: str) -> None:
        self.id = f"row-{number}"
        self.text = text
        self.score = number / 7
        self.metadata = {"number": number}


class Pool:
    """Ready-made candidate lists: making a new one for each of millions of requests would take longest."""

    def __init__(self, mix: Mix, seed: int, lists: int = 60) -> None:
        self._random = random.Random(seed)
        self._mix = mix
        self._lists = [self._list(self._count()) for _ in range(lists)]
        self._large = self._list(1_000) if mix.large else ([], [])
        ordinary = [sum(map(len, texts)) for _, texts in self._lists]
        pairs = sum(len(texts) for _, texts in self._lists)
        self.mean_pairs = pairs / lists
        self.mean_characters = sum(ordinary) / max(1, pairs)

    def ask(self) -> Ask:
        draw, mix = self._random, self._mix
        items, texts = self._large if draw.random() < mix.large else draw.choice(self._lists)
        options: dict[str, Any] = {"budget_ms": self._budget()}
        if not mix.plain:
            if draw.random() < 0.3:
                options["top_k"] = draw.choice((1, 3, 8, 20, 100))
            if draw.random() < 0.1:
                options["min_score"] = draw.choice((0.0, 0.2, 0.5, 0.99))
            if draw.random() < 0.2:
                options["on_deadline"] = draw.choice(("partial", "retrieval"))
            if draw.random() < 0.3:
                options["long_text"] = draw.choice(("truncate", "chunk", "fit"))
            if draw.random() < 0.2:
                options["flag_key"] = str(draw.random())
            options["rate_limited"] = draw.random() < mix.rate_limited
        if mix.tenants:
            options["tenant"] = draw.choice((None, *(f"tenant-{each}" for each in range(mix.tenants))))
        cancels = draw.random() < mix.cancels
        return Ask(
            items,
            texts,
            options,
            draw.expovariate(1 / 0.08) if cancels else None,
            draw.random() if draw.random() < 0.3 else 0.0,
            draw.random() < mix.frozen,
        )

    def _budget(self) -> float | None:
        roll = self._random.random()
        low, high = 0.0, math.inf
        for share, low, high in self._mix.budgets:  # noqa: B007 - the last one is used
            roll -= share
            if roll < 0:
                break
        return None if high == math.inf else self._random.uniform(low, high)

    def _count(self) -> int:
        return self._mix.count or self._random.choice(
            (0, 1, 2, 8, 24, self._random.randint(0, self._mix.most))
        )

    def _list(self, count: int) -> tuple[list[Any], list[str]]:
        texts = [self._text() for _ in range(count)]
        match self._random.choice(("strings", "rows", "objects")):
            case "strings":
                return list(texts), texts
            case "rows":
                return [
                    {"id": f"id-{n}", "text": text, "metadata": object()} for n, text in enumerate(texts)
                ], texts
            case _:
                return [_Row(n, text) for n, text in enumerate(texts)], texts

    def _text(self) -> str:
        draw = self._random
        if draw.random() < self._mix.long:
            length = draw.choice((3_000, 8_000, 30_000, 1_000_000 if draw.random() < 0.1 else 9_000))
        else:
            # a mean of about 350 characters, up to about 1,600: 78 tokens, up to 350
            length = min(1_600, max(1, int(draw.lognormvariate(5.7, 0.6))))
        letter = draw.choice("abcdefghij" if draw.random() < 0.95 else "äßд漢\ud800")
        return letter * length if draw.random() > 0.01 else ""


class Caller:
    """One caller, in the steps of `Reranker._serve`: receive, admit, wait, settle; or abandon."""

    def __init__(
        self, world: World, reranker: Reranker, ask: Ask, answered: Callable[["Caller"], None]
    ) -> None:
        self._world = world
        self._reranker = reranker
        self._answered = answered
        self._woken = False
        self._tiers: Iterator[Ticket] = iter(())
        self.ask = ask
        self.call: Call | None = None
        self.answer: Ranking | None = None
        self.answered_at = math.inf
        self.cancelled = False

    def arrive(self) -> None:
        options = dict(self.ask.options)
        call = self.call = self._reranker._serving.receive(
            QUERY, self.ask.items, options.pop("budget_ms"), **options
        )
        answer = self._reranker._serving.fail_open(call, self._reranker._serving.admit)
        if answer is not None:
            self._end(answer)
            return
        assert call.ticket is not None
        call.ticket.done.add_done_callback(lambda _: self._world.soon(self._go_on))
        if call.wakes < math.inf:
            self._world.at(call.wakes, self._wake)
        if self.ask.cancel_after is not None:
            self._world.at(self._world.now() + self.ask.cancel_after, self._cancel)

    @property
    def ended(self) -> bool:
        return self.answer is not None or self.cancelled

    def _go_on(self) -> None:
        """The first pass is complete: wait for a cascade's larger model, if that has been asked."""
        if self._woken or self.ended:
            return
        assert self.call is not None
        self._reranker._serving.fail_open(self.call, self._reranker._serving.refine)
        self._tiers = self._reranker._serving.tiers(self.call)
        self._next_tier()

    def _next_tier(self) -> None:
        if self._woken or self.ended:
            return
        ticket = next(self._tiers, None)
        if ticket is None:
            self._wake()
        else:
            ticket.done.add_done_callback(lambda _: self._world.soon(self._next_tier))

    def _wake(self) -> None:
        if self._woken or self.ended:
            return
        self._woken = True
        assert self.call is not None
        # the thread gets its turn a little later, within the guard; a frozen one much later
        guard = self._reranker.policy.guard(self.call.request.budget_ms)
        delay = 1.5 if self.ask.frozen else self.ask.dawdles * guard * 0.999
        if delay:
            self._world.at(self._world.now() + delay, self._settle)
        else:
            self._settle()

    def _settle(self) -> None:
        if self.ended:
            return
        assert self.call is not None
        reranker, call = self._reranker, self.call
        self._end(reranker._serving.fail_open(call, reranker._serving.settle))

    def _cancel(self) -> None:
        if self.ended:
            return
        assert self.call is not None
        self.cancelled = True
        self._reranker._serving.abandon(self.call)
        self._answered(self)

    def _end(self, answer: Ranking) -> None:
        self.answer = answer
        self.answered_at = self._world.now()
        self._answered(self)


QUERY = Text("which of these is it then")
