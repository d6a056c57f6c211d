"""The training loop, with a checkpoint every few minutes, so that a stop loses little."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerankd.core.ports import Clock
from rerankd.distill.forward import Place, here, logits_of
from rerankd.distill.lessons import Lesson, batches, passed, tensors, wanted_of
from rerankd.distill.losses import LIST_WEIGHT, attention_loss, order_loss, path_loss, score_loss
from rerankd.distill.policy import DistillPolicy
from rerankd.distill.student import imitated

__all__ = ["Progress", "steps_of", "train"]

_WARM_UP = 100
"""Steps in which the learning rate rises."""
_SAVE_SECONDS = 180.0
_TOLD_STEPS = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How the training stands."""

    step: int
    pairs: int
    seconds: float
    """Of training, over all runs."""
    score_loss: float
    """Running mean of the squared error of the logits."""


def steps_of(lessons: Sequence[Lesson], policy: DistillPolicy) -> int:
    """How many batches the training has."""
    return math.ceil(passed(lessons, policy.batch_queries) * policy.passes)


def train(
    teacher: Any,
    student: Any,
    lessons: Sequence[Lesson],
    policy: DistillPolicy,
    checkpoint: Path,
    *,
    clock: Clock,
    told: Callable[[Progress], None] = lambda progress: None,
    place: Place | None = None,
) -> Progress:
    """Train for `policy.passes` over the lessons, from where the last run stopped. The student ends in eval mode,
    on the CPU. `place`: where it runs; the best that this machine has.

    `checkpoint`: the file that holds weights, optimiser and time used; whole or not there.
    """
    import torch

    student.train()
    place = place or here(student, next(batches(lessons, policy.batch_queries, policy.seed)), clock)
    student.to(place.device)
    teacher.to(place.device)
    trained = [each for each in student.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=policy.rate, weight_decay=0.01)
    step, pairs, used, mean = 0, 0, 0.0, math.nan
    if checkpoint.is_file():
        kept = torch.load(checkpoint, weights_only=True, map_location=place.device)
        student.load_state_dict(kept["student"])
        optimiser.load_state_dict(kept["optimiser"])
        step, pairs, used, mean = kept["step"], kept["pairs"], kept["used"], kept["mean"]
    depths = imitated(len(student.layers), len(teacher.layers))
    stream = batches(lessons, policy.batch_queries, policy.seed, step)
    torch.manual_seed(policy.seed + step)
    teacher.eval()
    student.train()
    whole = steps_of(lessons, policy)
    last, saved = clock.now(), 0.0
    while step < whole:
        part = step / whole
        imitates = part < policy.hidden_share
        for group in optimiser.param_groups:
            group["lr"] = policy.rate * min(1.0, (step + 1) / _WARM_UP, (1 - part) / policy.fall_share)
        batch = next(stream)
        wanted = wanted_of(batch).to(place.device)
        if imitates:
            got, apart = _imitating(teacher, student, batch, depths, place)
        else:
            got, apart = logits_of(student, batch, place), 0.0
        loss_of_scores = score_loss(got, wanted)
        loss = loss_of_scores + LIST_WEIGHT * order_loss(got, wanted) + apart
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        step, pairs = step + 1, pairs + wanted.numel()
        seen = loss_of_scores.item()
        mean = seen if math.isnan(mean) else mean + (seen - mean) * 0.02
        now = clock.now()
        used, last, saved = used + now - last, now, saved + now - last
        if step % _TOLD_STEPS == 0:
            told(Progress(step, pairs, used, mean))
        if saved > _SAVE_SECONDS or step == whole:
            state = {"step": step, "pairs": pairs, "used": used, "mean": mean}
            state |= {"student": student.state_dict(), "optimiser": optimiser.state_dict()}
            partial = checkpoint.with_suffix(".partial")
            torch.save(state, partial)
            partial.replace(checkpoint)
            saved = 0.0
    student.cpu()
    student.eval()
    return Progress(step, pairs, used, mean)


def _imitating(
    teacher: Any, student: Any, batch: Sequence[Lesson], depths: Sequence[int], place: Place
) -> tuple[Any, Any]:
    """The student's logits, and how far its layers' states and attention are from the teacher's; in one run."""
    import torch

    inputs = {name: each.to(place.device) for name, each in tensors(batch)[0].items()}
    states: list[Any] = []
    shown: list[Any] = []
    attends: list[Any] = []
    attended: list[Any] = []
    with place.multiplying():
        got = student(**inputs, states=states, maps=attends).float().reshape(len(batch), -1)
        with torch.no_grad():
            teacher(**inputs, states=shown, maps=attended)
    mask = inputs["attention_mask"]
    apart = path_loss(states, shown, depths, mask) + attention_loss(attends, attended, depths, mask)
    return got, apart
