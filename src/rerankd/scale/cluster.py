"""The way into a Ray cluster."""

import socket
from typing import Any
from urllib.parse import urlsplit

from rerankd.backends.replicas_policy import ReplicasPolicy
from rerankd.errors import BackendError
from rerankd.settings import ray_address

__all__ = ["address_of", "cause_of", "connect"]

_REACHED_SECONDS = 5.0
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of gRPC, which Ray speaks, begins: HTTP/2's preface and an empty frame of settings."""


def address_of(policy: ReplicasPolicy) -> str:
    """The cluster that is named by the setting or, without it, by Ray's own variable; empty: none is."""
    return policy.address or ray_address()


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
    address = address_of(policy) or None
    try:
        if address is not None:
            _reach(address)
        ray.init(address=address, log_to_driver=False, logging_level="WARNING")
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "on this machine"
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise BackendError(f"the Ray cluster {where} cannot be reached: {reason}") from error
    return ray


def _reach(address: str) -> None:
    """Raise `OSError` soon where nobody listens, or somebody else: Ray itself would try for ever."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    if not (parts.hostname and parts.port):
        return
    with socket.create_connection((parts.hostname, parts.port), _REACHED_SECONDS) as opened:
        opened.sendall(_GREETING)
        try:
            answer = opened.recv(16)
        except OSError:
            answer = b""
    # a frame begins with a zero and TLS with another control character; HTTP, SSH or Redis answer in plain text
    if answer and chr(answer[0]).isprintable():
        raise OSError("what listens there is no Ray cluster")


def cause_of(error: BaseException) -> BaseException:
    """What was raised on the other machine, where that is what a Ray error is about."""
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None)
        if isinstance(cause, BaseException):
            return cause_of(cause)
        last, seen = seen, seen.__cause__
    return last
