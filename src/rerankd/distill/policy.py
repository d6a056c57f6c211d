"""What is made, from how much, and how."""

from dataclasses import dataclass

from rerankd.core.policy import check_range

__all__ = ["DistillPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillPolicy:
    """The defaults are those of `make distill-default`."""

    layers: int = 0
    """The student's; taken from the teacher's, evenly spread. 0: all of them."""
    keep: float = 0.52
    """The share of its layers' cost that the student keeps: fewer heads and feed-forward units, where they are
    missed least. 1: all of them."""
    queries: int = 13_000
    """How many questions are asked of whole texts; what `--queries` lacks is made from the texts."""
    sentence_queries: int = 1_000
    """How many questions are asked of single sentences."""
    sentences: int = 60_000
    """Of so many sentences of the texts, at most."""
    near: int = 3
    """Texts of a question from BM25's first ten."""
    deep: int = 2
    """Texts of a question from BM25's tenth to hundredth."""
    strangers: int = 1
    """Texts of a question that have nothing to do with it."""
    max_tokens: int = 320
    """The longest pair that is trained on."""
    passes: float = 1.0
    """How often each pair is looked at. 0: the student stays as it was narrowed."""
    hidden_share: float = 0.0
    """For the first so much of the training the student also imitates the teacher's layers, what they give and
    where they attend, which costs a run of the teacher for each batch; after that its logits are enough."""
    batch_queries: int = 8
    """Questions in a batch, each with all of its texts."""
    rate: float = 1e-4
    """The highest learning rate; it rises for the first hundred steps, stays, and falls to nothing in the end."""
    fall_share: float = 0.9
    """The last so much of the training, in which the learning rate falls."""
    held_out: float = 0.02
    """The share of the questions that is not trained on."""
    seed: int = 2026

    def __post_init__(self) -> None:
        check_range(self, "layers", 0, 48)
        check_range(self, "keep", 0.05, 1)
        check_range(self, "queries", 1)
        check_range(self, "sentence_queries", 0)
        check_range(self, "sentences", 0)
        check_range(self, "near", 1, 10)
        check_range(self, "deep", 0, 90)
        check_range(self, "strangers", 0, 50)
        check_range(self, "max_tokens", 16, 512)
        check_range(self, "passes", 0, 1_000)
        check_range(self, "hidden_share", 0, 1)
        check_range(self, "batch_queries", 1, 256)
        check_range(self, "rate", 0, 1)
        check_range(self, "fall_share", 0.01, 1)
        check_range(self, "held_out", 0.001, 0.5)
