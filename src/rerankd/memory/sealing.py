"""Sealing: AES-256-GCM records that open in their own place only.

A record is `version | length of the key id | key id | nonce | ciphertext and tag`. Its additional data name
version, table, column, subject, row and key, each with its length before it, so that no two places share an
encoding; a record moved to another row, column or user fails like a changed one. The key id in a record picks
exactly one key: a record that names another than the one in hand is refused before anything is tried.

Nonces are random (96 bits). NIST SP 800-38D allows 2^32 of them under one key at a risk of 2^-32; a key here
stops at 2^31 for good.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from rerankd.errors import SealError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = [
    "DATA_KEY_BYTES",
    "MOST_SEALS",
    "DataKey",
    "Record",
    "Sealer",
    "TamperedError",
    "derive",
    "encode_fields",
    "open_record",
    "seal_record",
]

VERSION = 1
DATA_KEY_BYTES = 32
KEY_ID_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
MOST_SEALS = 2**31
"""One key seals fewer records than this."""


class TamperedError(SealError):
    """A record does not open in its place: it was changed or moved, or it was never ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record, taken apart."""

    version: int
    key_id: bytes
    nonce: bytes
    body: bytes = field(repr=False)
    """Ciphertext and tag."""

    def __bytes__(self) -> bytes:
        return bytes((self.version, len(self.key_id))) + self.key_id + self.nonce + self.body

    @classmethod
    def parse(cls, data: bytes) -> "Record":
        """Raises `TamperedError` for what cannot be a record."""
        key_ends = 2 + (data[1] if len(data) > 1 else 0)
        if len(data) < key_ends + NONCE_BYTES + TAG_BYTES:
            raise TamperedError("a sealed record is cut short")
        if data[0] != VERSION:
            raise TamperedError(f"a sealed record has version {data[0]}; this release knows {VERSION}")
        body = key_ends + NONCE_BYTES
        return cls(data[0], data[2:key_ends], data[key_ends:body], data[body:])


def encode_fields(*parts: bytes) -> bytes:
    """The parts, each with its length before it: two different lists never give the same bytes."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def seal_record(
    secret: bytes, key_id: bytes, plain: bytes, *fields: bytes, nonce: bytes | None = None
) -> bytes:
    """Seal under a 32-byte key for the place that `fields` name. `nonce` is for tests only: never use one twice."""
    return _seal(_cipher(secret), key_id, plain, fields, nonce)


def open_record(secret: bytes, key_id: bytes, data: bytes, *fields: bytes) -> bytes:
    """Open what `seal_record` sealed. Raises `TamperedError` unless key and place are the same."""
    return _open(_cipher(secret), key_id, data, fields)


def _cipher(secret: bytes) -> "AESGCM":
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(secret) != DATA_KEY_BYTES:
        raise SealError(f"a key has {DATA_KEY_BYTES} bytes, got {len(secret)}")
    return AESGCM(secret)


def _seal(
    cipher: "AESGCM", key_id: bytes, plain: bytes, fields: tuple[bytes, ...], nonce: bytes | None = None
) -> bytes:
    if not 0 < len(key_id) < 256:
        raise SealError(f"a key id has 1 to 255 bytes, got {len(key_id)}")
    nonce = os.urandom(NONCE_BYTES) if nonce is None else nonce
    aad = encode_fields(bytes((VERSION,)), *fields, key_id)
    return bytes(Record(VERSION, key_id, nonce, cipher.encrypt(nonce, plain, aad)))


def _open(cipher: "AESGCM", key_id: bytes, data: bytes, fields: tuple[bytes, ...]) -> bytes:
    from cryptography.exceptions import InvalidTag

    record = Record.parse(data)
    if record.key_id != key_id:
        raise TamperedError("a sealed record names another key than the one in hand")
    aad = encode_fields(bytes((record.version,)), *fields, record.key_id)
    try:
        return cipher.decrypt(record.nonce, record.body, aad)
    except InvalidTag:
        raise TamperedError("a sealed record does not open: it was changed or moved") from None


def derive(secret: bytes, purpose: str, context: bytes = b"") -> bytes:
    """A key of 32 bytes for one purpose: HKDF-SHA-256 (RFC 5869) without a salt, as the secret is random."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    info = encode_fields(b"rerankd", purpose.encode(), context)
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(secret)


@dataclass(frozen=True, slots=True)
class DataKey:
    """One user's key, and the random id that names it in records."""

    id: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> "DataKey":
        return cls(os.urandom(KEY_ID_BYTES), os.urandom(DATA_KEY_BYTES))

    def __bytes__(self) -> bytes:
        return self.id + self.secret

    @classmethod
    def parse(cls, data: bytes) -> "DataKey":
        if len(data) != KEY_ID_BYTES + DATA_KEY_BYTES:
            raise SealError(f"a data key has {KEY_ID_BYTES + DATA_KEY_BYTES} bytes, got {len(data)}")
        return cls(data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


class Sealer:
    """Seals and opens one user's records. Counts what it seals; not for several threads at once."""

    def __init__(self, key: DataKey, subject: UUID, *, seals: int = 0) -> None:
        """`seals`: how many records the key has sealed before."""
        self.subject = subject
        self._key = key
        self._cipher = _cipher(key.secret)  # once: it expands the key
        self._before = seals
        self.sealed = 0
        """How many records this object has sealed; the store adds them to the user's count."""

    def seal(self, plain: bytes, *, table: str, column: str, row: UUID) -> bytes:
        """Raises `SealError` when the key has sealed as much as it ever may."""
        if self._before + self.sealed + 1 >= MOST_SEALS:
            raise SealError(
                "this user's key has sealed 2^31 records and seals no more:"
                " export the user, erase it, and add its memories again"
            )
        self.sealed += 1
        return _seal(self._cipher, self._key.id, plain, self._place(table, column, row))

    def open(self, data: bytes, *, table: str, column: str, row: UUID) -> bytes:
        """Raises `TamperedError` unless it was sealed by this user's key for this very place."""
        return _open(self._cipher, self._key.id, data, self._place(table, column, row))

    def open_column(
        self, records: Iterable[tuple[UUID, bytes]], *, table: str, column: str
    ) -> Iterator[bytes | None]:
        """`open` for many rows of one column, in order; None for one that does not open. Three times as fast."""
        from cryptography.exceptions import InvalidTag

        key_id, decrypt = self._key.id, self._cipher.decrypt
        head = bytes((VERSION, len(key_id))) + key_id
        body = len(head) + NONCE_BYTES
        row_length = (16).to_bytes(4, "big")
        before = encode_fields(bytes((VERSION,)), table.encode(), column.encode(), self.subject.bytes)
        before, after = before + row_length, encode_fields(key_id)
        for row, data in records:
            if not data.startswith(head) or len(data) < body + TAG_BYTES:
                yield None  # another version or another key, or no record at all
                continue
            try:
                yield decrypt(data[len(head) : body], data[body:], before + row.bytes + after)
            except InvalidTag:
                yield None

    def derive(self, purpose: str) -> bytes:
        """Another key of this user, for one purpose."""
        return derive(self._key.secret, purpose, self.subject.bytes)

    def _place(self, table: str, column: str, row: UUID) -> tuple[bytes, ...]:
        return table.encode(), column.encode(), self.subject.bytes, row.bytes
