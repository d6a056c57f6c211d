"""A secret is the string that it is, but never shows it."""

from rerankd.core.secret import Secret


def test_a_secret_does_not_show_itself_in_a_repr() -> None:
    assert "hunter2" not in repr([Secret("hunter2")])


def test_a_secret_can_be_sent_as_the_string_it_is() -> None:
    assert f"Bearer {Secret('hunter2')}" == "Bearer hunter2"
