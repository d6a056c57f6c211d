"""Encoding cannot be stopped, so it is cut into pieces that hold a worker for a few milliseconds."""

import pytest

from rerankd.core.batch import BatchPolicy
from rerankd.core.work import Encode
from tests.core.make import a_job, a_scheduler


@pytest.mark.parametrize(
    ("lengths", "characters", "texts"),
    [
        ([400, 400, 400], 4_000, 2),
        ([400, 10, 10], 1_850, 2),
        ([500, 500], 100, 1),
        ([10, 10, 10], 20_000, 3),
    ],
)
def test_long_texts_are_encoded_fewer_at_a_time(lengths: list[int], characters: int, texts: int) -> None:
    """At 4.5 characters a token: as many as stay within the limit, and always one."""
    scheduler = a_scheduler(encodes=True, batch=BatchPolicy(encode_characters=characters))
    scheduler.add(a_job(lengths, head=len(lengths)), 0.0)
    work = scheduler.next(0.0)
    assert isinstance(work, Encode)
    assert len(work.texts) == texts
