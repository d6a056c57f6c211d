"""The same requests in real time, to see whether the replay told the truth."""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Protocol

from rerankd.core.answer import Ranking
from rerankd.core.types import Candidate
from rerankd.evaluation.recording import Recording
from rerankd.evaluation.replay import Replayed

__all__ = ["AsyncReranks", "ask"]


class AsyncReranks(Protocol):
    """What is asked: a `rerankd.Reranker`, or anything that answers like one."""

    async def arerank(
        self, query: str, candidates: Sequence[Candidate], *, budget_ms: float | None
    ) -> Ranking: ...


async def ask(
    recording: Recording,
    reranker: AsyncReranks,
    *,
    budget_ms: float,
    rate: float,
    requests: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Replayed]:
    """Send the recorded queries as the replay does, and tell which candidates were scored in time.

    `recording`: the small model's, of a cascade. Arrivals do not wait for answers. With the same seed they come in
    the same order at the same moments as in `rerankd.evaluation.replay.replay`.
    """
    draw, loop = random.Random(seed), asyncio.get_running_loop()
    names, at = list(recording.queries), loop.time()
    answers: list[Replayed] = []

    async def one(name: str) -> None:
        query = recording.queries[name]
        candidates = [Candidate(id=str(place), text=text) for place, text in enumerate(query.texts)]
        ranking = await reranker.arerank(query.query, candidates, budget_ms=budget_ms)
        scored, refined = [False] * len(candidates), [False] * len(candidates)
        for candidate in ranking:
            scored[candidate.retrieval_rank - 1] = candidate.scored
            refined[candidate.retrieval_rank - 1] = candidate.scored_by not in (None, recording.model)
        answers.append(Replayed(name, tuple(scored), tuple(refined) if ranking.refined_depth else ()))
        if progress is not None:
            progress(len(answers), requests)

    async with asyncio.TaskGroup() as group:
        for sent in range(requests):
            if sent % len(names) == 0:
                draw.shuffle(names)
            at += draw.expovariate(rate)
            await asyncio.sleep(max(0.0, at - loop.time()))
            group.create_task(one(names[sent % len(names)]))
    return answers
