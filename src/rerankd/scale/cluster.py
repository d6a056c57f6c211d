"""The way into a Ray cluster."""

import socket
from typing import Any
from urllib.parse import urlsplit

from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.errors import BackendError

__all__ = ["cause_of", "connect"]

_REACHED_SECONDS = 5.0


def connect(policy: ReplicasPolicy) -> Any:
    """Join the cluster that the policy names, unless this process is in one; returns the `ray` module.

    Raises `BackendError` where Ray is missing, and where there is no cluster at that address.
    """
    try:
        import ray
    except ImportError as error:
        raise BackendError(f"a cluster needs more: pip install 'rerankd[ray]' ({error})") from error
    if ray.is_initialized():
        return ray
    address = policy.address or None
    try:
        if address is not None:
            _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level="WARNING")
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "that RAY_ADDRESS names, or on this machine"
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise BackendError(f"the Ray cluster {where} cannot be reached: {reason}") from error
    return ray


def _reach(address: str) -> None:
    """Raise `OSError` soon where nobody listens: Ray itself would try for a long time."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    if parts.hostname and parts.port:
        socket.create_connection((parts.hostname, parts.port), _REACHED_SECONDS).close()


def cause_of(error: BaseException) -> BaseException:
    """What was raised on the other machine, where that is what a Ray error is about."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None)
        if isinstance(cause, BaseException):
            return cause_of(cause)
        last, seen = seen, seen.__cause__
    return last
