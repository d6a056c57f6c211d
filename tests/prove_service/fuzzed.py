"""Row 15: requests made up from the service's own description."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.cases import fuzz
from tests.fuzz.server import served
from tests.prove.line import Line

__all__ = ["measure"]


def measure(quick: bool) -> Iterator[Line]:
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, key):
        fuzzed = fuzz(url, key, 60 if quick else 20_000)
    for what, found in (
        ("5xx but the described 503", fuzzed.server_errors),
        ("schema violations", fuzzed.violations),
        ("data without a key", fuzzed.let_in),
    ):
        yield Line(
            15,
            f"{what}, in requests made up from the OpenAPI description",
            "0",
            f"{len(found)} {found[:3] or ''} in {fuzzed.total:,} requests",
            not found and fuzzed.total >= (50 if quick else 18_000),
        )
