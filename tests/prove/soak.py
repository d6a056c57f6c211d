"""Row 18: after a long time of all faults a process holds no more than after a short one."""

import gc
import threading
from collections.abc import Iterator

from tests.prove.line import Line
from tests.prove.real import real_load
from tests.prove.rss import Held, held
from tests.prove.storm import Storm

__all__ = ["measure"]

_MEMORY_MB = 8.0
"""What counts as flat: the allocator's own ups and downs are about half of that."""


def measure(quick: bool) -> Iterator[Line]:
    count = 1_500 if quick else 900_000
    died: list[str] = []
    hook, threading.excepthook = threading.excepthook, lambda arguments: died.append(str(arguments.exc_type))
    try:
        first = Storm(count // 10, seed=20, interruptible=True)
        first.run()
        before = _settled()
        samples: list[Held] = []
        storm = Storm(count, seed=21, interruptible=True)
        storm.run(between=lambda: samples.append(held()))
        after = _settled()
    finally:
        threading.excepthook = hook
    yield Line(
        18,
        "held after a soak of all faults, against after a tenth of it",
        f"threads and descriptors equal, memory within {_MEMORY_MB:.0f} MB",
        f"threads {before.threads} → {after.threads}, descriptors {before.descriptors} → {after.descriptors},"
        f" memory {before.resident_mb:.0f} → {after.resident_mb:.0f} MB over {storm.requests:,} requests"
        f" (most threads meanwhile {max((each.threads for each in samples), default=0)})",
        after.threads <= before.threads
        and after.descriptors <= before.descriptors
        and after.resident_mb - before.resident_mb <= _MEMORY_MB,
    )
    yield Line(
        18,
        "memory during the soak, first third against last",
        f"within {_MEMORY_MB:.0f} MB",
        *_thirds(samples),
    )
    unretrieved = first.unretrieved + storm.unretrieved + len(died)
    yield Line(
        18,
        "unretrieved task exceptions and dead threads",
        "0",
        f"{unretrieved} {died[:3] or ''}",
        unretrieved == 0,
    )
    if not quick:
        yield _with_the_model()


def _with_the_model() -> Line:
    loaded = real_load(False)
    if loaded is None:
        return Line(18, "memory with the real model", "-", "the model is not installed", None)
    before, after = loaded.resident_mb
    return Line(
        18,
        "memory with the real model, warm and after 20,000 requests",
        "for information",
        f"{before:.0f} → {after:.0f} MB",
        None,
    )


def _thirds(samples: list[Held]) -> tuple[str, bool | None]:
    third = len(samples) // 3
    if third < 3:
        return f"{len(samples)} samples are too few", None
    first, last = (
        sum(each.resident_mb for each in part) / third for part in (samples[:third], samples[-third:])
    )
    return f"{first:.1f} → {last:.1f} MB in the mean of {third} samples each", last - first <= _MEMORY_MB


def _settled() -> Held:
    gc.collect()
    return held()
