"""The texts that are timed: made up, seeded, the same on every machine.

What a cross-encoder costs depends on how many tokens it reads and not on what they say, so the passages are
plain sentences about running an online shop, cut to the wanted length.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from benchmarks.peers.files import carried

__all__ = ["CANDIDATES", "WORKLOADS", "Request", "Workload", "requests", "token_summary"]

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
MIXED = "8 10 12 14 16 18 21 23 26 29 32 36 40 44 49 55 61 69 78 89 104 130 178 305"
MIXED_WORDS = tuple(int(words) for words in MIXED.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    name: str
    title: str
    words: tuple[int, ...]
    """The length of each of a request's passages, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    query: str
    texts: tuple[str, ...]


WORKLOADS = (
    Workload(name="mixed", title="mixed lengths", words=MIXED_WORDS),
    Workload(
        name="equal-55",
        title="equal lengths, 50-60 words",
        words=tuple(50 + place % 11 for place in range(CANDIDATES)),
    ),
    Workload(
        name="equal-20",
        title="equal lengths, about 20 words",
        words=tuple(19 + place % 3 for place in range(CANDIDATES)),
    ),
)


def requests(workload: Workload, seed: int = 0) -> Iterator[Request]:
    """Requests without end, each with a query and 24 passages of the workload's lengths in some order."""
    dice = random.Random(f"{workload.name}/{seed}")
    while True:
        for query in QUERIES:
            lengths = dice.sample(workload.words, len(workload.words))
            yield Request(query=query, texts=tuple(passage(dice, words) for words in lengths))


def passage(dice: random.Random, words: int) -> str:
    """Sentences, cut after exactly this many words."""
    told: list[str] = []
    while len(told) < words:
        sentence = " ".join(dice.choice(part) for part in (SUBJECTS, VERBS, OBJECTS, ENDINGS, FURTHER))
        told += f"{sentence[0].upper()}{sentence[1:]}.".split()
    return " ".join(told[:words])


def token_summary(workload: Workload) -> str:
    """How long the pairs are for the carried model's tokenizer, special tokens included."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(carried() / "tokenizer.json"))
    tokenizer.no_padding()
    lengths = [
        len(encoding.ids)
        for request in islice(requests(workload), len(QUERIES))
        for encoding in tokenizer.encode_batch([(request.query, text) for text in request.texts])
    ]
    return f"pairs of {sum(lengths) / len(lengths):.0f} tokens in the mean, {max(lengths)} at the most"
