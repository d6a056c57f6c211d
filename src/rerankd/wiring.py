"""Builds a reranker from settings: the only place that knows all concrete classes."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rerankd.cascading import load_named
from rerankd.core.ports import FlagSource, Model, Observer
from rerankd.engine.clock import SystemClock
from rerankd.errors import BackendError, ConfigError
from rerankd.flags.choice import choose
from rerankd.loading import Retreat, load_model
from rerankd.logs import LogObserver
from rerankd.models.names import full_name_of
from rerankd.models.policy import ModelPolicy
from rerankd.reranker import Reranker
from rerankd.settings import Settings, warn_unknown
from rerankd.takeover import TakeoverScorer

if TYPE_CHECKING:
    from rerankd.http.access import Access
    from rerankd.http.service import Service
    from rerankd.memory.epochs import Epochs, SecretKind
    from rerankd.memory.memory import Memory
    from rerankd.memory.types import VectorMode

__all__ = ["build", "build_memory", "epochs_of", "load_model", "open_memory", "open_reranker"]

_log = logging.getLogger(__name__)


def open_reranker(
    model: str | None = None,
    *,
    device: str | None = None,
    settings: Settings | None = None,
    observers: Sequence[Observer] = (),
    wait: bool = True,
    require_model: bool = False,
) -> Reranker:
    """A reranker from the environment's settings; use it as a context manager, sync or async.

    `model`: a hub id, a folder or an alias, instead of `CROSS_ENCODER_MODEL`. `device`: instead of `DEVICE`.
    `wait=False`: entering the context does not wait until the model is loaded; answers fall open until then.
    `require_model=True`: entering raises `BackendError` when the model cannot be loaded.

    Raises `ConfigError` for a wrong setting, naming it.
    """
    if settings is None:
        settings = Settings.load()
        warn_unknown(settings)
    if model is not None:
        settings = replace(settings, model=replace(settings.model, model=model))
    if device is not None:
        settings = replace(settings, model=replace(settings.model, device=device))
    return build(settings, observers=observers, wait=wait, require_model=require_model)


def load_for_isolation(spec: Mapping[str, Any]) -> Model:
    """What the process of an isolated scorer calls, from what JSON can hold. Each of a cascade has its own."""
    return load_model(ModelPolicy(**spec["model"]), Path(spec["data_dir"]))


def _loader(settings: Settings, isolated: bool) -> Callable[[], Model]:
    """What loads the model that the settings name: a server's, one in a process of its own, or one here."""
    if settings.remote.url:
        return lambda: _load_remote(settings, isolated)
    return _local_loader(settings, isolated)


def _load_remote(settings: Settings, isolated: bool) -> Model:
    """A server's model; with one of our own that takes over, where that is wanted and can be loaded."""
    from rerankd.backends.remote import load_remote

    policy, clock = settings.remote, SystemClock()
    first = load_remote(policy, clock=clock)
    if policy.takeover == 0:
        return first
    ours = replace(settings, model=replace(settings.model, model=policy.takeover_model))
    try:
        second = _local_loader(ours, isolated)()
    except BackendError as error:
        # the server is there all the same
        _log.warning("nothing can take over from %s: %s", policy.name, error)
        return first
    scorer = TakeoverScorer(
        first.scorer, second, share=policy.takeover, clock=clock, breaker=settings.breaker
    )
    return Model(scorer=scorer, tokenizer=None, max_tokens=first.max_tokens)


def _local_loader(settings: Settings, isolated: bool) -> Callable[[], Model]:
    if isolated and not hasattr(os, "fork"):
        raise ConfigError("RERANKD_MODEL_ISOLATED: needs a POSIX system")
    retreat = Retreat(SystemClock())

    def load_one(policy: ModelPolicy) -> Model:
        return _load_apart(settings, policy) if isolated else load_model(policy, settings.data_dir)

    def load() -> Model:
        model = load_named(
            retreat.choose(settings.model),
            load_one,
            clock=SystemClock(),
            budget_ms=settings.rerank.budget_ms,
            cascade=settings.cascade,
        )
        return retreat.loaded(model, settings.model)

    return load


