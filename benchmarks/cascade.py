"""A cascade against its two models, over several collections: quality at each budget, pooled over all queries.

    python -m benchmarks.cascade COLLECTION... --small ID --large ID [--sample 200] [--group locomo=conversation]
        [--relevant-from trec_dl_2019=2] [--recordings FOLDER] [--markdown FILE] [--svg FILE]
        [--margins 4,6,8,12] [--tiers 1,2,4]

Each model scores every pair of each collection once, on a quiet machine. Requests are then replayed through the
real scheduler in virtual time, at 70 % of what the large model can take of each collection. The gain of the cascade
over the better single model is paired over the pooled queries. `--recordings` keeps what was scored, and reads it
from there the next time; delete the folder for other models. `--margins` and `--tiers` try other policies too, each
beside the default of the other, and print one line for each.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rerankd.core.cascade import CascadePolicy
from rerankd.core.types import Text
from rerankd.engine.calibration import Calibration
from rerankd.engine.clock import SystemClock
from rerankd.evaluation.budget_chart import budget_chart, budget_table
from rerankd.evaluation.collection import Collection, read_collection
from rerankd.evaluation.contest import contests
from rerankd.evaluation.curve import BUDGETS_MS, Curve, Point, curve
from rerankd.evaluation.evaluate import within
from rerankd.evaluation.recording import RecordedQuery, Recording, record
from rerankd.evaluation.run import choose_run, read_run
from rerankd.settings import Settings
from rerankd.wiring import load_model

LOAD = 0.7
DEPTH = 24


def pooled(name: str, found: Sequence[tuple[str, Curve]]) -> Curve:
    """One curve over the queries of several collections, each query counting the same."""
    curves = [each for _, each in found]
    points = []
    for row in zip(*(each.points for each in curves), strict=True):
        values = {
            f"{collection}/{query}": value
            for (collection, _), point in zip(found, row, strict=True)
            for query, value in point.by_query.items()
        }
        shares = [len(point.by_query) / len(values) for point in row]
        points.append(
            Point(
                budget_ms=row[0].budget_ms,
                value=sum(values.values()) / len(values),
                depth=_mean(shares, [point.depth for point in row]),
                refined_depth=_mean(shares, [point.refined_depth for point in row]),
                outcomes={
                    outcome: _mean(shares, [point.outcomes[outcome] for point in row])
                    for outcome in row[0].outcomes
                },
                by_query=values,
            )
        )
    counts = [len(each.points[0].by_query) for each in curves]
    shares = [count / sum(counts) for count in counts]
    return replace(
        curves[0],
        model=name,
        rate=_mean(shares, [each.rate for each in curves]),
        load=_mean(shares, [each.load for each in curves]),
        retrieval=_mean(shares, [each.retrieval for each in curves]),
        points=tuple(points),
    )


def _mean(shares: Sequence[float], values: Sequence[float]) -> float:
    return sum(share * value for share, value in zip(shares, values, strict=True))


def to_json(recording: Recording) -> dict[str, Any]:
    """What `from_json` reads."""
    return asdict(replace(recording, calibration=None)) | {  # type: ignore[arg-type]
        "calibration": {"runs": recording.calibration.runs, "encodings": recording.calibration.encodings}
    }


def from_json(kept: dict[str, Any]) -> Recording:
    calibration = Calibration()
    calibration.runs = [(weight, seconds) for weight, seconds in kept["calibration"]["runs"]]
    calibration.encodings = [(weight, seconds) for weight, seconds in kept["calibration"]["encodings"]]
    queries = {
        name: RecordedQuery(
            **{field: tuple(values) for field, values in each.items() if field not in ("query", "texts")},
            query=Text(each["query"]),
            texts=tuple(map(Text, each["texts"])),
        )
        for name, each in kept["queries"].items()
    }
    return Recording(**(kept | {"queries": queries, "calibration": calibration}))


def _recorded(
    collection: Collection, folder: Path, model: str, options: argparse.Namespace, kept: Path | None
) -> Recording:
    path = None if kept is None else kept / f"{collection.name}-{Path(model).name}.json"
    if path is not None and path.is_file():
        return from_json(json.loads(path.read_text("utf-8")))
    run = read_run(choose_run(folder), collection)
    group = options.group.get(collection.name)
    settings = Settings.load().uncached()
    loaded = load_model(replace(settings.model, model=model), settings.data_dir)
    try:
        made = record(
            collection,
            run if group is None else within(run, collection, group),
            loaded,
            SystemClock(),
            depth=DEPTH,
            size=options.sample,
        )
    finally:
        loaded.close()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(to_json(made)), "utf-8")
    return made


def policies(margins: Sequence[float], tiers: Sequence[int]) -> list[CascadePolicy]:
    """The default, then each margin with the default tier, then each tier with the default margin; none twice."""
    tried = [CascadePolicy()]
    tried += [CascadePolicy(margin=margin) for margin in margins]
    tried += [CascadePolicy(tier=tier) for tier in tiers]
    return list(dict.fromkeys(tried))


def policy_table(tried: Sequence[tuple[CascadePolicy, Curve]]) -> str:
    """Markdown: quality, and in brackets how many candidates were rescored, at each budget; a line a policy."""
    budgets = [point.budget_ms for point in tried[0][1].points]
    names = ["no limit" if each is None else f"{each:g} ms" for each in budgets]
    lines = [f"| margin | tier | {' | '.join(names)} |", f"| --- | --- |{' --- |' * len(names)}"]
    for policy, made in tried:
        cells = [f"{point.value:.4f} ({point.refined_depth:.1f})" for point in made.points]
        lines.append(f"| {policy.margin:g} | {policy.tier} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _numbers(text: str) -> list[float]:
    return [float(each) for each in text.split(",") if each]


def _pairs(values: Sequence[str]) -> dict[str, str]:
    return dict(value.split("=", 1) for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("collections", nargs="+", type=Path)
    parser.add_argument("--small", required=True)
    parser.add_argument("--large", default="large")
    parser.add_argument("--sample", type=int, default=200, help="so many queries of each collection at most")
    parser.add_argument("--group", action="append", default=[], metavar="NAME=FIELD")
    parser.add_argument("--relevant-from", action="append", default=[], metavar="NAME=GRADE")
    parser.add_argument("--recordings", type=Path)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--svg", type=Path)
    parser.add_argument("--margins", type=_numbers, default=[], metavar="LOGITS,...")
    parser.add_argument("--tiers", type=_numbers, default=[], metavar="COUNT,...")
    options = parser.parse_args()
    options.group, grades = _pairs(options.group), _pairs(options.relevant_from)
    small: list[tuple[str, Curve]] = []
    large: list[tuple[str, Curve]] = []
    tried = {
        policy: list[tuple[str, Curve]]()
        for policy in policies(options.margins, [int(each) for each in options.tiers])
    }
    both = tried[CascadePolicy()]
    parts = []
    for folder in options.collections:
        collection = read_collection(folder)
        first, second = (
            _recorded(collection, folder, model, options, options.recordings)
            for model in (options.small, options.large)
        )
        asked: dict[str, Any] = {
            "rate": LOAD * second.capacity(),
            "budgets_ms": BUDGETS_MS,
            "requests": options.requests,
            "relevant_from": int(grades.get(collection.name, "1")),
        }
        small.append((collection.name, curve(collection, first, **asked)))
        large.append((collection.name, curve(collection, second, **asked)))
        for policy, found in tried.items():
            found.append((collection.name, curve(collection, first, refiner=second, policy=policy, **asked)))
        own = [found[-1][1] for found in (small, large, both)]
        parts.append(f"## {collection.name}\n\n{budget_table(own, contests(own))}")
        print(parts[-1], flush=True)
    curves = [pooled(found[0][1].model, found) for found in (small, large, both)]
    queries = len(curves[0].points[0].by_query)
    whole = f"## All {queries} queries\n\n{budget_table(curves, contests(curves))}"
    print(whole)
    if len(tried) > 1:
        parts.insert(0, policy_table([(policy, pooled("both", found)) for policy, found in tried.items()]))
        print(parts[0])
    if options.markdown:
        options.markdown.write_text("\n".join([whole, *parts]), "utf-8")
    if options.svg:
        options.svg.write_text(
            budget_chart(f"{queries} queries of {len(small)} collections", curves), "utf-8"
        )


if __name__ == "__main__":
    main()
