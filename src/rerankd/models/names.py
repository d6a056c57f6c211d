"""Names that stand for more than one model: a cascade `ID+ID`, and `auto`."""

from rerankd.errors import ConfigError
from rerankd.models.locate import folder_of, name_of
from rerankd.models.registry import find

__all__ = ["AUTO", "full_name_of", "members_of"]

AUTO = "auto"
"""The best of the models on this machine that is fast enough for it."""


def members_of(model: str) -> tuple[str, ...]:
    """The names of the models that a name stands for: the two of a cascade, the small one first, else itself.

    Each may be a hub id, an alias or a folder; a folder whose own name has a plus is found as well. Raises
    `ConfigError` for a cascade that is none, or of a model with itself.
    """
    folder = folder_of(model)
    if "+" not in model or (folder is not None and folder.is_dir()):
        return (model,)
    splits = [(model[:at], model[at + 1 :]) for at, letter in enumerate(model) if letter == "+"]
    found = [split for split in splits if all(map(_is_one, split))]
    if len(found) != 1:
        raise ConfigError(
            f"model: a cascade is two models, the small one first: ID+ID, each a folder, a hub id or an alias;"
            f" got {model!r}"
        )
    small, large = found[0]
    if name_of(small) == name_of(large):
        raise ConfigError(f"model: a cascade needs two different models, got {model!r}")
    return small, large


def full_name_of(model: str) -> str:
    """How answers and metrics name what a name stands for, before it is loaded: `auto` is not yet known."""
    return AUTO if model == AUTO else "+".join(name_of(each) for each in members_of(model))


def _is_one(name: str) -> bool:
    """Whether a name can be that of one model."""
    if not name.strip():
        return False
    folder = folder_of(name)
    if folder is not None:
        return folder.is_dir()
    try:
        find(name)
    except ConfigError:
        return False
    return True