def _load_apart(settings: Settings, policy: ModelPolicy) -> Model:
    """A model in a process of its own."""
    from rerankd.backends.isolated import load_isolated

    spec = {"model": asdict(policy), "data_dir": str(settings.data_dir)}
    return load_isolated(
        "rerankd.wiring:load_for_isolation", spec, clock=SystemClock(), policy=settings.isolation
    )


def build(
    settings: Settings,
    *,
    observers: Sequence[Observer] = (),
    wait: bool = True,
    require_model: bool = False,
    isolated: bool | None = None,
    load: Callable[[], Model] | None = None,
    flag: FlagSource | None = None,
) -> Reranker:
    """The reranker that the settings describe. Nothing is loaded before its context is entered.

    `isolated`: whether the model runs in a process of its own; None: as `RERANKD_MODEL_ISOLATED` says. `load`
    and `flag`: instead of the model and the flag's source that the settings name.
    What happens is logged under `rerankd`; an observer that has a `bind` (metrics) is given the reranker's
    `status` to read gauges from.
    """
    clock = SystemClock()
    reranker = Reranker(
        load or _loader(settings, settings.model.isolated if isolated is None else isolated),
        name=settings.remote.name if settings.remote.url else full_name_of(settings.model.model),
        policy=settings.rerank,
        breaker=settings.breaker,
        batch=settings.batch,
        estimate=settings.estimate,
        watch=settings.watch,
        cascade=settings.cascade,
        cache=settings.cache,
        flag=flag or choose(settings.flag, enabled=settings.enabled),
        initial_flag=settings.flag.initial,
        flag_poll_ms=settings.flag.poll_ms,
        retry_ms=settings.model.retry_ms,
        retry_max_ms=settings.model.retry_max_ms,
        clock=clock,
        observers=(LogObserver(clock), *observers),
        wait=wait,
        require_model=require_model,
    )
    for observer in observers:
        bind = getattr(observer, "bind", None)
        if bind is not None:
            bind(reranker.status)
    return reranker


def build_service(
    settings: Settings,
    *,
    load: Callable[[], Model] | None = None,
    flag: FlagSource | None = None,
    access: "Access | None" = None,
) -> "Service":
    """The service that the settings describe. Nothing is started before it runs.

    `load` and `flag`: as for `build`. `access`: another door than the one that suits the address. Raises
    `ConfigError` where an API key is needed and there is none, and `BackendError` when the `http` extra is
    missing, or the `memory` extra where the memory is to be served.
    """
    try:
        from rerankd.http.app import create_app
        from rerankd.http.keyfile import KeyFile
        from rerankd.http.live import Live
        from rerankd.http.server import Server, access_for
        from rerankd.http.service import Service
    except ImportError as error:
        raise BackendError(f"the service needs more: pip install 'rerankd[http]' ({error})") from error
    from rerankd.metrics import PrometheusObserver
    from rerankd.summary import Summary

    policy, clock = settings.http, SystemClock()
    access = access or access_for(policy, KeyFile(keys_path(settings)), clock)
    metrics, summary, live = PrometheusObserver(), Summary(batch_size=settings.batch.max_pairs), Live(clock)
    observers: list[Any] = [metrics, summary, live]
    joined, at_end = None, []
    if settings.traces:
        from rerankd.tracing import TracingObserver, end_export, export_spans
        from rerankd.tracing import joined as joined_traces

        provider = export_spans()
        observers.append(TracingObserver(provider))
        joined = joined_traces
        at_end.append(partial(end_export, provider))
    isolated = settings.model.isolated or (policy.isolated and hasattr(os, "fork"))
    # whoever waits for an answer over HTTP has it only when it is written, sent and read
    guarded = replace(settings.rerank, guard_ms=settings.rerank.guard_ms + policy.answer_ms)
    served = replace(settings, rerank=guarded)
    reranker = build(served, observers=observers, wait=False, isolated=isolated, load=load, flag=flag)
    memory = None
    if policy.memory:
        from rerankd.http.memory.opening import ServedMemory

        memory = ServedMemory(lambda: build_memory(settings, reranker, observers=observers))
    app = create_app(
        reranker,
        policy=policy,
        access=access,
        metrics=metrics,
        summary=summary,
        live=live,
        memory=memory,
        joined=joined,
    )
    server = Server(app, policy, clock)
    also = () if memory is None else (memory,)
    return Service(reranker, server, clock=clock, metrics=metrics, also=also, at_end=tuple(at_end))


