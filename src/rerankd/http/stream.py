"""Server-sent events: the retrieval order at once, a better one when the head is scored, then the answer."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from starlette.responses import StreamingResponse

from rerankd.core.answer import Progress, Ranking
from rerankd.http.budget import header_text
from rerankd.http.call import Call
from rerankd.http.dialects.own import Own
from rerankd.reranker import Reranker

__all__ = ["stream"]


async def stream(reranker: Reranker, call: Call, asked: dict[str, Any], held: ExitStack) -> StreamingResponse:
    """Events `order` (not the last word) and, last, `answer`: the body that a plain request would get.

    Wrong arguments raise `InvalidRequest` before the first event: the first one is awaited here. `held` is
    let go when the work is done, which it is by its deadline, whether or not anybody reads the events.
    """
    orders: asyncio.Queue[Progress | None] = asyncio.Queue()
    work = asyncio.create_task(
        reranker.arerank(call.query, call.candidates, progress=orders.put_nowait, **asked)
    )

    def ended(_: object) -> None:
        held.close()
        orders.put_nowait(None)

    work.add_done_callback(ended)
    first = await orders.get()
    if first is None:
        work.result()  # it ended without an order: raises what it raised

    async def events() -> AsyncIterator[bytes]:
        try:
            order = first
            while order is not None:
                yield _event("order", _so_far(order))
                order = await orders.get()
            yield _event("answer", _final(work.result(), call))
        finally:
            work.cancel()  # the client may have gone away

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    model = reranker.status().model
    return StreamingResponse(
        events(),
        media_type="text/event-stream",
        headers=headers | {"x-rerank-model": header_text(model or "")},
    )


def _so_far(order: Progress) -> dict[str, Any]:
    return {
        "depth": order.depth,
        "candidates_total": order.candidates_total,
        "elapsed_ms": round(order.elapsed_ms, 3),
        "results": [candidate.as_dict() for candidate in order.candidates],
    }


def _final(ranking: Ranking, call: Call) -> dict[str, Any]:
    return Own().write(ranking, call, "", "")


def _event(name: str, data: dict[str, Any]) -> bytes:
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return f"event: {name}\ndata: {text}\n\n".encode()
