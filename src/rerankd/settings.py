"""The settings: the only place that reads the environment.

A value comes from the first of: the call, the environment, the TOML file, the default. Every field of every
policy is a setting `section.field`, its variable `RERANKD_SECTION_FIELD`, its place in the TOML file
`[section] field`. An empty variable counts as not set: compose files and charts pass variables on that way.
"""

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
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
from rerankd.fields import Field, declared, field_docs, plain
from rerankd.flags.policy import FlagPolicy
from rerankd.http.policy import HttpPolicy
from rerankd.logs import LogPolicy
from rerankd.memory.policy import MemoryPolicy, StorePolicy
from rerankd.models.policy import ModelPolicy

__all__ = [
    "ConfigWarning",
    "Secret",
    "Setting",
    "Settings",
    "UnknownKey",
    "default_data_dir",
    "describe",
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

_SERVICE_LINK = re.compile(
    r"RERANKD_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)|RERANKD_PORT"
)


class ConfigWarning(UserWarning):
    """A variable or key that looks like a setting of ours and is none."""


def default_data_dir(
    environ: Mapping[str, str] | None = None, *, platform: str = sys.platform, root: bool | None = None
) -> Path:
    """Where this user's data live if nothing is said: the system's own place, as root `/var/lib/rerankd`."""
    environ = os.environ if environ is None else environ
    if root is None:
        root = getattr(os, "geteuid", lambda: 1)() == 0
    if platform == "win32":
        local = environ.get("LOCALAPPDATA", "")
        return Path(local) / "rerankd" if local else Path.home() / "AppData" / "Local" / "rerankd"
    if root:
        return Path("/var/lib/rerankd")
    home = environ.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):  # a user without an entry and without HOME, as in some containers
        return Path("/var/lib/rerankd")
    if platform == "darwin":
        return Path(home) / "Library" / "Application Support" / "rerankd"
    shared = environ.get("XDG_DATA_HOME", "")
    # The XDG specification says that a relative path here is to be ignored.
    return Path(shared if os.path.isabs(shared) else f"{home}/.local/share") / "rerankd"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownKey:
    """A variable or a key of the file that looks like a setting and is none."""

    name: str
    nearest: str | None
    """The known name that is most like it, if any is."""
    source: str

    def __str__(self) -> str:
        return f"{self.name} ({self.source}) is not a setting" + (
            f"; did you mean {self.nearest}?" if self.nearest else ""
        )


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
        environ = os.environ if environ is None else environ
        named = environ.get("RERANKD_CONFIG", "").strip()
        path, label, source = _path(file), "settings file", "call"
        if path is None and named:
            path, label, source = _path(named), "RERANKD_CONFIG", "environment RERANKD_CONFIG"
        table = {} if path is None else _read_toml(path, label)
        given = _from_file(table, path) | _from_environment(environ) | _from_call(overrides)
        if path is not None:
            given["config"] = _Given(path, label, source)
        values: dict[str, Any] = {"data_dir": default_data_dir(environ)}
        for each in fields(cls):
            policy: Any = each.default_factory
            if is_dataclass(policy):
                values[each.name] = _make(policy, each.name, given)
        values |= {name: got.value for name, got in given.items() if "." not in name}
        return cls(
            **values,
            traces=_traces(environ),
            sources={name: got.source for name, got in given.items()},
            unknown=(*_unknown_variables(environ), *_unknown_in_file(table, path)),
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


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that somebody has set."""

    value: Any
    label: str
    """What an error calls it."""
    source: str
    """What a table calls it."""


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for name, each in setting_fields().items():
        if name == "config":
            continue
        for variable in (each.env, *each.aliases):
            text = environ.get(variable, "")
            if not text.strip():
                continue
            try:
                value = each.parse(text)
            except ValueError:
                raise ConfigError(f"{variable}: must be {each.allowed}, got {each.seen(text)}") from None
            if name in given and given[name].value != value:
                raise ConfigError(
                    f"{given[name].label} and {variable} are the same setting and differ: unset one"
                )
            given.setdefault(name, _Given(value, variable, f"environment {variable}"))
    return given


def _from_file(table: Mapping[str, Any], path: Path | None) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    if path is None:
        return given
    for name, value in _flat(table, f"{path}: "):
        each = setting_fields().get(name)
        if each is None or not each.in_file:
            continue  # listed by `_unknown_in_file`
        try:
            taken = each.take(value, path.parent.absolute())
        except ValueError:
            raise ConfigError(f"{path}: {name}: must be {each.allowed}, got {each.seen(value)}") from None
        given[name] = _Given(taken, f"{path}: {name}", f"file {path}")
    return given


def _from_call(overrides: Mapping[str, Any]) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for name, value in _flat(overrides):
        each = setting_fields().get(name)
        if each is None or name == "config":
            raise ConfigError(f"{name}: is not a setting{_hint(name, setting_fields())}")
        if value is None:
            continue
        try:
            taken = each.parse(value) if isinstance(value, str) else each.take(value)
        except ValueError:
            raise ConfigError(f"{name}: must be {each.allowed}, got {each.seen(value)}") from None
        given[name] = _Given(taken, name, "call")
    return given


def _flat(tree: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """Name and value of every entry, those of a section's table or policy under `section.key`."""
    sections = {each.section for each in setting_fields().values()} - {""}
    for key, value in tree.items():
        if is_dataclass(value) and not isinstance(value, type):
            yield from ((f"{key}.{each.name}", getattr(value, each.name)) for each in fields(value))
        elif isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", entry) for inner, entry in value.items())
        elif key in sections:
            if value is None:
                continue
            raise ConfigError(f"{where}{key}: must be a table of settings, got {type(value).__name__}")
        else:
            yield key, value


def _path(file: Path | str | None) -> Path | None:
    return None if file is None else Path(os.path.expanduser(file))


def _read_toml(path: Path, label: str = "settings file") -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{label}: {path} cannot be read: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        place = re.search(r"\(at .*\)$", str(error))  # the rest of the message may quote what is in the file
        raise ConfigError(f"{label}: {path} is not valid TOML {place[0] if place else ''}".rstrip()) from None


def _make(policy: Any, section: str, given: Mapping[str, _Given]) -> Any:
    ours = {
        each.key: given[name]
        for name, each in setting_fields().items()
        if each.section == section and name in given
    }
    try:
        return policy(**{key: got.value for key, got in ours.items()})
    except ConfigError as error:
        raise ConfigError(_in_the_user_s_words(str(error), policy, section, ours)) from None


def _in_the_user_s_words(message: str, policy: Any, section: str, ours: Mapping[str, _Given]) -> str:
    """A policy's complaint about its field, told of the variable that the user has set."""
    labels = ", ".join(got.label for got in ours.values())
    complaint = re.fullmatch(rf"{policy.__name__}\.(\w+)(: .*)", message, re.DOTALL)
    if complaint is None:
        return f"{labels}: {message}"
    key, rest = complaint.groups()
    if key in ours:
        return f"{ours[key].label}{rest}"
    return f"{section}.{key}{rest}, its default; set here: {labels}"


def unknown_keys(
    environ: Mapping[str, str] | None = None, file: Path | str | None = None
) -> tuple[UnknownKey, ...]:
    """Variables `RERANKD_...` and keys of the file that are no settings. Their values are not looked at.

    The variables that Kubernetes adds for services whose names begin with ours are left out.
    """
    environ = os.environ if environ is None else environ
    path = _path(file)
    return (*_unknown_variables(environ), *_unknown_in_file({} if path is None else _read_toml(path), path))


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


def _unknown_variables(environ: Mapping[str, str]) -> Iterator[UnknownKey]:
    known = [name for each in setting_fields().values() for name in (each.env, *each.aliases)]
    for name in environ:
        if name.startswith("RERANKD_") and name not in known and not _is_service_link(name, environ[name]):
            yield UnknownKey(name=name, nearest=_nearest(name, known), source="environment")


def _is_service_link(name: str, value: str) -> bool:
    """Whether Kubernetes made it: `RERANKD_PORT`, `RERANKD_API_SERVICE_HOST`, `RERANKD_API_PORT=tcp://...`."""
    if _SERVICE_LINK.fullmatch(name):
        return True
    # Somebody may well mean a setting by RERANKD_HTTP_PORT=8080; Kubernetes never sets a bare number there.
    return name.endswith("_PORT") and re.match(r"(tcp|udp|sctp)://", value) is not None


def _unknown_in_file(table: Mapping[str, Any], path: Path | None) -> Iterator[UnknownKey]:
    known = [name for name, each in setting_fields().items() if each.in_file]
    for name, _ in _flat(table, f"{path}: "):
        if name not in known:
            yield UnknownKey(name=name, nearest=_nearest(name, known), source=f"file {path}")


def _nearest(name: str, known: list[str]) -> str | None:
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, n=1, cutoff=0.6)), None)


