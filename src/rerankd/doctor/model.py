"""The model: its files, how long it loads, and whether it still gives the scores that it should."""

from collections.abc import Sequence
from dataclasses import dataclass

from rerankd.core.status import Status
from rerankd.doctor.check import Check, Profile
from rerankd.models.resolve import FileCheck
from rerankd.reranker import Reranker

__all__ = [
    "REFERENCES",
    "Reference",
    "batch_check",
    "device_check",
    "file_checks",
    "load_check",
    "score_reference",
]

LOAD_SECONDS = 5.0
TOLERANCE = 0.6
"""Logits. One model's int8, fp16 and fp32 forms were seen to differ by up to 0.5, the CPU's int8 paths by far
less; a wrong tokenizer, a damaged weight or a saturated product is off by much more, or changes the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A query whose texts stand in the order that any reranker should give them."""

    query: str
    texts: tuple[str, ...]
    """Best first."""
    logits: tuple[float, ...]
    """What the model that they were recorded from gave, in its int8 file, one pair a run."""


RECORDED_FROM = "cross-encoder/ms-marco-MiniLM-L-12-v2"
REFERENCES = (
    Reference(
        query="how do I reset my password",
        texts=(
            "To reset your password, open Settings and choose Reset password.",
            "Passwords must have at least twelve characters.",
            "Our office is closed on public holidays.",
        ),
        logits=(6.544, -5.1735, -11.3001),
    ),
    Reference(
        query="what temperature should green tea be brewed at",
        texts=(
            "Brew green tea with water of about 80 degrees Celsius for two minutes.",
            "Black tea is brewed with boiling water.",
            "Kettles come in many colours.",
        ),
        logits=(7.6884, -5.5512, -10.9758),
    ),
    Reference(
        query="how long does delivery take",
        texts=(
            "Delivery takes three to five working days within the country.",
            "We deliver to forty countries and track every parcel.",
            "Rinse the filter under running water.",
        ),
        logits=(7.9934, -7.234, -11.1983),
    ),
    Reference(  # letters beyond ASCII, and a text without a blank that is longer than the window
        query="Hauptstadt von Österreich 🇦🇹 capital of Austria",
        texts=("Vienna is the capital of Austria.", "Austria has nine federal states.", "x" * 3_000),
        logits=(2.0318, -7.1796, -10.0584),
    ),
)


def file_checks(seen: Sequence[FileCheck] | Exception) -> list[Check]:
    """Whether the files are there, and are what they were; an exception says what is missing."""
    present, digest = "Model files", "Model digests"
    pull = "rerankd models pull, or pip install 'rerankd[embedded]'"
    if isinstance(seen, Exception):
        return [Check.of(present, False, str(seen), pull)]
    names = ", ".join(check.path.name for check in seen)
    changed = [check for check in seen if check.problem]
    problems = "; ".join(check.problem for check in changed)
    kinds = ", ".join(sorted({check.status for check in seen}))
    return [
        Check.of(present, bool(seen), names or "none", pull),
        Check.of(digest, not changed, problems or kinds, "install or download the files anew"),
    ]


def load_check(seen: Status) -> Check:
    """Whether it loads, and how quickly."""
    name = "Model loads"
    if seen.model_state != "ready" or seen.load_seconds is None:
        problem = seen.error or seen.model_state
        return Check.of(name, False, problem, "mend what the line says, or choose another model")
    return Check.of(
        name,
        seen.load_seconds < LOAD_SECONDS,
        f"{seen.load_seconds:.2f} s on {seen.device}, wanted below {LOAD_SECONDS:.0f} s",
        "put the model on a faster disk, or load it before the first request",
    )


def device_check(profile: Profile, seen: Status) -> Check:
    """Whether it runs where the host is meant to run it: a model on the CPU of a GPU host answers all the same."""
    on_gpu = (seen.device or "").startswith("cuda")
    return Check.of(
        "Model's device",
        on_gpu or profile is Profile.CPU,
        f"{seen.device}",
        "the log of rerankd.loading says what failed on the GPU; see the lines above",
    )


def score_reference(reranker: Reranker, reference: Reference) -> tuple[float | None, ...]:
    """The logits of its texts, given to the model in the opposite order."""
    ranking = reranker.rerank(reference.query, reference.texts[::-1], budget_ms=None)
    by_position = sorted(ranking, key=lambda candidate: -candidate.retrieval_rank)
    return tuple(candidate.logit for candidate in by_position)


def batch_check(
    model: str | None, references: Sequence[Reference], seen: Sequence[Sequence[float | None]]
) -> Check:
    """Whether the test batch came out right: the order for any model, the scores for the one recorded."""
    name, remedy = "Test batch", "install the model anew; if it stays, report the model and the CPU"
    known = model == RECORDED_FROM
    worst = 0.0
    for number, (reference, logits) in enumerate(zip(references, seen, strict=True), 1):
        if any(logit is None for logit in logits):
            return Check.of(name, False, f"query {number} was not scored", remedy)
        scores = [logit for logit in logits if logit is not None]
        if scores != sorted(scores, reverse=True):
            return Check.of(name, False, f"query {number} came out in the wrong order", remedy)
        worst = max(worst, *(abs(a - b) for a, b in zip(scores, reference.logits, strict=True)))
    pairs = sum(map(len, seen))
    if not known:
        return Check.of(name, True, f"{pairs} pairs in the right order", "")
    return Check.of(
        name,
        worst <= TOLERANCE,
        f"{pairs} pairs in the right order, at most {worst:.3f} logits off, wanted {TOLERANCE}",
        remedy,
    )
