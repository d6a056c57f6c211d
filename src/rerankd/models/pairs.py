"""From text to pairs of token ids, in bounded time whatever the text.

Characters are capped before any tokenizer sees them, because a tokenizer's work grows with the text and
cannot be interrupted. Only `encode_batch` and `encode_batch_fast` are used: `encode` holds the interpreter
lock while it runs (36 ms on 88,000 characters, where these held it for 5 at most).

The query and the texts are encoded on their own and joined here by the pair template of tokenizer.json.
Tokenizers encode the halves of a pair independently, so the ids are the same, the query is encoded once, and
windows, cuts and chunks are slices.

One tokenizer object serves all threads. It is unsafe only while its truncation or padding is being changed
("Already borrowed"), and here both are switched off once, before the first use. One object a thread was
measured to be no faster, and building it holds the interpreter lock for 20 ms, at a thread's first request.

The library's own thread pool is left as the host has set it (`TOKENIZERS_PARALLELISM`). Measured on two
cores with 24 texts of 84 tokens: 1.3 ms with the pool and 2.3 ms without when one worker encodes, 1.35 and
1.25 ms a call when two do. After a fork the child goes on without it: silently with tokenizers 0.23, with a
line on standard error before.
"""

import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rerankd.core.types import Pair, Text
from rerankd.errors import BackendError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["CHARACTERS_PER_TOKEN", "DEFAULT_WINDOW", "OVERLAP", "PairTokenizer"]

