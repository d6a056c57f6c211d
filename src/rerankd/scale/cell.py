"""A value that every process of the cluster sees: an actor without any work."""

from typing import Any

__all__ = ["RayCell"]

_NAMESPACE = "rerankd"
_SECONDS = 1.0


class _Held:
    """The actor."""

    def __init__(self) -> None:
        self._value: Any = None

    def read(self) -> Any:
        return self._value

    def write(self, value: Any) -> None:
        self._value = value


class RayCell:
    """The `Cell` of `rerankd.flags.cluster`: a named actor, made by whoever asks first, that outlives them all."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._actor: Any = None

    def read(self) -> Any:
        """Raises `OSError` when the cluster does not answer; the actor is looked for anew the next time."""
        return self._call("read")

    def write(self, value: Any) -> None:
        self._call("write", value)

    def _call(self, method: str, *arguments: Any) -> Any:
        import ray
        from ray.exceptions import RayError

        try:
            if self._actor is None:
                self._actor = (
                    ray.remote(_Held)
                    .options(
                        name=self._name,
                        namespace=_NAMESPACE,
                        lifetime="detached",
                        get_if_exists=True,
                        num_cpus=0,
                        max_restarts=-1,
                    )
                    .remote()
                )
            return ray.get(getattr(self._actor, method).remote(*arguments), timeout=_SECONDS)
        except (RayError, ValueError) as error:
            self._actor = None
            raise OSError(f"the cluster does not answer: {type(error).__name__}") from error
