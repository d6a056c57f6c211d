"""Writes the sample's first-stage run with plain BM25: `python -m benchmarks.sample_first_stage`.

Okapi BM25 with Lucene's idf and its usual k1 = 1.2 and b = 0.75, over lower-cased words, with neither
stemming nor stop words: the cheap first stage whose flaws a reranker mends.
"""

import json
import math
import re
from collections import Counter
from pathlib import Path

K1, B, DEPTH = 1.2, 0.75, 24
FOLDER = Path(__file__).parents[1] / "src" / "rerankd" / "sample" / "support"


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def rows(name: str) -> dict[str, Counter[str]]:
    with (FOLDER / name).open(encoding="utf-8") as file:
        return {row["_id"]: Counter(words(row["text"])) for row in map(json.loads, file)}


def run() -> str:
    """The run in TREC's format."""
    corpus, queries = rows("corpus.jsonl"), rows("queries.jsonl")
    length = {key: counts.total() for key, counts in corpus.items()}
    mean = sum(length.values()) / len(length)
    holds = Counter(word for counts in corpus.values() for word in counts)
    idf = {word: math.log(1 + (len(corpus) - df + 0.5) / (df + 0.5)) for word, df in holds.items()}
    lines: list[str] = []
    for query, asked in queries.items():
        scores = {
            key: sum(
                times
                * idf[word]
                * counts[word]
                * (K1 + 1)
                / (counts[word] + K1 * (1 - B + B * length[key] / mean))
                for word, times in asked.items()
                if word in counts
            )
            for key, counts in corpus.items()
        }
        best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:DEPTH]
        lines += [f"{query} Q0 {key} {rank} {score:.4f} bm25" for rank, (key, score) in enumerate(best, 1)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (FOLDER / "runs" / "first_stage.trec").write_text(run(), encoding="utf-8")
