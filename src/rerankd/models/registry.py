"""What is known about models: `models.toml`, read once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from rerankd.core.types import Activation
from rerankd.errors import ConfigError

__all__ = [
    "Carried",
    "DeviceKind",
    "KnownEmbedder",
    "KnownFile",
    "KnownModel",
    "OnnxFile",
    "find",
    "known_embedders",
    "known_models",
    "onnx_files",
]

DeviceKind = Literal["cpu", "cuda"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFile:
    """A file whose bytes were seen."""

    name: str
    size: int
    """In bytes."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A model inside an installable package."""

    package: str
    extra: str
    """The extra of rerankd that installs the package; empty: rerankd itself carries the model."""
    folder: str
    """Where in the package's files the model is."""
    device: DeviceKind
    """What its precision is meant for."""
    precision: str
    batch_invariant: bool
    onnx: KnownFile
    tokenizer: KnownFile
    lean: str = ""
    """The SHA-256 of the lean form that the file is run in on the CPU: it stands for the scores of a release."""

    @property
    def how(self) -> str:
        """How to install it."""
        return (
            f"pip install 'rerankd[{self.extra}]'" if self.extra else "pip install --force-reinstall rerankd"
        )

    def place(self) -> Path:
        """The folder on this machine. Raises `importlib.metadata.PackageNotFoundError`."""
        if self.package == "rerankd":  # also where a checkout is installed, which metadata does not know
            return Path(__file__).parents[2] / self.folder
        from importlib.metadata import distribution  # slow to import

        return Path(str(distribution(self.package).locate_file(self.folder)))


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxFile:
    """A graph that a hub repository or a folder may hold."""

    path: str
    batch_invariant: bool
    device: DeviceKind | None = None
    """What it is made for; None: for any."""
    int8: tuple[str, ...] = ()
    """The CPU's int8 paths that it is made for, as `backends.cpu.int8_path` names them; empty: all."""

    def suits(self, device: DeviceKind, int8: str) -> bool:
        return self.device in (None, device) and (not self.int8 or int8 in self.int8)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model and what has to be known to use it.

    The defaults are those of a model that is not listed: a window as its tokenizer.json says (else 512
    tokens), and scores that are logits, as exporters of cross-encoders leave them.
    """

    id: str
    aliases: tuple[str, ...] = ()
    hub: tuple[str, ...] = ()
    """The hub's names of it, first the one to download; hubs rename."""
    licence: str = "unknown"
    languages: str = "unknown"
    parameters_millions: float | None = None
    max_tokens: int = 0
    """The window, special tokens included; 0: not known."""
    activation: Activation = "sigmoid"
    carried: Carried | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEmbedder:
    """What turns texts into vectors: the first token's last hidden state, normalised."""

    id: str
    licence: str
    languages: str
    dimensions: int
    max_tokens: int
    """The window, special tokens included."""
    query_prefix: str
    """What stands before a query, and before no text that is to be found."""
    carried: Carried


def find(name: str) -> KnownModel:
    """The model of an id or alias; an id that is not listed gets the stated defaults.

    Raises `ConfigError` for names that cannot be a model.
    """
    if name in _by_name():
        return _by_name()[name]
    if not _HUB_ID.fullmatch(name):
        aliases = ", ".join(alias for model in known_models() for alias in model.aliases if "/" not in alias)
        raise ConfigError(f"model: must be a folder, a hub id (OWNER/NAME) or one of {aliases}, got {name!r}")
    return KnownModel(id=name, hub=(name,))


@cache
def known_models() -> tuple[KnownModel, ...]:
    """Every listed model, in the order of the list."""
    return tuple(_model(table) for table in _tables()["model"])


@cache
def known_embedders() -> tuple[KnownEmbedder, ...]:
    """Every listed embedder."""
    return tuple(
        KnownEmbedder(**table | {"carried": _carried(table["carried"])}) for table in _tables()["embedder"]
    )


@cache
def onnx_files() -> tuple[OnnxFile, ...]:
    """The graphs to look for beside a hub model, best first."""
    return tuple(OnnxFile(**table | {"int8": tuple(table.get("int8", ()))}) for table in _tables()["onnx"])


@cache
def _by_name() -> Mapping[str, KnownModel]:
    return {name: model for model in known_models() for name in (model.id, *model.hub, *model.aliases)}


@cache
def _tables() -> Mapping[str, Any]:
    import tomllib  # here, because `import rerankd` should be quick
    from importlib.resources import files

    return tomllib.loads(files("rerankd.models").joinpath("models.toml").read_text("utf-8"))


def _model(table: Mapping[str, Any]) -> KnownModel:
    values = dict(table)
    values["aliases"] = tuple(table.get("aliases", ()))
    values["hub"] = tuple(table.get("hub", (table["id"],)))
    if carried := table.get("carried"):
        values["carried"] = _carried(carried)
    return KnownModel(**values)


def _carried(table: Mapping[str, Any]) -> Carried:
    seen = {part: KnownFile(**table[part]) for part in ("onnx", "tokenizer")}
    return Carried(**{**table, **seen})
