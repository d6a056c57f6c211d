"""All settings, and how they are read.

A value comes from the first of: the call, the environment, the TOML file, the default. Every field of every
policy is a setting `section.field`, its variable `RERANKD_SECTION_FIELD`, its place in the TOML file
`[section] field`. An empty variable counts as not set: compose files and charts pass variables on that way.
"""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from rerankd.backends.isolation.policy import IsolationPolicy
from rerankd.backends.remote_policy import RemotePolicy
from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.core.batch import BatchPolicy
from rerankd.core.breaker import BreakerPolicy
from rerankd.core.cache import CachePolicy
from rerankd.core.cascade import CascadePolicy
from rerankd.core.estimate import EstimatePolicy
from rerankd.core.request import RerankPolicy
from rerankd.core.secret import Secret
from rerankd.core.watch import WatchPolicy
from rerankd.errors import ConfigError
from rerankd.fields import Field, declared
from rerankd.flags.policy import FlagPolicy
from rerankd.http.policy import HttpPolicy
from rerankd.logs import LogPolicy
from rerankd.memory.policy import MemoryPolicy, StorePolicy
from rerankd.models.policy import ModelPolicy
from rerankd.settings.data_dir import default_data_dir
from rerankd.settings.sources import Given, expanded, from_call, from_environment, from_file, made, read_toml
from rerankd.settings.unknown import ConfigWarning, UnknownKey, unknown_in_file, unknown_variables

__all__ = [
    "SPECIAL_NAMES",
    "Settings",
    "ray_address",
    "refuse_unknown",
    "setting_fields",
    "unknown_keys",
    "warn_unknown",
]

