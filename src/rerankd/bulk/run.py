"""A job in one process: shard after shard, each on all the threads that the model can use."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from rerankd.bulk.formats import Shard
from rerankd.bulk.job import ModelIdentity
from rerankd.bulk.place import PARTIAL, Place
from rerankd.bulk.plan import DONE, SUMMARY, Plan, claim
from rerankd.bulk.scoring import BulkScorer
from rerankd.bulk.shard import Receipt, do_shard
from rerankd.core.ports import Model
from rerankd.errors import RerankdError

__all__ = ["Begun", "Summary", "begin", "finish", "identity_of", "run"]

Told = Callable[[Receipt, bool], None]
"""Hears of every shard that is done, and whether an earlier run has done it."""


def _nobody(receipt: Receipt, earlier: bool) -> None:
    """Whom nothing is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of a job, the shards that were done before included."""

    shards: int
    rows: int
    good: int
    bad: int
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A job whose output folder is its own."""

    plan: Plan
    output: Place
    model: ModelIdentity
    todo: tuple[Shard, ...]
    done: tuple[Receipt, ...]
    """Of the shards that an earlier run has finished."""


def identity_of(model: Model) -> ModelIdentity:
    return ModelIdentity(model=model.scorer.traits.model, digest=model.digest)


def begin(plan: Plan, model: ModelIdentity) -> Begun:
    """Claim the output folder, and see what is done already. Raises `InvalidRequest` where it is another job's."""
    output = claim(plan, model)
    receipts = {name.partition(".")[0] for name in (output / DONE).names()}
    done = [_receipt(output, shard) for shard in plan.shards if shard.name in receipts]
    todo = [shard for shard in plan.shards if shard.name not in receipts]
    return Begun(plan=plan, output=output, model=model, todo=tuple(todo), done=tuple(done))


def run(plan: Plan, model: Model, told: Told = _nobody, *, threads: int = 0) -> Summary:
    """Do what is left of the job. `told` hears of each shard, first of those that were done before."""
    begun = begin(plan, identity_of(model))
    scorer = BulkScorer(model, plan.job, threads=threads)

    def work() -> Iterator[Receipt]:
        for shard in begun.todo:
            yield do_shard(shard, plan.job, begun.output, scorer, begun.model)

    try:
        return finish(begun, work(), told)
    finally:
        scorer.close()


def finish(begun: Begun, receipts: Iterator[Receipt], told: Told) -> Summary:
    """Take in the shards that are being done, and write the summary when all are."""
    sums = Counter[str]()
    for receipt in begun.done:
        told(receipt, True)
        sums.update(asdict(receipt))
    count = len(begun.done)
    for receipt in receipts:
        told(receipt, False)
        sums.update(asdict(receipt))
        count += 1
    if count != len(begun.plan.shards):
        raise RerankdError(
            f"{count} of {len(begun.plan.shards)} shards were done; run the job again for the rest"
        )
    summary = Summary(
        shards=count, rows=sums["rows"], good=sums["good"], bad=sums["bad"], pairs=sums["pairs"]
    )
    with (begun.output / SUMMARY).replacing(begun.output) as file:
        file.write(json.dumps(asdict(summary)).encode())
    (begun.output / PARTIAL).remove()
    return summary


def _receipt(output: Place, shard: Shard) -> Receipt:
    try:
        return Receipt(**json.loads((output / DONE / f"{shard.name}.json").read()))
    except (ValueError, TypeError):
        raise RerankdError(
            f"{output.url}: the receipt of {shard.name} cannot be understood; remove it"
        ) from None