def keys_path(settings: Settings) -> Path:
    """Where the hashes of the API keys are."""
    return settings.http.keys_file or settings.data_dir / "keys.json"


def open_memory(
    tenant: str | None = None,
    vectors: "VectorMode | None" = None,
    *,
    settings: Settings | None = None,
    reranker: Reranker | None = None,
    observers: Sequence[Observer] = (),
) -> "Memory":
    """A memory from the environment's settings; see `rerankd.memory.open`."""
    if settings is None:
        settings = Settings.load()
        warn_unknown(settings)
    if tenant is not None:
        settings = replace(settings, store=replace(settings.store, tenant=tenant))
    if vectors is not None:
        settings = replace(settings, store=replace(settings.store, vectors=vectors))
    return build_memory(settings, reranker, observers=observers)


def build_memory(
    settings: Settings, reranker: Reranker | None = None, *, observers: Sequence[Observer] = ()
) -> "Memory":
    """The memory that the settings describe. Nothing is started or loaded before its context is entered.

    `reranker`: one that is in use already, and that the memory neither enters nor leaves; None: one of its
    own. Raises `ConfigError` for keys that are none, and `BackendError` when the `memory` extra is missing.
    """
    try:
        from rerankd.memory.embedder import PooledEmbedder
        from rerankd.memory.keys import LocalKeys
        from rerankd.memory.memory import Memory
        from rerankd.memory.pepper import Peppers
        from rerankd.memory.store.embedded import EmbeddedPostgres
        from rerankd.memory.store.maintenance import PostgresMaintenance
        from rerankd.memory.store.postgres import PostgresStore
    except ImportError as error:
        raise BackendError(
            f"the memory needs more: pip install 'rerankd[memory,embedded]' ({error})"
        ) from error
    store, policy, clock = settings.store, settings.memory, SystemClock()
    owned = reranker is None
    if reranker is None:
        reranker = build(settings, observers=observers)
    server = None if store.url else EmbeddedPostgres(settings.data_dir)
    app = store.url or (server.urls().app if server else "")
    maintain = store.maintain_url or (server.urls().maintain if server else None)

    def load() -> Any:
        # heavy imports belong to a thread of the embedder's
        from rerankd.memory.onnx_encoder import OnnxEncoder

        return OnnxEncoder.load(policy.embedder)

    return Memory(
        server=server,
        store=PostgresStore(app, store, clock=clock),
        maintenance=None if maintain is None else lambda: PostgresMaintenance(maintain, store, clock=clock),
        keys=LocalKeys(epochs_of(settings, "key")),
        peppers=Peppers(epochs_of(settings, "pepper")),
        embedder=PooledEmbedder(load, clock=clock, workers=policy.embed_workers, queue=policy.embed_queue),
        reranker=reranker,
        owns_reranker=owned,
        tenant=store.tenant,
        vectors=store.vectors,
        policy=policy,
        observers=(LogObserver(clock), *observers),
    )


def epochs_of(settings: Settings, kind: "SecretKind") -> "Epochs":
    """Where the secrets of one kind are kept. `service` is the drop-in's own, which no rotation destroys."""
    from rerankd.memory.epochs import FileEpochs, GivenEpochs

    policy = settings.memory
    given = {"key": policy.keys, "pepper": policy.peppers}.get(kind)
    if given is not None:
        return GivenEpochs(kind, given, setting=f"RERANKD_MEMORY_{kind.upper()}S")
    folder = policy.key_dir
    if folder is None:
        # apart, as rotating the keys of one database destroys what another may still need
        folder = settings.data_dir / "keys" / ("database" if settings.store.url else "embedded")
    return FileEpochs(kind, folder)
