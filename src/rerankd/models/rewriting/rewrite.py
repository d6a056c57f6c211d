"""A BERT-like encoder's graph in a lean form for the CPU: the same function of one unpadded pair, sooner.

What is changed, and what each change gains, is in docs/speed.md. ONNX Runtime's own optimiser does the rest.
"""

import logging
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rerankd.errors import BackendError
from rerankd.models.rewriting.attention import find, replace
from rerankd.models.rewriting.first_token import keep_first_token
from rerankd.models.rewriting.model import Model, UnsupportedGraphError

__all__ = ["Evaluate", "lean"]

_log = logging.getLogger(__name__)

Evaluate = Callable[[bytes, str, int], NDArray[Any]]
"""Runs a graph for one output, its inputs all ones for so many tokens; raises `BackendError`."""

_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}
_LENGTHS = (2, 5)
"""The mask is looked at for these numbers of tokens."""


def lean(path: Path, evaluate: Evaluate) -> bytes | None:
    """The graph of the file in its lean form; None where it is not recognised and has to run as it is.

    It holds for one pair a run, without padding: what comes of the attention mask is left out, after `evaluate`
    has shown that it adds nothing then. Scores of fp32 weights stay equal up to rounding; those of dynamically
    quantised ones up to the noise of their quantisation, which any change of rounding draws anew.
    """
    try:
        with path.open("rb") as file:
            # not closed: the model refers to its weights there, and goes with it
            model = Model(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError, UnsupportedGraphError) as error:
        _log.debug("%s: runs as it is: %s", path, error)
        return None
    attentions = find(model)
    masks = {each.mask for each in attentions if each.mask is not None}
    if not attentions or not all(_adds_nothing(model, mask, evaluate) for mask in masks):
        _log.debug("%s: runs as it is: its attention is not a known one", path)
        return None
    for each in attentions:
        replace(model, each)
    keep_first_token(model, attentions[-1])
    return model.written()


def _adds_nothing(model: Model, mask: str, evaluate: Evaluate) -> bool:
    """Whether the mask is zero for a pair without padding."""
    if not _INPUTS.issuperset(name for name in model.above([mask]) if name in model.inputs):
        return False
    graph = model.written([mask])
    try:
        return not any(evaluate(graph, mask, length).any() for length in _LENGTHS)
    except BackendError:
        return False
