"""A short run of the fuzzer; `make fuzz` sends 20,000 requests."""

import pytest

from tests.fuzz.cases import fuzz
from tests.fuzz.server import served

pytestmark = pytest.mark.threads


def test_made_up_requests_get_what_is_described_and_nothing_without_a_key(tmp_path):
    with served(tmp_path) as (url, key):
        fuzzed = fuzz(url, key, 200, start=4_711)
    assert fuzzed.failed() == []
    assert fuzzed.total >= 180
    assert len(fuzzed.cases) >= 25, "every operation is tried"
    assert {200, 401, 422} <= set(fuzzed.statuses)
