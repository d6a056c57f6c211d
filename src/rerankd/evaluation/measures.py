"""The measures, from the `ir-measures` package: nDCG@10, MRR@10 and recall@8, or others of these at other depths.

nDCG takes the grades as gains (linear, as trec_eval does). MRR and recall need a line between relevant and
not: a grade of at least `relevant_from`. TREC's Deep Learning tracks draw it at 2, most collections at 1.
Recall stops at 8 because that is how many candidates a host usually passes on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rerankd.errors import ConfigError

__all__ = ["MEASURES", "mean", "measure", "read_measures"]

MEASURES = ("ndcg@10", "mrr@10", "recall@8")
_NAME = re.compile(r"(ndcg|mrr|recall|map|precision)@([1-9]\d{0,3})")

Values = Mapping[str, float]
"""Measure → value, from 0 to 1."""


def read_measures(names: Iterable[str]) -> tuple[str, ...]:
    """Check names such as `ndcg@10`: of ndcg, mrr, recall, map and precision, each at a depth.

    Each counts once, in the order given. Raises `ConfigError` naming the one that is none.
    """
    read = tuple(dict.fromkeys(name.strip().lower() for name in names))
    for name in read:
        if _NAME.fullmatch(name) is None:
            raise ConfigError(
                f"measure: must be ndcg, mrr, recall, map or precision at a depth, as in ndcg@10, got {name!r}"
            )
    return read


def measure(
    judgements: Mapping[str, Mapping[str, int]],
    orders: Mapping[str, Sequence[str]],
    *,
    relevant_from: int = 1,
    measures: Sequence[str] = MEASURES,
) -> dict[str, dict[str, float]]:
    """Query id → the values of its order. A judged query without an order counts as 0, as in trec_eval."""
    try:
        import ir_measures as ir
    except ImportError:
        raise ConfigError(
            "evaluate needs the package ir-measures: pip install 'rerankd[evaluation]'"
        ) from None
    names = {_measure(ir, name, relevant_from): name for name in measures}
    # the position makes the score: equal model scores keep the order that the answer had
    run = {query: {doc: float(-place) for place, doc in enumerate(order)} for query, order in orders.items()}
    grades = {query: dict(found) for query, found in judgements.items()}
    values: dict[str, dict[str, float]] = {query: dict.fromkeys(measures, 0.0) for query in judgements}
    for metric in ir.iter_calc(list(names), grades, run):
        values[metric.query_id][names[metric.measure]] = float(metric.value)
    return values


def _measure(ir: Any, name: str, relevant_from: int) -> Any:
    kind, depth = name.split("@")
    if kind == "ndcg":
        return ir.nDCG @ int(depth)
    family = {"mrr": ir.RR, "recall": ir.R, "map": ir.AP, "precision": ir.P}[kind]
    return family(rel=relevant_from) @ int(depth)


def mean(values: Sequence[Values]) -> dict[str, float]:
    """The mean over queries, each counting the same."""
    return {name: sum(value[name] for value in values) / len(values) for name in values[0]}
