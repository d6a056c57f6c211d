"""The measures, from the `ir-measures` package: nDCG@10, MRR@10 and recall@8.

nDCG takes the grades as gains (linear, as trec_eval does). MRR and recall need a line between relevant and
not: a grade of at least `relevant_from`. TREC's Deep Learning tracks draw it at 2, most collections at 1.
Recall stops at 8 because that is how many candidates a host usually passes on.
"""

from collections.abc import Mapping, Sequence

from rerankd.errors import ConfigError

__all__ = ["MEASURES", "mean", "measure"]

MEASURES = ("ndcg@10", "mrr@10", "recall@8")

Values = Mapping[str, float]
"""Measure → value, from 0 to 1."""


def measure(
    judgements: Mapping[str, Mapping[str, int]],
    orders: Mapping[str, Sequence[str]],
    *,
    relevant_from: int = 1,
) -> dict[str, dict[str, float]]:
    """Query id → the values of its order. A judged query without an order counts as 0, as in trec_eval."""
    try:
        import ir_measures as ir
    except ImportError:
        raise ConfigError(
            "evaluate needs the package ir-measures: pip install 'rerankd[evaluation]'"
        ) from None
    names = {
        ir.nDCG @ 10: "ndcg@10",
        ir.RR(rel=relevant_from) @ 10: "mrr@10",
        ir.R(rel=relevant_from) @ 8: "recall@8",
    }
    # the position makes the score: equal model scores keep the order that the answer had
    run = {query: {doc: float(-place) for place, doc in enumerate(order)} for query, order in orders.items()}
    grades = {query: dict(found) for query, found in judgements.items()}
    values: dict[str, dict[str, float]] = {query: dict.fromkeys(MEASURES, 0.0) for query in judgements}
    for metric in ir.iter_calc(list(names), grades, run):
        values[metric.query_id][names[metric.measure]] = float(metric.value)
    return values


def mean(values: Sequence[Values]) -> dict[str, float]:
    """The mean over queries, each counting the same."""
    return {name: sum(value[name] for value in values) / len(values) for name in MEASURES}
