"""The service on Ray Serve: scorers as a deployment, and the HTTP application in front of them.

Two ways lead to the same scorers. `rerankd serve --ray` listens itself, with everything that the service has on
one machine. `rerankd.scale.serve:app` is an application for `serve run` and `serve deploy`: there Ray Serve's
own proxies listen, and the same HTTP application is a deployment behind them.
"""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any

from rerankd.backends.replicas import load_replicas
from rerankd.core.ports import FlagSource, Model
from rerankd.engine.clock import SystemClock
from rerankd.errors import BackendError
from rerankd.flags.choice import choose
from rerankd.flags.cluster import ClusterFlag
from rerankd.flags.memory import MemoryFlag
from rerankd.http.access import Access, OpenAccess
from rerankd.http.service import Service
from rerankd.scale.cell import RayCell
from rerankd.scale.cluster import connect
from rerankd.scale.handle import ServeReplicas
from rerankd.scale.replica import Replica
from rerankd.settings import Settings, refuse_unknown
from rerankd.wiring import build_service

__all__ = ["APPLICATION", "SCORERS", "app", "application", "build_ray_service", "scorers", "service_in_front"]

APPLICATION, SCORERS = "rerankd", "scorers"
"""What Ray Serve calls the application, and its deployment of scorers."""


def app(arguments: Mapping[str, Any]) -> Any:
    """What `serve run rerankd.scale.serve:app` and a Serve config build. `arguments`: settings by their names, as
    `{"model.model": "large"}`, before the environment's."""
    settings = Settings.load(**arguments)
    refuse_unknown(settings)
    return application(settings)


def application(settings: Settings, replica: type[Replica] = Replica) -> Any:
    """The HTTP application in front of scorers, as a Ray Serve application. `replica`: what each of them is."""
    from ray import serve

    policy = settings.ray
    ingress = serve.deployment(
        name="ingress",
        num_replicas=policy.ingresses,
        # it does no work of its own, and answers what is too much itself
        max_ongoing_requests=10_000,
        ray_actor_options={"num_cpus": 0.1},
    )(serve.ingress(_door)(_Ingress))
    return ingress.bind(settings, scorers(settings, replica))


def scorers(settings: Settings, replica: type[Replica] = Replica) -> Any:
    """The scorers alone. `replica`: what each of them is."""
    from ray import serve

    policy = settings.ray
    many: dict[str, Any] = {"num_replicas": policy.replicas}
    if not policy.replicas:
        many = {
            "autoscaling_config": {
                "min_replicas": policy.min_replicas,
                "max_replicas": policy.max_replicas,
                "target_ongoing_requests": policy.target_ongoing_requests,
            }
        }
    deployment = serve.deployment(
        name=SCORERS,
        max_ongoing_requests=policy.max_ongoing_requests,
        max_queued_requests=policy.max_queued_requests,
        health_check_period_s=2.0,
        health_check_timeout_s=5.0,
        ray_actor_options={"num_cpus": policy.cpus, "num_gpus": policy.gpus},
        **many,
    )(replica)
    return deployment.bind(_for_scorers(settings))


def build_ray_service(settings: Settings, replica: type[Replica] = Replica) -> Service:
    """The service of `rerankd serve --ray`. Raises `BackendError` where the cluster cannot be reached.

    It listens before the scorers are there, as on one machine before the model is. Services with the same
    settings on several machines share the scorers; one with other settings, such as another model, has them
    replaced one after the other.
    """
    connect(settings.ray)
    deployed = _Deployed(settings, replica)
    return service_in_front(settings, deployed.load)


class _Deployed:
    """Deploys the scorers once, and finds them as often as need be."""

    def __init__(self, settings: Settings, replica: type[Replica]) -> None:
        self._settings = settings
        self._replica = replica
        self._handle: Any = None

    def load(self) -> Model:
        from ray import serve

        if self._handle is None:
            try:
                self._handle = serve.run(
                    scorers(self._settings, self._replica), name=APPLICATION, route_prefix=None
                )
            except RuntimeError as error:
                # Serve's message tells where its own logs are
                raise BackendError(f"the scorers do not start: {str(error).partition(chr(10))[0]}") from error
        return load_replicas(ServeReplicas(self._handle), self._settings.ray, clock=SystemClock())


def service_in_front(settings: Settings, load: Callable[[], Model], access: Access | None = None) -> Service:
    """The service whose model is what `load` finds of the scorers. `access`: another door than the address's."""
    ours = replace(
        settings,
        # replicas are replaced within seconds, and looked for as often
        model=replace(settings.model, retry_max_ms=max(settings.model.retry_ms, 2_000.0)),
        breaker=replace(settings.breaker, open_max_remote_ms=settings.breaker.open_max_ms),
    )
    return build_service(ours, load=load, flag=_flag(settings), access=access)


def _flag(settings: Settings) -> FlagSource:
    """Where the process alone would hold the flag, the cluster does."""
    chosen = choose(settings.flag, enabled=settings.enabled)
    return ClusterFlag(RayCell("rerankd-flag")) if isinstance(chosen, MemoryFlag) else chosen


def _for_scorers(settings: Settings) -> Settings:
    """What a scorer needs to know. The flag is read at the ingress alone, and no key leaves it."""
    workers = max(1, int(settings.ray.cpus))
    defaults = Settings()
    return replace(
        settings,
        enabled=True,
        api_key=None,
        batch=replace(settings.batch, workers=min(settings.batch.workers or workers, workers)),
        flag=defaults.flag,
        http=defaults.http,
        store=defaults.store,
        memory=defaults.memory,
        sources={},
        unknown=(),
    )


class _Ingress:
    """The HTTP application where Ray Serve runs it."""

    service: "Service | None" = None

    def __init__(self, settings: Settings, scorers: Any) -> None:
        policy = settings.ray
        http = replace(settings.http, listen_host="0.0.0.0")  # the proxy's address is not known here
        ours = replace(settings, http=http)

        def load() -> Model:
            return load_replicas(ServeReplicas(scorers), policy, clock=SystemClock())

        # one of them in a process, whatever the number of requests
        access = OpenAccess() if policy.keyless else None
        _Ingress.service = service_in_front(ours, load, access)


def _door() -> "_Door":
    """Called by Ray Serve when an ingress has been made."""
    assert _Ingress.service is not None
    return _Door(_Ingress.service)


class _Door:
    """The application as an ASGI one that starts and ends with its process."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] != "lifespan":
            await self._service.server.asgi(scope, receive, send)
            return
        await receive()  # that it is to start
        async with self._service.started():
            await send({"type": "lifespan.startup.complete"})
            await receive()  # that it is to stop
        await send({"type": "lifespan.shutdown.complete"})
