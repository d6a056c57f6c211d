"""What goes over the sockets between the two processes: frames with a length, and never a pickle.

A frame is a header and a payload. Numbers are little-endian arrays, texts UTF-8 (lone surrogates kept), the
rest JSON. Both ends are of one installation, so the version only guards against a file that changed in between.
"""

import json
import socket
import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from rerankd.core.types import Pair, Text
from rerankd.errors import BackendError

__all__ = ["Frame", "Kind", "pack", "receive", "send"]

VERSION = 1
_HEADER = struct.Struct("<BBHQI")
_MOST = 1 << 28
"""No payload is longer: a length beyond it is a header that was never one."""
_CHUNK = 1 << 16
_PAIR = struct.Struct("<iiiii")
_NONE = -1


class Kind(IntEnum):
    """What a frame says."""

    START = 1
    """How to load the model (JSON)."""
    OPEN = 2
    """A channel more; its socket travels with the frame."""
    STOP = 3
    """Nobody waits for this run any more."""
    READY = 10
    """The model is loaded: its traits and window (JSON)."""
    FAILED = 11
    """It cannot be loaded: why (JSON)."""
    LOG = 12
    """A line of our own loggers (JSON)."""
    SCORE = 20
    SCORES = 21
    ENCODE = 22
    PAIRS = 23
    ERROR = 24
    """The run raised: the type's name, and the message where it is one of ours (JSON)."""
    NO_MEMORY = 25
    LOST = 26


class Frame(NamedTuple):
    kind: int
    channel: int
    run: int
    payload: bytes


def pack(kind: Kind, *, channel: int = 0, run: int = 0, payload: bytes = b"") -> bytes:
    return _HEADER.pack(VERSION, kind, channel, run, len(payload)) + payload


def send(sock: socket.socket, kind: Kind, *, channel: int = 0, run: int = 0, payload: bytes = b"") -> None:
    sock.sendall(pack(kind, channel=channel, run=run, payload=payload))


def receive(sock: socket.socket) -> Frame | None:
    """The next frame, waiting for it; None at the end of the stream. Raises `BackendError` for nonsense.

    One side only ever asks and the other answers, so nothing of the next frame is read along with this one.
    """
    data = _exactly(sock, _HEADER.size)
    if data is None:
        return None
    kind, channel, run, length = header(data)
    payload = _exactly(sock, length) if length else b""
    return None if payload is None else Frame(kind, channel, run, payload)


def header(data: bytes) -> tuple[int, int, int, int]:
    """Kind, channel, run and length of the payload."""
    version, kind, channel, run, length = _HEADER.unpack(data)
    if version != VERSION or length > _MOST:
        raise BackendError(f"a frame of version {version} and {length} bytes: not one of ours")
    return kind, channel, run, length


HEADER_BYTES = _HEADER.size


def _exactly(sock: socket.socket, length: int) -> bytes | None:
    data = sock.recv(min(length, _CHUNK))
    if len(data) == length:
        return data
    parts = [data]
    left = length - len(data)
    while data and left:
        data = sock.recv(min(left, _CHUNK))
        parts.append(data)
        left -= len(data)
    return None if left else b"".join(parts)


# --- payloads ----------------------------------------------------------------------------------------------


def pack_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def unpack_json(payload: bytes) -> Any:
    return json.loads(payload)


def pack_scores(scores: Iterable[float]) -> bytes:
    return _bytes(array("d", scores))


def unpack_scores(payload: bytes) -> list[float]:
    return _array("d", payload).tolist()


def pack_pairs(pairs: Sequence[Pair]) -> bytes:
    """Encoded pairs as their token ids; others as their texts, which need not travel otherwise."""
    parts = [struct.pack("<I", len(pairs))]
    for pair in pairs:
        if pair.ids is None:
            query, text = _utf8(pair.query), _utf8(pair.text)
            parts += (_PAIR.pack(pair.tokens, _NONE, _NONE, len(query), len(text)), query, text)
            continue
        ids = _bytes(_as("i", pair.ids))
        types = b"" if pair.type_ids is None else _bytes(_as("B", pair.type_ids))
        count = _NONE if pair.type_ids is None else len(types)
        parts += (_PAIR.pack(pair.tokens, len(pair.ids), count, 0, 0), ids, types)
    return b"".join(parts)


def unpack_pairs(payload: bytes, texts: Sequence[tuple[Text, Text]] | None = None) -> list[Pair]:
    """`texts`: the query and text of each, where whoever unpacks has them."""
    (count,) = struct.unpack_from("<I", payload)
    at, pairs = 4, []
    for number in range(count):
        tokens, ids_count, types_count, query_bytes, text_bytes = _PAIR.unpack_from(payload, at)
        at += _PAIR.size
        query, text = texts[number] if texts is not None else (Text(""), Text(""))
        if ids_count == _NONE:
            query = _text(payload[at : at + query_bytes])
            text = _text(payload[at + query_bytes : at + query_bytes + text_bytes])
            at += query_bytes + text_bytes
            pairs.append(Pair(query, text, tokens))
            continue
        ids = _array("i", payload[at : at + 4 * ids_count])
        at += 4 * ids_count
        types = None
        if types_count != _NONE:
            types = array("B", payload[at : at + types_count])
            at += types_count
        pairs.append(Pair(query, text, tokens, ids, types))
    return pairs


def pack_texts(query: str, texts: Sequence[str], *, max_tokens: int, max_chunks: int) -> bytes:
    parts = [_utf8(query), *(_utf8(text) for text in texts)]
    head = struct.pack("<III", max_tokens, max_chunks, len(texts))
    return b"".join([head, _bytes(array("I", map(len, parts))), *parts])


def unpack_texts(payload: bytes) -> tuple[Text, list[Text], int, int]:
    """Query, texts, `max_tokens`, `max_chunks`."""
    max_tokens, max_chunks, count = struct.unpack_from("<III", payload)
    at = 12 + 4 * (count + 1)
    found = []
    for length in _array("I", payload[12:at]):
        found.append(_text(payload[at : at + length]))
        at += length
    return found[0], found[1:], max_tokens, max_chunks


def pack_encoded(encoded: Sequence[Sequence[Pair]]) -> bytes:
    counts = array("I", [len(encoded), *map(len, encoded)])
    return _bytes(counts) + pack_pairs([pair for pairs in encoded for pair in pairs])


def unpack_encoded(payload: bytes, query: Text, texts: Sequence[Text]) -> list[tuple[Pair, ...]]:
    """For each text its pairs. A chunk is given the whole text: only its ids say which part it is."""
    (count,) = struct.unpack_from("<I", payload)
    counts = _array("I", payload[4 : 4 + 4 * count])
    if count != len(texts):
        raise BackendError(f"pairs for {count} texts instead of {len(texts)}")
    whose = [(query, text) for text, many in zip(texts, counts, strict=True) for _ in range(many)]
    pairs = iter(unpack_pairs(payload[4 + 4 * count :], whose))
    return [tuple(next(pairs) for _ in range(many)) for many in counts]


def _as(code: str, values: Sequence[int]) -> "array[int]":
    if isinstance(values, array) and values.typecode == code:
        return values
    return array(code, values)


def _bytes(values: "array[Any]") -> bytes:
    if sys.byteorder == "big":
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _array(code: str, payload: bytes) -> "array[Any]":
    values: array[Any] = array(code)
    values.frombytes(payload)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> Text:
    return Text(data.decode("utf-8", "surrogatepass"))
