"""A bulk job on a Ray cluster: the same shards as in one process, each done by whichever worker is free."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.bulk.formats import Shard
from rerankd.bulk.job import Job, ModelIdentity
from rerankd.bulk.place import Place
from rerankd.bulk.plan import Plan
from rerankd.bulk.run import Begun, Summary, Told, begin, finish, identity_of
from rerankd.bulk.scoring import BulkScorer
from rerankd.bulk.shard import Receipt, do_shard
from rerankd.core.ports import Model
from rerankd.errors import BackendError, RerankdError
from rerankd.models.policy import ModelPolicy
from rerankd.scale.cluster import address_of, cause_of, connect
from rerankd.wiring import load_model

__all__ = ["run_on_ray"]

Load = Callable[[], Model]


def run_on_ray(
    plan: Plan,
    told: Told,
    *,
    model: ModelPolicy,
    data_dir: Path,
    policy: ReplicasPolicy,
    load: Load | None = None,
) -> Summary:
    """Do what is left of the job with a worker for each GPU of the cluster or, where there is none, each core.

    Input, output and model must be within reach of every machine. `load`: what a worker calls instead of loading
    the model. Raises what `rerankd.bulk.run.run` raises, and `BackendError` where there is no cluster.
    """
    if (address := address_of(policy)).startswith("ray://"):
        # Ray Data plans in the process that asks, which therefore has to be one of the cluster's own
        raise BackendError(
            f"{address}: bulk work begins on a machine of the cluster; give its HOST:6379, or auto"
        )
    ray = connect(policy)
    loads: Load = load or _Load(model, data_dir)
    has = ray.cluster_resources()
    gpus = int(has.get("GPU", 0)) if not model.device.startswith("cpu") else 0
    cores = max(1, int(has.get("CPU", 1)))
    each = {"num_cpus": 1, "num_gpus": 1} if gpus else {"num_cpus": 1}
    try:
        identity = ray.get(ray.remote(**each)(_identify).remote(loads))
        begun = begin(plan, identity)
        return finish(begun, _receipts(begun, loads, min(gpus or cores, len(begun.todo)), each), told)
    except ray.exceptions.RayError as error:
        # what a worker raised comes as a kind of its own that is of both families, with its traceback for a message
        cause = cause_of(error)
        if isinstance(cause, RerankdError):
            raise cause from None
        raise BackendError(f"the cluster failed: {type(cause).__name__}") from error


class _Load:
    """Loads the model that the settings name; on a core of its own, and not on all of the machine's."""

    def __init__(self, model: ModelPolicy, data_dir: Path) -> None:
        self._model = model
        self._data_dir = data_dir

    def __call__(self) -> Model:
        return load_model(self._model, self._data_dir)


def _identify(load: Load) -> ModelIdentity:
    model = load()
    try:
        return identity_of(model)
    finally:
        model.scorer.close()


class _Worker:
    """One actor of Ray Data's."""

    def __init__(self, load: Load, job: Job, output: str, identity: ModelIdentity) -> None:
        self._model = load()
        found = identity_of(self._model)
        if found != identity:
            raise BackendError(f"a worker found another model: {found.model}, not {identity.model} as it was")
        self._job = job
        self._output = Place.of(output, "OUTPUT")
        self._identity = identity
        self._scorer = BulkScorer(self._model, job, threads=1)

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return asdict(do_shard(Shard(**row), self._job, self._output, self._scorer, self._identity))


def _receipts(begun: Begun, load: Load, workers: int, each: Mapping[str, Any]) -> Iterator[Receipt]:
    if not begun.todo:
        return
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours knows what was done before
    context.print_on_execution_start = False
    rows: Sequence[dict[str, Any]] = [asdict(shard) for shard in begun.todo]
    done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        _Worker,
        fn_constructor_args=(load, begun.plan.job, begun.output.url, begun.model),
        compute=ray.data.ActorPoolStrategy(size=workers),
        **each,
    )
    for row in done.iter_rows():
        yield Receipt(**row)
