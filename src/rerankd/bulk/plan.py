"""What a job comes to, checked before any of it is done: its files, its shards, and whose the output is."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rerankd.bulk.formats import Shard, input_files
from rerankd.bulk.job import Job, ModelIdentity
from rerankd.bulk.place import PARTIAL, Place
from rerankd.errors import InvalidRequest

__all__ = ["BAD", "DONE", "MANIFEST", "SUMMARY", "Plan", "claim", "plan"]

MANIFEST, SUMMARY, DONE, BAD = "_manifest.json", "_summary.json", "_done", "_bad"
"""Beside the output files: whose they are, what came of it all, a receipt for every shard, and the bad rows.
Programs that read a folder of rows leave out names that begin with an underscore."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job that can be done."""

    job: Job
    files: tuple[Mapping[str, Any], ...]
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def manifest(self, model: ModelIdentity) -> dict[str, Any]:
        """What the rows of the output depend on."""
        return {
            "format": 1,
            "job": dict(self.job.settings()),
            "model": asdict(model),
            "shards": len(self.shards),
            "rows": self.rows,
            "files": [dict(file) for file in self.files],
        }


def plan(job: Job) -> Plan:
    """Look at the input and at the output's folder. Nothing is written.

    Raises `InvalidRequest` naming the file and the column that is missing or of a wrong type, `RerankdError`
    naming the file that cannot be read, and `InvalidRequest` for an output that is a file or somebody else's.
    """
    files, form = input_files(job.input)
    _own(_manifest_of(job), job)
    for file in files:
        form.check(file, job)
    shards: list[Shard] = []
    for file in files:
        for first, rows, start in form.shards(file, job.shard_rows):
            shards.append(Shard(number=len(shards), file=file.url, first=first, rows=rows, start=start))
    return Plan(job=job, files=tuple(file.identity() for file in files), shards=tuple(shards))


def claim(plan: Plan, model: ModelIdentity) -> Place:
    """Make the output's folder the job's own, or find that it already is; returns it.

    Raises `InvalidRequest` naming what differs where it holds another job's rows.
    """
    output = Place.of(plan.job.output, "OUTPUT")
    wanted = json.loads(json.dumps(plan.manifest(model)))
    found = _manifest_of(plan.job)
    if found is None:
        with (output / MANIFEST).replacing(output) as file:
            file.write(json.dumps(wanted, indent=1).encode())
        return output
    differing = [
        *(key for key in wanted if key != "job" and found.get(key) != wanted[key]),
        *(key for key, value in wanted["job"].items() if found.get("job", {}).get(key) != value),
    ]
    if differing:
        raise InvalidRequest(
            "OUTPUT", f"{output.url}: holds the rows of another job, with other {', '.join(differing)}"
        )
    return output


def _manifest_of(job: Job) -> Mapping[str, Any] | None:
    """What is written in the output's folder; None where it is new or empty."""
    output = Place.of(job.output, "OUTPUT")
    if output.exists() and not output.is_folder():
        raise InvalidRequest("OUTPUT", f"{output.url}: is a file; a job writes a folder")
    names = [name for name in output.names() if name != PARTIAL]
    if not names:
        return None
    if MANIFEST not in names:
        raise InvalidRequest("OUTPUT", f"{output.url}: is not empty, and no job of ours has written it")
    try:
        found = json.loads((output / MANIFEST).read())
    except ValueError:
        found = None
    if not isinstance(found, Mapping):
        raise InvalidRequest("OUTPUT", f"{output.url}: its {MANIFEST} cannot be understood")
    return found


def _own(found: Mapping[str, Any] | None, job: Job) -> None:
    """Refuse early, before every input file is looked at, what can be told by the job alone."""
    if found is None:
        return
    written: Any = found.get("job", {})
    differing: Sequence[str] = [key for key, value in job.settings().items() if written.get(key) != value]
    if differing:
        raise InvalidRequest(
            "OUTPUT", f"{job.output}: holds the rows of another job, with other {', '.join(differing)}"
        )
