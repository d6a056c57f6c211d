"""Where the embedded model is, for tests that need it."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from rerankd.models.registry import find


@pytest.fixture(scope="session")
def embedded() -> Path:
    """The folder of the model that the embedded extra installs; skips without it."""
    carried = find("large").carried
    assert carried is not None
    try:
        folder = Path(str(distribution(carried.package).locate_file(carried.folder)))
    except PackageNotFoundError:
        pytest.skip(f"the embedded model is not installed (rerankd[{carried.extra}])")
    return folder
