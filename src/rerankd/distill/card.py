"""The model card that stands beside a student: what it was made from and how, and how near it came."""

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rerankd.distill.held_out import Agreement
    from rerankd.distill.judged import Judged
    from rerankd.distill.policy import DistillPolicy
    from rerankd.distill.student import Shape

__all__ = ["Facts", "card"]

_WIDTH = 116


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card tells."""

    name: str
    teacher: str
    student: str
    """The earlier one that it began with; empty: the teacher, narrowed."""
    taken: tuple[int, ...]
    """Which of the teacher's layers it began with, from 0; says nothing where there was an earlier student."""
    teacher_layers: int
    licence: str
    """The teacher's; empty: not known."""
    policy: "DistillPolicy"
    shape: "Shape"
    questions: int
    pairs: int
    """Scored by the teacher, held-out ones included."""
    seen: int
    """Pairs that were trained on, repeated ones counted again."""
    seconds: float
    network: "Agreement"
    graph: "Agreement"
    parity: float
    bytes: int
    judged: "Judged | None" = None


def card(facts: Facts) -> str:
    """In Markdown."""
    shape, own, small = facts.shape, facts.network, facts.graph
    licence = facts.licence or "as the teacher's, which rerankd does not know"
    heads, units = ", ".join(map(str, shape.heads)), ", ".join(map(str, shape.units))
    return f"""# {facts.name}

A cross-encoder for reranking: a query and a text in, a logit out; the sigmoid of it is the relevance. Made with
`rerankd distill`.

- **Teacher and origin of the weights:** `{facts.teacher}`. Licence: {licence}.
- **Shape:** {len(shape.units)} layers of width {shape.width}; attention heads {heads}; feed-forward units {units}.
  The last layer works on the first token alone.
- **Files:** `model.onnx` is int8 (weights signed, activations quantised as it runs; {facts.bytes / 1e6:.1f} MB),
  for CPUs, one pair a run; `onnx/model.onnx` is the same in fp32 and batch-invariant; `tokenizer.json` is the
  teacher's.

## Training

{_training(facts)}

## Held-out check

On {own.questions} questions that it was not trained on, against the teacher:

| | correlation | mean squared error | same first text | pairs of texts in order |
|---|---|---|---|---|
| fp32 | {own.correlation:.4f} | {own.squared_error:.3f} | {own.same_first:.1%} | {own.pairs_in_order:.1%} |
| int8 | {small.correlation:.4f} | {small.squared_error:.3f} | {small.same_first:.1%} | {small.pairs_in_order:.1%} |

The int8 file's logits differ from the fp32 network's by {facts.parity:.3f} in the mean.
{_judged(facts)}
## Limits

It can be no better than its teacher, and is worse where the texts that it is used on are unlike those that it was
trained on. Check it on your own: `rerankd evaluate FOLDER --model {facts.name}`.
"""


def _training(facts: Facts) -> str:
    told = [
        f"No labels: the teacher scored {facts.pairs:,} pairs of {facts.questions:,} questions.",
        _begun(facts),
        _trained(facts),
        "Word embeddings are the teacher's.",
    ]
    return textwrap.fill(" ".join(told), _WIDTH, break_long_words=False, break_on_hyphens=False)


def _judged(facts: Facts) -> str:
    """A section of its own, or nothing."""
    found = facts.judged
    if found is None:
        return ""
    return f"""
## On judged texts

nDCG@10 on {found.dataset} ({found.queries} queries, the first {found.depth} texts of the retrieval order reranked):

| retrieval order | teacher | student (int8) |
|---|---|---|
| {found.retrieval:.4f} | {found.teacher:.4f} | {found.student:.4f} |
"""


def _begun(facts: Facts) -> str:
    if facts.student:
        return f"It began with the student `{facts.student}`, as int8 had kept it."
    if len(facts.taken) == facts.teacher_layers:
        began = f"It began with all {facts.teacher_layers} layers of the teacher"
    else:
        named = ", ".join(str(at + 1) for at in facts.taken)
        began = (
            f"It began with {len(facts.taken)} of the teacher's {facts.teacher_layers} layers (counted from 1:"
            f" {named})"
        )
    if facts.policy.keep == 1:
        return f"{began}, whole."
    return (
        f"{began}; of their cost {facts.policy.keep:.0%} was kept: heads and feed-forward units that are missed"
        " least were taken out in closed form, and what stays was adapted by least squares."
    )


def _trained(facts: Facts) -> str:
    policy = facts.policy
    if not facts.seen:
        return "No training followed."
    imitated = ""
    if policy.hidden_share:
        imitated = (
            f"; for the first {policy.hidden_share:.0%} also how far the layers' states and attention are from the"
            " teacher's"
        )
    return (
        f"Then {facts.seen:,} pairs were trained on in {facts.seconds / 60:.0f} minutes ({policy.passes:g} passes,"
        f" AdamW, learning rate {policy.rate:g}, {policy.batch_queries} questions a batch, pairs of up to"
        f" {policy.max_tokens} tokens, seed {policy.seed}; loss: squared error of the logits, and how far the order"
        f" within each question is from the teacher's{imitated})."
    )
