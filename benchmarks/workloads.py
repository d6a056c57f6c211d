"""The requests that are timed: one format for all of benchmarks/ and for `rerankd bench`.

    python -m benchmarks.workloads FOLDER [--count 40]    mixed.jsonl, equal-20.jsonl, …: made up, seeded
    python -m benchmarks.gate --file FOLDER/mixed.jsonl   a file instead; also benchmarks.peers, benchmarks.arrivals
    rerankd bench --file FOLDER/mixed.jsonl

A file is one workload, called by its stem: a JSON object a line with `query` and `candidates`, a list of texts.
What a cross-encoder costs depends on how many tokens it reads and not on what they say, so the made-up passages
are plain sentences about running an online shop, cut to the wanted length; the same on every machine.
"""

import argparse
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

__all__ = [
    "CANDIDATES",
    "MIXED",
    "MIXED_WORDS",
    "QUERIES",
    "WORKLOADS",
    "Request",
    "Workload",
    "add_arguments",
    "chosen",
    "pair_lengths",
    "passage",
    "read",
    "requests",
    "token_lengths",
    "token_summary",
    "write",
]

CANDIDATES = 24

SUBJECTS = ("the customer", "our support team", "the warehouse", "a delivery driver", "the payment service")
VERBS = ("confirms", "delays", "replaces", "sends", "explains", "cancels", "refunds", "checks", "repairs")
OBJECTS = (
    "the tracking number",
    "a new delivery date",
    "every open order",
    "the missing item",
    "the warranty",
)
ENDINGS = ("before noon on the next working day", "unless the box was opened", "if the bank has answered")
FURTHER = ("for orders from abroad", "in the same envelope", "without any extra cost", "after fourteen days")
QUERIES = (
    "how long does a refund take after i send something back",
    "my parcel says delivered but it is not here",
    "can i change the delivery address of an open order",
    "why was my discount code rejected at the checkout",
    "what do i do when the charger arrives broken",
    "is express shipping possible for orders from abroad",
    "how do i cancel the newsletter and my subscription",
    "where can i see the invoice of last month",
)

# The mixed workload's passages, in words: the quantiles of a log-normal distribution, since help pages and
# chat histories have many short passages and a few very long ones. Every request has the same lengths, in
# another order. A pair has then 79 tokens in the mean and 350 at the most.
_MIXED = "8 10 12 14 16 18 21 23 26 29 32 36 40 44 49 55 61 69 78 89 104 130 178 305"
MIXED_WORDS = tuple(int(words) for words in _MIXED.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    query: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    name: str
    title: str
    words: tuple[int, ...] = ()
    """The length of each of a request's made-up passages, in words."""
    given: tuple[Request, ...] = ()
    """The requests of a file, instead of made-up ones."""

    @property
    def candidates(self) -> float:
        """Of a request, in the mean."""
        if not self.given:
            return len(self.words)
        return sum(len(each.texts) for each in self.given) / len(self.given)


MIXED = Workload(name="mixed", title="mixed lengths", words=MIXED_WORDS)
WORKLOADS = (
    MIXED,
    Workload(
        name="equal-20",
        title="equal lengths, about 20 words",
        words=tuple(19 + place % 3 for place in range(CANDIDATES)),
    ),
    Workload(
        name="equal-55",
        title="equal lengths, 50-60 words",
        words=tuple(50 + place % 11 for place in range(CANDIDATES)),
    ),
    Workload(
        name="equal-106",
        title="equal lengths, about 106 words",
        words=tuple(105 + place % 3 for place in range(CANDIDATES)),
    ),
    Workload(
        name="equal-310",
        title="equal lengths, about 310 words",
        words=tuple(309 + place % 3 for place in range(CANDIDATES)),
    ),
)


def requests(workload: Workload, seed: int = 0) -> Iterator[Request]:
    """Requests without end: those of the file in turn, or a query each with passages of the workload's lengths."""
    if workload.given:
        yield from itertools.cycle(workload.given)
    dice = random.Random(f"{workload.name}/{seed}")
    while True:
        for query in QUERIES:
            lengths = dice.sample(workload.words, len(workload.words))
            yield Request(query=query, texts=tuple(passage(dice, words) for words in lengths))


def read(path: Path) -> Workload:
    """The workload of a file. Raises `InvalidRequest` naming the line that is wrong."""
    from rerankd.cli.inputs import read_requests

    given = tuple(
        Request(query=str(each.query), texts=tuple(str(candidate.text) for candidate in each.candidates))
        for each in read_requests(path)
    )
    return Workload(name=path.stem, title=f"the {len(given)} requests of {path.name}", given=given)


def write(workload: Workload, folder: Path, count: int, seed: int = 0) -> Path:
    """The first requests of a workload as a file; the same bytes for the same seed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{workload.name}.jsonl"
    lines = (
        json.dumps({"query": each.query, "candidates": each.texts}) + "\n"
        for each in islice(requests(workload, seed), count)
    )
    path.write_text("".join(lines), encoding="utf-8")
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`--workload` and `--file`, by which a command is told what to time."""
    names = [each.name for each in WORKLOADS]
    parser.add_argument("--workload", action="append", choices=names, help="may be repeated; all without it")
    parser.add_argument("--file", action="append", type=Path, help="a workload of your own; may be repeated")


def chosen(arguments: argparse.Namespace, usual: Sequence[Workload] = WORKLOADS) -> list[Workload]:
    """What the arguments ask for, else the usual ones."""
    known = {each.name: each for each in WORKLOADS}
    found = [known[name] for name in arguments.workload or ()] + [read(path) for path in arguments.file or ()]
    return found or list(usual)


def passage(dice: random.Random, words: int) -> str:
    """Sentences, cut after exactly this many words."""
    told: list[str] = []
    while len(told) < words:
        sentence = " ".join(dice.choice(part) for part in (SUBJECTS, VERBS, OBJECTS, ENDINGS, FURTHER))
        told += f"{sentence[0].upper()}{sentence[1:]}.".split()
    return " ".join(told[:words])


def token_summary(workload: Workload) -> str:
    """How long the pairs are for the carried model's tokenizer, special tokens included."""
    lengths = token_lengths(workload)
    return f"pairs of {sum(lengths) / len(lengths):.0f} tokens in the mean, {max(lengths)} at the most"


def token_lengths(workload: Workload) -> list[int]:
    """Of the pairs of the workload's first requests."""
    return pair_lengths(islice(requests(workload), len(QUERIES)))


def pair_lengths(asked: Iterable[Request]) -> list[int]:
    """Tokens of each pair of these requests, for the carried model's tokenizer."""
    from tokenizers import Tokenizer

    from benchmarks.peers.files import carried

    tokenizer = Tokenizer.from_file(str(carried() / "tokenizer.json"))
    tokenizer.no_padding()
    return [
        len(encoding.ids)
        for request in asked
        for encoding in tokenizer.encode_batch([(request.query, text) for text in request.texts])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.workloads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=40, help="requests in each file")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for workload in WORKLOADS:
        path = write(workload, arguments.folder, arguments.count, arguments.seed)
        print(f"{path}: {workload.title}, {token_summary(workload)}")


if __name__ == "__main__":
    main()