SPECIAL_NAMES = {
    "enabled": "RERANK_ENABLED",
    "model.model": "CROSS_ENCODER_MODEL",
    "model.device": "DEVICE",
    "rerank.target_ms": "RERANK_BUDGET_MS",
    "rerank.budget_ms": "RERANK_CIRCUIT_MS",
    "batch.max_pairs": "RERANK_BATCH_SIZE",
    "store.url": "DATABASE_URL",
}
"""Variables that are not named after their setting, as host applications set them already: `RERANK_BUDGET_MS`
has always been the latency to alert at, `RERANK_CIRCUIT_MS` the deadline. The derived names work as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. `Settings()` gives the defaults; `Settings.load()` reads what the user has set."""

    enabled: bool = True
    """False switches reranking off for good, whatever the flag says."""
    data_dir: Path = field(default_factory=default_data_dir, metadata={"default": "the user's data folder"})
    """Where models made here, lock files, generated keys and the embedded database live."""
    config: Path | None = field(default=None, metadata={"in_file": False})
    """A TOML file of settings."""
    api_key: Secret | None = None
    """The key that the command line's `--url` and the client send."""
    test_datasets: Path | None = None
    """The folder of test collections; tests that need one skip without it."""
    rerank: RerankPolicy = field(default_factory=RerankPolicy)
    model: ModelPolicy = field(default_factory=ModelPolicy)
    cascade: CascadePolicy = field(default_factory=CascadePolicy)
    cache: CachePolicy = field(default_factory=CachePolicy)
    batch: BatchPolicy = field(default_factory=BatchPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    estimate: EstimatePolicy = field(default_factory=EstimatePolicy)
    watch: WatchPolicy = field(default_factory=WatchPolicy)
    isolation: IsolationPolicy = field(default_factory=IsolationPolicy)
    remote: RemotePolicy = field(default_factory=RemotePolicy)
    ray: ReplicasPolicy = field(default_factory=ReplicasPolicy)
    flag: FlagPolicy = field(default_factory=FlagPolicy)
    http: HttpPolicy = field(default_factory=HttpPolicy)
    log: LogPolicy = field(default_factory=LogPolicy)
    store: StorePolicy = field(default_factory=StorePolicy)
    memory: MemoryPolicy = field(default_factory=MemoryPolicy)
    traces: bool = field(default=False, metadata={"setting": False})
    """Whether spans are sent: an OpenTelemetry endpoint is set (`OTEL_EXPORTER_OTLP_ENDPOINT` or
    `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) and `OTEL_SDK_DISABLED` is not true."""
    sources: Mapping[str, str] = field(
        default_factory=dict, compare=False, repr=False, metadata={"setting": False}
    )
    """Where each setting that is not at its default was set, in words."""
    unknown: tuple[UnknownKey, ...] = field(
        default=(), compare=False, repr=False, metadata={"setting": False}
    )
    """What looks like a setting in the environment or the file and is none."""

    @classmethod
    def load(
        cls, environ: Mapping[str, str] | None = None, file: Path | str | None = None, **overrides: Any
    ) -> "Settings":
        """Read the settings: `overrides` before `environ` (the process's) before `file` (`RERANKD_CONFIG`'s).

        An override names a setting (`data_dir=...`, `**{"rerank.budget_ms": 100}`) or a whole policy
        (`batch=BatchPolicy(max_pairs=1)`, `batch={"max_pairs": 1}`); None says nothing. Raises `ConfigError`
        naming the variable, the value seen and what is allowed. Unknown keys are only collected, in
        `unknown`; the caller chooses between `refuse_unknown` and `warn_unknown`.
        """
        environ, known = os.environ if environ is None else environ, setting_fields()
        named = environ.get("RERANKD_CONFIG", "").strip()
        path, label, source = expanded(file), "settings file", "call"
        if path is None and named:
            path, label, source = expanded(named), "RERANKD_CONFIG", "environment RERANKD_CONFIG"
        table = {} if path is None else read_toml(path, label)
        given = from_file(table, path, known) | from_environment(environ, known) | from_call(overrides, known)
        if path is not None:
            given["config"] = Given(path, label, source)
        values: dict[str, Any] = {"data_dir": default_data_dir(environ)}
        for each in fields(cls):
            policy: Any = each.default_factory
            if is_dataclass(policy):
                values[each.name] = made(policy, each.name, given, known)
        values |= {name: got.value for name, got in given.items() if "." not in name}
        return cls(
            **values,
            traces=_traces(environ),
            sources={name: got.source for name, got in given.items()},
            unknown=(*unknown_variables(environ, known), *unknown_in_file(table, path, known)),
        )

    def uncached(self) -> "Settings":
        """The same for whatever measures: no figure may come of work that was not done."""
        return replace(self, cache=CachePolicy())


def ray_address(environ: Mapping[str, str] | None = None) -> str:
    """The cluster that Ray's own variable names; `ray.address` comes before it."""
    return (os.environ if environ is None else environ).get("RAY_ADDRESS", "").strip()


def _traces(environ: Mapping[str, str]) -> bool:
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and any(environ.get(name, "").strip() for name in endpoints)


@cache
def setting_fields() -> Mapping[str, Field]:
    """Every setting by its name (`rerank.budget_ms`), in the order of the tables."""
    return {each.name: each for each in declared(Settings, SPECIAL_NAMES)}


def unknown_keys(
    environ: Mapping[str, str] | None = None, file: Path | str | None = None
) -> tuple[UnknownKey, ...]:
    """Variables `RERANKD_...` and keys of the file that are no settings. Their values are not looked at.

    The variables that Kubernetes adds for services whose names begin with ours are left out.
    """
    environ = os.environ if environ is None else environ
    path = expanded(file)
    table = {} if path is None else read_toml(path)
    known = setting_fields()
    return (*unknown_variables(environ, known), *unknown_in_file(table, path, known))


def refuse_unknown(settings: Settings) -> None:
    """Raise `ConfigError` naming every unknown key: a service that starts must mean what was written."""
    if settings.unknown:
        raise ConfigError("; ".join(map(str, settings.unknown)))


def warn_unknown(settings: Settings, *, stacklevel: int = 2) -> None:
    """Warn of every unknown key, for a library in somebody else's program, which must not fail over one.

    A warning and not a log line: it is for whoever started the program and can be mended there, and it is
    seen in a script that has not set up logging. `stacklevel=1` points at the caller of this function.
    """
    for each in settings.unknown:
        warnings.warn(str(each), ConfigWarning, stacklevel=stacklevel + 1)
