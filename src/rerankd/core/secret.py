"""A value that must not be shown."""

__all__ = ["Secret"]


class Secret(str):
    """A key or password. Use it as the string it is; its repr, and so every error and table, hides it.

    Formatting it into a string (`f"Bearer {key}"`) gives the value, as a client has to.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"
