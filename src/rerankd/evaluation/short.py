"""A model's name where there is little room."""

__all__ = ["short"]


def short(model: str) -> str:
    """Without the owner, which tells least; of a cascade both of its models are named."""
    return "+".join(each.rsplit("/", 1)[-1] for each in model.split("+"))
