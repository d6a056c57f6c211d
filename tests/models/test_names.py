"""A name is one model's, or the two of a cascade, the small one first."""

from pathlib import Path

import pytest

from rerankd.errors import ConfigError
from rerankd.models.names import full_name_of, members_of

LARGE = "cross-encoder/ms-marco-MiniLM-L-12-v2"


def test_one_model_is_itself() -> None:
    assert members_of("large") == ("large",)
    assert full_name_of("large") == LARGE
    assert full_name_of("auto") == "auto"


def test_two_are_told_apart_at_the_plus_whatever_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "mine+yours"
    folder.mkdir()
    assert members_of("owner/tiny+large") == ("owner/tiny", "large")
    assert full_name_of("owner/tiny+large") == f"owner/tiny+{LARGE}"
    assert members_of(str(folder)) == (str(folder),), "a folder may have a plus in its name"
    assert members_of(f"{folder}+large") == (str(folder), "large")
    assert members_of(f"large+{folder}") == ("large", str(folder))
    assert full_name_of(f"{folder}+large") == f"mine+yours+{LARGE}"


@pytest.mark.parametrize(
    "wrong", ["+large", "large+", "a+b", "large+nothing", "o/a+o/b+o/c", "large+./no-such"]
)
def test_what_is_no_cascade_is_refused_with_what_one_is(wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"ID\+ID"):
        members_of(wrong)


def test_a_model_does_not_rescore_itself() -> None:
    with pytest.raises(ConfigError, match="two different models"):
        members_of(f"large+{LARGE}")
