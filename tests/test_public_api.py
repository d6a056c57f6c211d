"""The public surface is what tests/public_api.txt says: a change of it is made on purpose, and is seen.

python -m tests.test_public_api > tests/public_api.txt      writes it down anew
"""

import dataclasses
import enum
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rerankd

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def test_the_public_surface_is_the_one_written_down() -> None:
    assert "\n".join(public_surface()) == SNAPSHOT.read_text(encoding="utf-8").rstrip("\n"), (
        "rerankd's public names or signatures changed: python -m tests.test_public_api > tests/public_api.txt"
    )


def test_there_are_at_most_a_dozen_public_names() -> None:
    assert len(rerankd.__all__) <= 12


def test_every_public_name_says_what_it_is() -> None:
    silent = [name for name in rerankd.__all__ if not (getattr(rerankd, name).__doc__ or "").strip()]
    assert silent == []


def public_surface() -> Iterator[str]:
    """One line a name, a field, a member or a method."""
    for name in sorted(rerankd.__all__, key=str.lower):
        thing = getattr(rerankd, name)
        if not inspect.isclass(thing):
            yield f"{name}{_signature(thing)}"
            continue
        bases = ", ".join(base.__name__ for base in thing.__bases__)
        yield f"class {name}({bases})"
        yield from (f"    {line}" for line in _members(thing))


def _members(thing: type[Any]) -> Iterator[str]:
    if issubclass(thing, enum.Enum):
        yield from (f"{member.name} = {member.value!r}" for member in thing)
        return
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            yield f"{field.name}: {_plain(field.type)}{'' if required else ' = ...'}"
    for name in sorted(_own_names(thing)):
        member = inspect.getattr_static(thing, name)
        if isinstance(member, property):
            yield f"{name} (property)"
        elif inspect.isfunction(member):
            yield f"{'async ' * inspect.iscoroutinefunction(member)}{name}{_signature(member)}"


def _own_names(thing: type[Any]) -> set[str]:
    """Public methods, and those that make it a context manager, of the class and of its bases here."""
    ours = [base for base in thing.__mro__ if base.__module__.startswith("rerankd")]
    names = {name for base in ours for name in vars(base)}
    context = {"__enter__", "__exit__", "__aenter__", "__aexit__"}
    fields = {field.name for field in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
    return {name for name in names if name in context or not name.startswith("_")} - fields


def _signature(function: Any) -> str:
    return _plain(inspect.signature(function))


def _plain(annotation: object) -> str:
    """Without the modules that a type happens to live in, which differ between versions of Python."""
    text = inspect.formatannotation(annotation) if isinstance(annotation, type) else str(annotation)
    bare = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Za-z_])", "", text)
    return re.sub(r"Optional\[(Literal\[[^\]]*\])\]", r"\1 | None", bare)


if __name__ == "__main__":
    print("\n".join(public_surface()))
