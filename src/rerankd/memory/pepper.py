"""The name under which the database knows a user: a keyed hash, which says nothing without its pepper."""

import hashlib
import hmac

from rerankd.memory.epochs import Epochs
from rerankd.memory.sealing import encode_fields

__all__ = ["Peppers", "hash_user"]


def hash_user(pepper: bytes, tenant: str, user_id: str) -> str:
    """HMAC-SHA-256 of tenant and user id, each with its length before it, as 64 hexadecimal digits.

    The lengths keep tenant "a" with user "bc" apart from tenant "ab" with user "c".
    """
    message = encode_fields(b"user", tenant.encode(), user_id.encode())
    return hmac.new(pepper, message, hashlib.sha256).hexdigest()


class Peppers:
    """The peppers that are held here, in epochs like keys."""

    def __init__(self, epochs: Epochs) -> None:
        self._epochs = epochs

    def ids(self) -> list[str]:
        """Oldest first."""
        return list(self._epochs.all())

    def current_id(self) -> str:
        """The newest; makes the first where there is none."""
        return self._epochs.first().id

    def hash(self, pepper_id: str, tenant: str, user_id: str) -> str:
        """Raises `MissingKey` when that pepper is not here."""
        return hash_user(self._epochs.get(pepper_id).secret, tenant, user_id)

    def advance(self, pepper_id: str) -> str:
        return self._epochs.after(pepper_id).id

    def destroy(self, pepper_id: str) -> bool:
        return self._epochs.destroy(pepper_id)
