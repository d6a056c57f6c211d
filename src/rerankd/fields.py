"""The fields of the policies as settings: what they are called, hold and mean, and how they are read.

Nothing about a setting is written twice. Its name, type, default, unit and meaning come from the field of the
policy that it tunes; the environment, the TOML file, the command line and the documentation look here.
"""

import dataclasses
import itertools
import math
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rerankd.core.secret import Secret

__all__ = ["Field", "declared", "field_docs", "plain"]

YES, NO = ("true", "1", "yes", "on"), ("false", "0", "no", "off")
UNITS = {
    "ms": "ms",
    "seconds": "s",
    "days": "days",
    "percent": "%",
    "bytes": "bytes",
    "characters": "characters",
    "tokens": "tokens",
    "pairs": "pairs",
    "calls": "calls",
    "candidates": "candidates",
    "chunks": "chunks",
    "workers": "threads",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One setting."""

    section: str
    """The policy that it belongs to; empty: it stands alone."""
    key: str
    """Its name within the section."""
    owner: type
    """The class that declares it."""
    env: str
    """The environment variable that people should use."""
    aliases: tuple[str, ...]
    """Other variables that mean the same."""
    kind: Any
    """The type, without `None`."""
    optional: bool
    """Whether it may be None."""
    default: Any
    default_words: str | None
    """What to write for a default that depends on the machine."""
    in_file: bool
    """Whether the TOML file may set it."""

    @property
    def name(self) -> str:
        """As the TOML file and the tables call it: `rerank.budget_ms`."""
        return f"{self.section}.{self.key}" if self.section else self.key

    @property
    def type_name(self) -> str:
        """For tables: `int`, `path`, `on|off|shadow`."""
        if get_origin(self.kind) is Literal:
            return "|".join(map(str, get_args(self.kind)))
        if get_origin(self.kind) is tuple:
            return "list"
        names = {str: "text", Path: "path", Secret: "secret"}
        return names.get(self.kind) or str(self.kind.__name__)

    @property
    def allowed(self) -> str:
        """What may be given, to complete "must be ..."."""
        if get_origin(self.kind) is Literal:
            return "one of " + ", ".join(map(str, get_args(self.kind)))
        if get_origin(self.kind) is tuple:
            return "a list of texts"
        words = {bool: "true or false", int: "a whole number", float: "a number", Path: "a path"}
        return words.get(self.kind, "a text")

    @property
    def unit(self) -> str:
        """The unit that the field's name ends in; empty where it has none."""
        return UNITS.get(self.key.rpartition("_")[2], "") if self.kind in (int, float) else ""

    def parse(self, text: str) -> Any:
        """The value that a text stands for. Raises a bare `ValueError` where it stands for none."""
        text = text.strip()
        if self.kind is bool:
            if text.lower() not in YES + NO:
                raise ValueError
            return text.lower() in YES
        if self.kind is int:
            return int(text)
        if self.kind is float:
            return _finite(text)
        if get_origin(self.kind) is Literal and text.lower() in get_args(self.kind):
            return text.lower()
        if get_origin(self.kind) is tuple:
            return tuple(part.strip() for part in text.split(",") if part.strip())
        return self.take(text)

    def take(self, value: object, folder: Path | None = None) -> Any:
        """The value that a TOML file or a program gave, in the setting's own type.

        A relative path counts from `folder`, where one is given. Raises a bare `ValueError` for another type:
        only a whole number for a number, and a text for a path, are taken as what is meant.
        """
        if value is None and self.optional:
            return None
        kind = self.kind
        if get_origin(kind) is Literal:
            if isinstance(value, str) and value in get_args(kind):
                return value
        elif get_origin(kind) is tuple:
            if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
                return tuple(value)
        elif kind is Path:
            if isinstance(value, str | Path) and str(value):
                path = _at_home(Path(value))
                return folder / path if folder is not None else path
        elif kind is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return _finite(value)
        elif kind is int:
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        elif kind is bool:
            if isinstance(value, bool):
                return value
        elif isinstance(value, str):
            return kind(value)
        raise ValueError

    def seen(self, value: object) -> str:
        """The value, for an error message; a secret is not shown, nor are the depths of a long text."""
        if self.kind is Secret:
            return "a secret value of another kind"
        shown = repr(value)
        return shown if len(shown) <= 100 else f"{shown[:60]}... ({len(shown)} characters)"


def declared(settings: type, special: Mapping[str, str]) -> Iterator[Field]:
    """The fields of a settings class and of its policies, in the order in which they are written.

    `special` gives the variables whose names are not derived, by setting. A field's metadata may say
    `default` (words for a default that depends on the machine), `in_file=False`, or `setting=False` (it is
    none). Raises `TypeError` for a field of a type that no text can be read into.
    """
    yield from _declared(settings, special, section="")


def _declared(owner: type, special: Mapping[str, str], *, section: str) -> Iterator[Field]:
    hints = get_type_hints(owner)
    for each in dataclasses.fields(owner):
        if not each.metadata.get("setting", True):
            continue
        hint = hints[each.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _declared(hint, special, section=each.name)
            continue
        kind, optional = _without_none(hint)
        if (
            kind not in (bool, int, float, str, Path, Secret, tuple[str, ...])
            and get_origin(kind) is not Literal
        ):
            raise TypeError(f"{owner.__name__}.{each.name}: a setting cannot be of the type {hint}")
        derived = "_".join(filter(None, ["RERANKD", section.upper(), each.name.upper()]))
        env = special.get(f"{section}.{each.name}" if section else each.name, derived)
        made: Any = each.default_factory
        yield Field(
            section=section,
            key=each.name,
            owner=owner,
            env=env,
            aliases=() if env == derived else (derived,),
            kind=kind,
            optional=optional,
            default=each.default if made is dataclasses.MISSING else made(),
            default_words=each.metadata.get("default"),
            in_file=each.metadata.get("in_file", True),
        )


def field_docs(owner: type) -> dict[str, str]:
    """The strings under a class's fields, each on one line; empty where the source is not at hand."""
    import ast
    import inspect
    import textwrap

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError, SyntaxError):
        return {}
    assert isinstance(tree.body[0], ast.ClassDef)
    body = tree.body[0].body
    docs = {}
    for field, below in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(below, ast.Expr)
            and isinstance(below.value, ast.Constant)
            and isinstance(below.value.value, str)
        ):
            docs[field.target.id] = " ".join(below.value.value.split())
    return docs


def plain(value: Any) -> Any:
    """A value as tables and JSON show it: paths as text, secrets hidden."""
    if isinstance(value, Secret):
        return repr(value)
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def _without_none(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return (kinds[0], True) if len(kinds) == 1 else (hint, False)


def _finite(given: str | int | float) -> float:
    try:
        number = float(given)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError
    return number


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # nobody's home: the path stays as it was written, and opening it names it
        return path