CHARACTERS_PER_TOKEN = 16
"""No more characters than this for each token of the window are looked at. English has 4 to 5 a token."""
CHARACTERS_PER_CHUNK_TOKEN = 8
"""The same where a text is chunked, for each token that its chunks can hold."""
OVERLAP = 0.125
"""The share of a chunk that repeats the end of the one before, so that no sentence is only ever seen cut."""
DEFAULT_WINDOW = 512
"""The window where neither the registry nor tokenizer.json says one."""
MAX_DECLARED_WINDOW = 8192
"""tokenizer.json may declare nonsense (1e30 for "none")."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Part:
    """Special tokens that stand at one place, and their types."""

    ids: tuple[int, ...]
    types: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Template:
    """How a query and a text become one input."""

    before: _Part
    query_type: int
    between: _Part
    text_type: int
    after: _Part

    @property
    def special(self) -> int:
        return len(self.before.ids) + len(self.between.ids) + len(self.after.ids)


class PairTokenizer:
    """The `Tokenizer` port over a tokenizer.json. Thread-safe."""

    def __init__(self, path: Path, *, max_tokens: int = 0) -> None:
        """`max_tokens`: the model's window; 0: as tokenizer.json declares, else 512.

        Raises `BackendError` naming the file when it cannot be understood.
        """
        from tokenizers import Tokenizer

        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise BackendError(f"{path}: cannot be understood: {str(error)[:200]}") from error
        truncation, padding = self._tokenizer.truncation, self._tokenizer.padding
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        declared = (truncation or {}).get("max_length", DEFAULT_WINDOW)
        self.max_tokens: int = max_tokens or (declared if declared <= MAX_DECLARED_WINDOW else DEFAULT_WINDOW)
        """The window, special tokens included."""
        self.pad_id: int = _pad_id(self._tokenizer, padding)
        """The id that fills a shorter pair's row where pairs share a run."""
        self._template = _template(self._tokenizer, path)

    def encode(
        self, query: Text, texts: Sequence[Text], *, max_tokens: int, max_chunks: int = 1
    ) -> list[tuple[Pair, ...]]:
        """For each text its pairs: one, or up to `max_chunks` overlapping ones of about equal length.

        The query may fill at most half of `max_tokens`; the text is cut to what is left. Raises
        `BackendError` when `max_tokens` has no room for anything beside the special tokens.
        """
        window = min(max_tokens, self.max_tokens)
        free = window - self._template.special
        if free < 2:
            raise BackendError(f"max_tokens={max_tokens}: leaves no room beside the special tokens")
        limit = CHARACTERS_PER_TOKEN * window
        text_limit = max(limit, CHARACTERS_PER_CHUNK_TOKEN * window * max_chunks if max_chunks > 1 else 0)
        inputs = [_plain(query, limit), *(_plain(text, text_limit) for text in texts)]
        # the fast form knows no offsets, which only chunks need
        encode = self._tokenizer.encode_batch_fast if max_chunks == 1 else self._tokenizer.encode_batch
        first, *rest = encode(inputs, add_special_tokens=False)
        query_ids = first.ids[: free // 2]
        room = free - len(query_ids)
        return [
            self._pairs(query, query_ids, text, encoding, room, max_chunks)
            for text, encoding in zip(texts, rest, strict=True)
        ]

    def _pairs(
        self, query: Text, query_ids: list[int], text: Text, encoding: "Encoding", room: int, max_chunks: int
    ) -> tuple[Pair, ...]:
        ids = encoding.ids
        if max_chunks == 1 or len(ids) <= room:
            return (self._pair(query, query_ids, text, ids[:room]),)
        spans = chunks(len(ids), room, max_chunks)
        pairs = []
        for start, end in spans:
            begins, ends = encoding.offsets[start][0], encoding.offsets[end - 1][1]
            pairs.append(self._pair(query, query_ids, Text(text[begins:ends]), ids[start:end]))
        return tuple(pairs)

    def _pair(self, query: Text, query_ids: list[int], text: Text, text_ids: list[int]) -> Pair:
        form = self._template
        ids = [*form.before.ids, *query_ids, *form.between.ids, *text_ids, *form.after.ids]
        types = [*form.before.types, *[form.query_type] * len(query_ids), *form.between.types]
        types += [*[form.text_type] * len(text_ids), *form.after.types]
        return Pair(query=query, text=text, tokens=len(ids), ids=array("q", ids), type_ids=array("q", types))


def chunks(tokens: int, room: int, max_chunks: int) -> list[tuple[int, int]]:
    """Where to cut `tokens` tokens into overlapping chunks of at most `room`: (start, end) of each.

    As few as cover the text, and then of about equal length: a short last chunk would say little, and the
    cost of a pair grows faster than its length. What `max_chunks` cannot cover is left out.
    """
    overlap = int(room * OVERLAP)
    step = room - overlap
    count = min(max_chunks, max(1, -(-(tokens - overlap) // step)))
    covered = min(tokens, room + (count - 1) * step)
    length = -(-(covered + (count - 1) * overlap) // count)
    starts = [round(i * (covered - length) / max(1, count - 1)) for i in range(count)]
    return [(start, start + length) for start in starts]


def _plain(text: str, limit: int) -> str:
    """At most `limit` characters that any tokenizer accepts: lone surrogates have no UTF-8 form."""
    start = text[:limit]
    if start.isascii():
        return start
    try:
        start.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", start)
    return start


def _pad_id(tokenizer: "Tokenizer", padding: dict[str, int] | None) -> int:
    if padding is not None:
        return padding["pad_id"]
    known = (tokenizer.token_to_id(name) for name in ("[PAD]", "<pad>"))
    return next((each for each in known if each is not None), 0)


def _template(tokenizer: "Tokenizer", path: Path) -> _Template:
    """Read the template off an encoded pair, whatever kind of post-processor tokenizer.json has."""
    encoding = tokenizer.encode_batch([("a", "b")])[0]
    rows = list(zip(encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True))
    owners = [owner for _, _, owner in rows]
    if 0 not in owners or 1 not in owners or owners.index(0) > owners.index(1):
        raise BackendError(f"{path}: its pair template is not a query followed by a text")
    query, text = owners.index(0), owners.index(1)
    query_end, text_end = (len(owners) - owners[::-1].index(owner) for owner in (0, 1))

    def part(start: int, end: int) -> _Part:
        return _Part(tuple(row[0] for row in rows[start:end]), tuple(row[1] for row in rows[start:end]))

    return _Template(
        before=part(0, query),
        query_type=rows[query][1],
        between=part(query_end, text),
        text_type=rows[text][1],
        after=part(text_end, len(rows)),
    )
