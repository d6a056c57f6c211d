"""The wire format of protocol buffers, as far as ONNX files need it: read without copying, and written.

A message is a sequence of (field number, wire type, value). Values of no interest are jumped over, so an ONNX
file's weights are not touched, and the `onnx` package is not needed.
https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

__all__ = ["NUMBER", "Bytes", "Part", "delimited", "fields", "integers", "number", "signed", "text"]

Part = bytes | memoryview
"""A piece of what is to be written, by itself or as it lies in the file that was read."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NEGATIVE = 1 << 63

NUMBER = -1
"""Stands where the end of a field's bytes would, and tells that it holds a number instead."""


class Bytes(Protocol):
    """Bytes or a mapped file."""

    def __getitem__(self, at: int, /) -> int: ...


def fields(data: Bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Field number, then start and end of its bytes; for a number it and `NUMBER`.

    Raises `ValueError` or `IndexError` where the bytes are no message.
    """
    while at < end:
        tag, at = _read(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _read(data, at)
            yield field, value, NUMBER
            continue
        if wire == _BYTES:
            length, at = _read(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError("unknown wire type")
        if at + length > end:
            raise ValueError("a field ends beyond its message")
        yield field, at, at + length
        at += length


def _read(data: Bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")


def integers(data: Bytes, at: int, end: int) -> Iterator[int]:
    """The signed numbers of a field: one, or many that are packed."""
    if end == NUMBER:
        yield signed(at)
        return
    while at < end:
        value, at = _read(data, at)
        yield signed(value)


def signed(value: int) -> int:
    """A negative number is written as its two's complement of 64 bits."""
    return value - (1 << 64) if value >= _NEGATIVE else value


def number(field: int, value: int) -> bytes:
    """A field that holds a number."""
    return _varint(field << 3 | _VARINT) + _varint(value & (1 << 64) - 1)


def delimited(field: int, parts: Sequence[Part]) -> Sequence[Part]:
    """A field that holds a message or bytes, in parts to be joined once: weights are not copied twice."""
    length = sum(map(len, parts))
    return (_varint(field << 3 | _BYTES) + _varint(length), *parts)


def text(field: int, value: str) -> Sequence[Part]:
    """A field that holds a text."""
    return delimited(field, (value.encode(),))


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
