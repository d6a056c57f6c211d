"""How far the student is from the teacher."""

from collections.abc import Sequence
from typing import Any

__all__ = ["LIST_WEIGHT", "order_loss", "path_loss", "score_loss"]

LIST_WEIGHT = 3.0
"""The order within a question beside the logits themselves."""
PATH_WEIGHT = 10.0
"""The layers beside the logits, while they are imitated: it is a relative error, from 0 to about 1."""
ATTENTION_WEIGHT = 1.0
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


def path_loss(student: Any, teacher: Any, places: Sequence[int], mask: Any) -> Any:
    """How far the layers are apart: the hidden states' relative squared error, and the divergence of the
    attentions, as in TinyBERT (Jiao et al., 2020). `places`: the teacher's layers that are imitated, from 1.
    """
    import torch

    inside = mask.unsqueeze(-1).to(torch.float32)
    hidden = attention = torch.zeros(())
    for own, place in enumerate(places):
        wanted, got = teacher.hidden_states[place], student.hidden_states[own + 1]
        hidden = hidden + (((got - wanted) ** 2) * inside).sum() / ((wanted**2) * inside).sum()
        rows = mask[:, None, :, None].to(torch.float32)
        from_, to = teacher.attentions[place - 1], student.attentions[own]
        apart = (from_ * ((from_ + 1e-6).log() - (to + 1e-6).log()) * rows).sum()
        attention = attention + apart / (rows.sum() * from_.shape[1])
    return PATH_WEIGHT * hidden / len(places) + ATTENTION_WEIGHT * attention / len(places)
