"""What a service of a given size needs: partitions, cores or GPUs, memory and disk, and what that costs.

python -m benchmarks.capacity --users 1_000_000 --memories 500 --rate 200 [--core-hour 0.04 …]

A model of a few lines, from measured costs. `tests/benchmarks/test_capacity.py` holds its disk against a real
database, and `make prove-scale` its cores against the real model; what it says of machines that nobody here has
is an extrapolation.
"""

import argparse
import math
from dataclasses import asdict, dataclass, fields

__all__ = ["Costs", "Need", "Size", "needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is asked for."""

    users: int
    memories: int
    """Memories of a user, in the mean."""
    rate: float
    """Questions a second, at the busiest time."""
    candidates: int = 24
    tokens: int = 78
    """Of a pair, in the mean."""
    characters: int = 350
    """Of a memory's text and metadata, in the mean."""
    load: float = 0.6
    """How busy the cores may be: at 60 % a burst finds room."""
    standby: int = 1
    """Copies of the database beside the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What things take, measured as docs/scale.md says, and what they cost, which only you know."""

    pair_fixed_ms: float = 1.5
    pair_token_ms: float = 0.191
    """One core, the carried int8 model, an AMD EPYC with VNNI: 16.4 ms at 78 tokens."""
    gpu_pairs: float = 3_000.0
    """Pairs a second of one GPU. An assumption: none was there to measure. Put your own here."""
    ingress_ms: float = 4.0
    """Of a core, for each request on its way through the ingress. An estimate."""
    embed_ms: float = 12.0
    """Of a core, to embed a question. An estimate."""
    row_bytes: float = 1_450.0
    """A memory beside its text: the vector, what is sealed around the text, its place in three indexes."""
    row_ms: float = 0.0004
    """Of a core of the database, for each memory of the user that is asked: the order is exact."""
    ask_ms: float = 0.6
    """Of a core of the database, for each question beside that."""
    hot: float = 0.2
    """The share of the memories that are asked for again and again, and should lie in memory."""
    scorer_mb: float = 300.0
    """A scorer: one process with the model and its arena. An estimate."""
    partition_rows: float = 10_000_000.0
    """Rows of a partition that can be vacuumed and indexed anew in a quiet hour."""
    node_rows: float = 500_000_000.0
    """Rows of one database server, from where on it is split (Citus)."""
    core_hour: float = 0.0
    gpu_hour: float = 0.0
    gb_memory_hour: float = 0.0
    gb_disk_month: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What that takes."""

    scorer_cores: int
    scorer_gpus: int
    """Instead of the cores."""
    ingress_cores: int
    database_cores: int
    scorer_memory_gb: float
    database_memory_gb: float
    """Of each copy."""
    database_disk_gb: float
    """Of each copy."""
    partitions: int
    """0: the table needs none."""
    database_servers: int
    """Beside the standbys; more than one: distributed by user_hash."""
    month: float
    """With cores and not GPUs; 0 where no price is given."""


def needed(size: Size, costs: Costs) -> Need:
    """The model. Work of a second divided by how busy a core may be; everything rounded up."""
    pairs = size.rate * size.candidates
    scorer = pairs * (costs.pair_fixed_ms + costs.pair_token_ms * size.tokens) / 1000 / size.load
    ingress = size.rate * (costs.ingress_ms + costs.embed_ms) / 1000 / size.load
    database = size.rate * (costs.ask_ms + costs.row_ms * size.memories) / 1000 / size.load
    rows = size.users * size.memories
    disk = rows * (costs.row_bytes + size.characters) / 1e9
    servers = math.ceil(rows / costs.node_rows) or 1
    memory = disk * costs.hot + 1.0
    cores = [_whole(each) for each in (scorer, ingress, database)]
    copies = 1 + size.standby
    hours = 730
    money = (
        (cores[0] + cores[1] + max(cores[2], servers) * copies) * costs.core_hour * hours
        + (cores[0] * costs.scorer_mb / 1000 + memory * copies) * costs.gb_memory_hour * hours
        + disk * copies * costs.gb_disk_month
    )
    return Need(
        scorer_cores=cores[0],
        scorer_gpus=_whole(pairs / costs.gpu_pairs / size.load),
        ingress_cores=cores[1],
        database_cores=max(cores[2], servers),
        scorer_memory_gb=round(cores[0] * costs.scorer_mb / 1000, 1),
        database_memory_gb=round(memory, 1),
        database_disk_gb=round(disk, 1),
        partitions=0 if rows <= costs.partition_rows else _power(rows / costs.partition_rows),
        database_servers=servers,
        month=round(money, 2),
    )


def _whole(cores: float) -> int:
    return max(1, math.ceil(cores))


def _power(least: float) -> int:
    """A power of two, so that hash partitions can later be halved."""
    return int(2 ** math.ceil(math.log2(max(2.0, least))))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.capacity", description=__doc__.splitlines()[0])
    for kind in (Size, Costs):
        for each in fields(kind):
            needs = each.name in ("users", "memories", "rate")
            default = None if needs else each.default
            parser.add_argument(
                f"--{each.name.replace('_', '-')}",
                type=int if each.type in (int, "int") else float,
                required=needs,
                default=default,
            )
    given = vars(parser.parse_args())
    size = Size(**{each.name: given[each.name] for each in fields(Size)})
    costs = Costs(**{each.name: given[each.name] for each in fields(Costs)})
    for name, value in asdict(needed(size, costs)).items():
        print(f"{name.replace('_', ' '):>20}  {value:,}")


if __name__ == "__main__":
    main()