def _hint(name: str, known: Mapping[str, Any]) -> str:
    nearest = _nearest(name, list(known))
    return f"; did you mean {nearest}?" if nearest else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A setting as a table shows it; the values are plain (text, number, true or false, None)."""

    name: str
    env: str
    aliases: tuple[str, ...]
    type: str
    allowed: str
    default: Any
    value: Any
    source: str
    """`default`, `environment VARIABLE`, `file PATH` or `call`."""
    unit: str
    doc: str


def describe(settings: Settings | None = None) -> Iterator[Setting]:
    """Every setting with its names, type, default, value, source and meaning; secrets are hidden.

    Without an argument the defaults are described, in words where they depend on the machine: for the docs.
    """
    docs: dict[type, dict[str, str]] = {}
    for name, each in setting_fields().items():
        if each.owner not in docs:
            docs[each.owner] = field_docs(each.owner)
        default = each.default if each.default_words is None else each.default_words
        value = default if settings is None else _value(settings, each)
        yield Setting(
            name=name,
            env=each.env,
            aliases=each.aliases,
            type=each.type_name,
            allowed=each.allowed,
            default=plain(default),
            value=plain(value),
            source="default" if settings is None else settings.sources.get(name, "default"),
            unit=each.unit,
            doc=docs[each.owner].get(each.key, ""),
        )


def _value(settings: Settings, each: Field) -> Any:
    return getattr(getattr(settings, each.section) if each.section else settings, each.key)
