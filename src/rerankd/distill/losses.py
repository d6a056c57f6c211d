"""How far the student is from the teacher."""

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["LIST_WEIGHT", "attention_loss", "order_loss", "path_loss", "score_loss"]

LIST_WEIGHT = 3.0
"""The order within a question beside the logits themselves."""
PATH_WEIGHT = 10.0
"""The layers beside the logits, while they are imitated: it is a relative error, from 0 to about 1."""
_TEMPERATURE = 2.0


def score_loss(student: Any, teacher: Any) -> Any:
    """Mean squared error of the logits."""
    return ((student - teacher) ** 2).mean()


def order_loss(student: Any, teacher: Any) -> Any:
    """How surprised the student's order is by the teacher's: the Kullback-Leibler divergence of the softmax over
    the texts of each question (ListNet's, with both sides softened)."""
    import torch

    wanted = torch.softmax(teacher / _TEMPERATURE, dim=-1)
    got = torch.log_softmax(student / _TEMPERATURE, dim=-1)
    return torch.nn.functional.kl_div(got, wanted, reduction="batchmean")


def path_loss(student: Sequence[Any], teacher: Sequence[Any], places: Sequence[int], mask: Any) -> Any:
    """How far the layers are apart: the hidden states' relative squared error, as in TinyBERT (Jiao et al., 2020).

    `student`, `teacher`: what each layer gave. `places`: the teacher's layers that are imitated, from 1; those
    whose states are not there (the last layer's) are left out; a student of one layer has none.
    """
    if not student:
        return 0.0
    inside = mask.unsqueeze(-1).to(student[0].dtype)
    apart = [
        (((got - teacher[place - 1]) ** 2) * inside).sum() / ((teacher[place - 1] ** 2) * inside).sum()
        for got, place in zip(student, places, strict=False)
        if place <= len(teacher)
    ]
    return PATH_WEIGHT * sum(apart) / max(1, len(apart))


def attention_loss(student: Sequence[Any], teacher: Sequence[Any], places: Sequence[int], mask: Any) -> Any:
    """How surprised the student is by where the teacher attends: the Kullback-Leibler divergence of the attention's
    distributions, the mean over tokens and heads, as in MiniLM (Wang et al., 2020).

    `student`, `teacher`: the logits of each layer, (pairs, heads, tokens, tokens). `places`: as for `path_loss`. A
    narrowed layer has other heads than the teacher's: there the mean over its heads is held against the mean over
    theirs, which is what a token looks at as a whole. `mask`: (pairs, tokens), 0 for padding, which does not count.
    """
    apart = [
        _surprise(got, teacher[place - 1], mask)
        for got, place in zip(student, places, strict=False)
        if place <= len(teacher)
    ]
    return sum(apart) / len(apart) if apart else 0.0


def _surprise(got: Any, wanted: Any, mask: Any) -> Any:
    # by their logarithms, which have a slope even where a weight is next to nothing
    got, wanted = got.float().log_softmax(-1), wanted.float().log_softmax(-1)
    if got.shape[1] != wanted.shape[1]:
        got, wanted = _mean_of_heads(got), _mean_of_heads(wanted)
    rows = (wanted.exp() * (wanted - got)).sum(-1)
    inside = mask[:, None, :].to(rows.dtype).expand_as(rows)
    return (rows * inside).sum() / inside.sum()


def _mean_of_heads(logarithms: Any) -> Any:
    return logarithms.logsumexp(1, keepdim=True) - math.log(logarithms.shape[1])
