"""What has to hold for every request, checked by other means than the code that made it so."""

import math
from collections import Counter
from typing import Any

from rerankd.core.answer import Ranking
from rerankd.core.conclusion import Conclusion
from rerankd.core.types import Outcome, Reason
from tests.sim.machine import LARGER, larger_logit_of, logit_of
from tests.sim.traffic import Caller

__all__ = ["Violations", "check_answer"]

# not `model_unavailable`: that is also what those hear whose engine is closed under them
_UNASKED = {
    Reason.DISABLED,
    Reason.MODEL_LOADING,
    Reason.CIRCUIT_OPEN,
    Reason.RATE_LIMITED,
    Reason.BUDGET_TOO_SMALL,
    Reason.SHADOW,
}


class Violations:
    """Broken promises by their name, with the first few instances."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[Any]] = {}

    def add(self, promise: str, *details: Any) -> None:
        self.counts[promise] += 1
        self.examples.setdefault(promise, [])
        if len(self.examples[promise]) < 3:
            self.examples[promise].append(details)

    def expect(self, promise: str, holds: bool, *details: Any) -> None:
        if not holds:
            self.add(promise, *details)

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __repr__(self) -> str:
        return f"{dict(self.counts)} {self.examples}"


def check_answer(broken: Violations, caller: Caller, conclusion: Conclusion | None) -> None:
    """Hold one answer against the ranking rule, the meaning of its outcome, and its deadline."""
    answer, call = caller.answer, caller.call
    assert answer is not None
    assert call is not None
    number = call.number
    if not caller.ask.frozen:
        broken.expect("answered by its deadline", caller.answered_at <= call.deadline.at, number)
    broken.expect("permit ended", call.permit is None or call.permit.ended, number)
    broken.expect("shadow is answered as such", (answer.reason is Reason.SHADOW) == call.shadow, number)
    if answer.refined_depth:
        first_pass = None if call.ticket is None else call.ticket.job
        complete = first_pass is not None and first_pass.complete
        broken.expect("a better order replaces a complete first pass", complete, number, answer)
    texts = caller.ask.texts
    known = _known(broken, caller)
    logits = _logits(broken, number, texts, answer, conclusion, known)
    _check_outcome(broken, number, texts, answer, logits, call.request.on_deadline, bool(known))
    _check_order(broken, caller, answer, logits)


def _known(broken: Violations, caller: Caller) -> list[float | None]:
    """What was found of the request's scores; nothing where nobody looked, or nothing was there."""
    assert caller.call is not None
    lookup = caller.call.lookup
    if lookup is None:
        return []
    texts, number = caller.ask.texts, caller.call.number
    broken.expect("nobody's scores are never looked up", caller.ask.options.get("tenant") is not None, number)
    for text, logit in zip(texts, lookup.known, strict=True):
        broken.expect(
            "a kept score is that of its own text", logit is None or logit == logit_of(text), number
        )
    return list(lookup.known) if any(logit is not None for logit in lookup.known) else []


def _logits(
    broken: Violations,
    number: int,
    texts: list[str],
    answer: Ranking,
    conclusion: Conclusion | None,
    known: list[float | None],
) -> list[float | None]:
    """What the answer must have been made of."""
    if answer.reason is Reason.SHADOW:
        return [None] * len(texts)
    if conclusion is None:
        # refused: what was known before is all there is, and nothing where that was not asked for
        return known if known and answer.outcome is Outcome.PARTIAL else [None] * len(texts)
    for logit, before in zip(conclusion.logits, known or conclusion.logits, strict=True):
        kept = before is None or logit == before or conclusion.outcome is Outcome.SKIPPED
        broken.expect("what was known is in the answer", kept, number)
    for text, logit in zip(texts, conclusion.logits, strict=True):
        broken.expect("the score is that of its own text", logit is None or logit == logit_of(text), number)
    return list(conclusion.logits)


def _check_outcome(
    broken: Violations,
    number: int,
    texts: list[str],
    answer: Ranking,
    logits: list[float | None],
    on_deadline: str,
    known: bool,
) -> None:
    depth = sum(logit is not None for logit in logits)
    outcome, reason = answer.outcome, answer.reason
    if depth == len(texts) and reason is None:
        expected = Outcome.RERANKED
    else:
        expected = Outcome.PARTIAL if depth else Outcome.SKIPPED
    broken.expect("outcome and depth agree", outcome is expected and answer.depth == depth, number, answer)
    broken.expect("a reason unless reranked", (reason is None) == (outcome is Outcome.RERANKED), number)
    broken.expect("a refused request has no scores", depth == 0 or known or reason not in _UNASKED, number)
    broken.expect(
        "all or nothing where asked", on_deadline != "retrieval" or depth in (0, len(texts)), number
    )
    broken.expect("counts its candidates", answer.candidates_total == len(texts), number)


def _check_order(broken: Violations, caller: Caller, answer: Ranking, logits: list[float | None]) -> None:
    assert caller.call is not None
    number, request = caller.call.number, caller.call.request
    expected = _expected(logits)
    known = list(logits)
    moved = [c.retrieval_rank - 1 for c in answer if c.scored_by == LARGER]
    if request.min_score is None and request.top_k is None:
        broken.expect("refined depth counts them", answer.refined_depth == len(moved), number)
        for place, position in zip(
            [place for place, position in enumerate(expected) if position in moved],
            sorted(
                (position for position in expected if position in moved),
                key=lambda position: -larger_logit_of(caller.ask.texts[position]),
            ),
            strict=True,
        ):
            expected[place] = position
    elif answer.refined_depth:
        return  # what was cut away took part in the order
    for position in moved:
        known[position] = larger_logit_of(caller.ask.texts[position])
    if request.min_score is not None:
        expected = [i for i in expected if not _below(logits[i], request.min_score)]
    if request.top_k is not None:
        expected = expected[: request.top_k]
    given = [candidate.retrieval_rank - 1 for candidate in answer]
    broken.expect("the order of the ranking rule", given == expected, number, given, expected)
    broken.expect("ranks count from 1", [c.rank for c in answer] == list(range(1, len(given) + 1)), number)
    for candidate, position in zip(answer, given, strict=True):
        item = caller.ask.items[position]
        same = candidate.item is item and candidate.text == caller.ask.texts[position]
        if isinstance(item, dict):
            same = same and candidate.metadata is item["metadata"] and candidate.id == item["id"]
        elif not isinstance(item, str):
            same = same and candidate.metadata is item.metadata and candidate.id == item.id
        else:
            same = same and candidate.id == position
        broken.expect("the payload is untouched", same, number, position)
        broken.expect("its own score", candidate.logit == known[position], number, position)
        broken.expect("scored or not", candidate.scored == (logits[position] is not None), number, position)


def _expected(logits: list[float | None]) -> list[int]:
    """The ranking rule by selection: each scored slot takes the best that is left, the first among equals."""
    left = [i for i, logit in enumerate(logits) if logit is not None]
    expected = list(range(len(logits)))
    for slot in list(left):
        best = left[0]
        for i in left:
            if logits[i] > logits[best]:  # type: ignore[operator]
                best = i
        left.remove(best)
        expected[slot] = best
    return expected


def _below(logit: float | None, low: float) -> bool:
    return logit is not None and 1 / (1 + math.exp(-logit)) < low
