"""Keyed labels of metadata: the database finds equal entries of one user without knowing what they say.

A label is the first 16 bytes of HMAC-SHA-256 over an entry's name and value, under a key derived from the
user's own data key: two users with the same entry have different labels, and once the data key is gone a label
tells nothing. Within one user equal entries have equal labels; that much the database can see.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from rerankd.memory.sealing import encode_fields

__all__ = ["LABEL_BYTES", "PURPOSE", "label", "labels_of"]

LABEL_BYTES = 16
PURPOSE = "labels"
"""What the labels' key is derived for."""


def labels_of(key: bytes, metadata: Mapping[str, Any]) -> tuple[bytes, ...]:
    """One label for each entry, in the order of the bytes, which tells nothing of the metadata's own."""
    return tuple(sorted(label(key, name, value) for name, value in metadata.items()))


def label(key: bytes, name: str, value: Any) -> bytes:
    """The label of one entry. Values are equal when they are equal in JSON; 1 and 1.0 are the same number."""
    message = encode_fields(name.encode(), canonical(value))
    return hmac.new(key, message, hashlib.sha256).digest()[:LABEL_BYTES]


def canonical(value: Any) -> bytes:
    """A JSON value in one way of writing it. Raises `ValueError` or `TypeError` for what JSON cannot hold."""
    whole = _whole(value)
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(inner) for inner in value]
    return value
