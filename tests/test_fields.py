"""What a setting is called, holds and means is derived from the field of the policy that it tunes."""

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankd.core.secret import Secret
from rerankd.fields import declared, field_docs, plain

CANARY = "canary-7f3a-secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """A policy."""

    wait_ms: float = 5.0
    """How long it waits,
    at most."""
    size: int = 3
    undocumented: bool = True
    other: str = ""
    """The last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outer:
    inner: Inner = field(default_factory=Inner)
    where: Path = field(default_factory=lambda: Path("/x"), metadata={"default": "somewhere"})
    mode: Literal["fast", "slow"] = "fast"
    names: tuple[str, ...] = ("a",)
    key: Secret | None = None
    only_here: Path | None = field(default=None, metadata={"in_file": False})
    hidden: object = field(default=None, metadata={"setting": False})


FIELDS = {each.name: each for each in declared(Outer, {"inner.size": "OLD_SIZE"})}


def test_names_variables_types_and_units_follow_from_the_fields():
    seen = {name: (each.env, each.aliases, each.type_name, each.unit) for name, each in FIELDS.items()}
    assert seen == {
        "inner.wait_ms": ("RERANKD_INNER_WAIT_MS", (), "float", "ms"),
        "inner.size": ("OLD_SIZE", ("RERANKD_INNER_SIZE",), "int", ""),
        "inner.undocumented": ("RERANKD_INNER_UNDOCUMENTED", (), "bool", ""),
        "inner.other": ("RERANKD_INNER_OTHER", (), "text", ""),
        "where": ("RERANKD_WHERE", (), "path", ""),
        "mode": ("RERANKD_MODE", (), "fast|slow", ""),
        "names": ("RERANKD_NAMES", (), "list", ""),
        "key": ("RERANKD_KEY", (), "secret", ""),
        "only_here": ("RERANKD_ONLY_HERE", (), "path", ""),
    }


def test_defaults_and_their_words_are_those_of_the_fields():
    assert FIELDS["inner.wait_ms"].default == 5.0
    assert FIELDS["where"].default == Path("/x")
    assert FIELDS["where"].default_words == "somewhere"
    assert not FIELDS["only_here"].in_file
    assert FIELDS["where"].in_file
    assert FIELDS["inner.size"].owner is Inner
    assert FIELDS["names"].allowed == "a list of texts"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("inner.wait_ms", "1.5", 1.5),
        ("inner.wait_ms", " 2 ", 2.0),
        ("inner.wait_ms", "1e3", 1000.0),
        ("inner.size", "12", 12),
        ("inner.size", "-1", -1),
        ("inner.undocumented", "FALSE", False),
        ("inner.undocumented", "0", False),
        ("inner.undocumented", "off", False),
        ("inner.undocumented", "No", False),
        ("inner.undocumented", "true", True),
        ("inner.undocumented", "1", True),
        ("inner.undocumented", "Yes", True),
        ("inner.undocumented", "on", True),
        ("inner.other", " text with a # ", "text with a #"),
        ("where", "/tmp/x", Path("/tmp/x")),
        ("where", "relative", Path("relative")),
        ("mode", "slow", "slow"),
        ("mode", "SLOW", "slow"),
        ("names", "a, b ,,c", ("a", "b", "c")),
        ("key", "k", Secret("k")),
    ],
)
def test_a_text_is_read_in_the_field_s_own_type(name, text, value):
    read = FIELDS[name].parse(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("inner.wait_ms", "soon", "a number"),
        ("inner.wait_ms", "nan", "a number"),
        ("inner.wait_ms", "inf", "a number"),
        ("inner.wait_ms", "1e999", "a number"),
        ("inner.size", "1.5", "a whole number"),
        ("inner.size", "9" * 5_000, "a whole number"),
        ("inner.undocumented", "maybe", "true or false"),
        ("mode", "medium", "one of fast, slow"),
    ],
)
def test_a_text_that_is_none_is_refused_and_the_allowed_is_named(name, text, allowed):
    with pytest.raises(ValueError):  # noqa: PT011 - it has no message on purpose: the caller words it
        FIELDS[name].parse(text)
    assert FIELDS[name].allowed == allowed


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("inner.wait_ms", 3, 3.0),
        ("inner.size", 3, 3),
        ("inner.undocumented", False, False),
        ("inner.other", "x", "x"),
        ("where", "sub/x", Path("/etc/sub/x")),
        ("where", Path("/abs"), Path("/abs")),
        ("mode", "slow", "slow"),
        ("names", ["a", "b"], ("a", "b")),
        ("key", None, None),
        ("key", "k", Secret("k")),
    ],
)
def test_a_value_of_a_file_is_taken_in_the_field_s_own_type(name, value, taken):
    got = FIELDS[name].take(value, Path("/etc"))
    assert got == taken
    assert type(got) is type(taken)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("inner.wait_ms", "3"),
        ("inner.wait_ms", True),
        ("inner.wait_ms", 10**400),
        ("inner.wait_ms", float("nan")),
        ("inner.size", 3.0),
        ("inner.size", True),
        ("inner.undocumented", 1),
        ("inner.other", 1),
        ("inner.other", None),
        ("where", ""),
        ("where", 1),
        ("mode", "medium"),
        ("mode", ["slow"]),
        ("names", "a"),
        ("names", ["a", 1]),
        ("key", 5),
    ],
)
def test_a_value_of_another_type_is_refused(name, value):
    with pytest.raises(ValueError):  # noqa: PT011
        FIELDS[name].take(value)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**18), 10**18), st.booleans())
def test_what_is_written_as_text_is_read_back_the_same(number, whole, switch):
    assert FIELDS["inner.wait_ms"].parse(repr(number)) == number
    assert FIELDS["inner.size"].parse(str(whole)) == whole
    assert FIELDS["inner.undocumented"].parse(str(switch)) is switch


def test_a_path_may_begin_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("USERPROFILE", "/home/ada")
    assert FIELDS["where"].parse("~/x") == Path("/home/ada/x")
    assert FIELDS["where"].parse("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


def test_what_was_seen_is_shown_short_and_a_secret_not_at_all():
    assert FIELDS["inner.size"].seen("x") == "'x'"
    shown = FIELDS["inner.size"].seen("x" * 10_000)
    assert len(shown) < 100
    assert shown.endswith("(10002 characters)")
    assert CANARY not in FIELDS["key"].seen(CANARY)


def test_a_field_that_no_text_can_be_read_into_is_refused_when_it_is_declared():
    @dataclass(frozen=True)
    class Wrong:
        numbers: tuple[int, ...] = ()

    with pytest.raises(TypeError, match=r"Wrong\.numbers: a setting cannot be of the type tuple\[int"):
        list(declared(Wrong, {}))

    @dataclass(frozen=True)
    class Either:
        both: int | str = 1

    with pytest.raises(TypeError, match=r"Either\.both"):
        list(declared(Either, {}))


def test_the_meaning_is_the_string_below_the_field_on_one_line():
    assert field_docs(Inner) == {"wait_ms": "How long it waits, at most.", "other": "The last."}


def test_without_the_source_there_is_no_meaning_and_no_failure(monkeypatch):
    def gone(_):
        raise OSError("could not get source code")

    monkeypatch.setattr(inspect, "getsource", gone)
    assert field_docs(Inner) == {}


def test_plain_values_are_fit_for_a_table():
    assert plain(Path("/x")) == "/x"
    assert plain(("a", "b")) == ["a", "b"]
    assert plain(Secret(CANARY)) == "<secret>"
    assert plain(1.5) == 1.5
    assert plain(None) is None


def test_a_secret_is_the_string_but_does_not_show_itself():
    secret = Secret(CANARY)
    assert secret == CANARY
    assert f"Bearer {secret}" == f"Bearer {CANARY}"
    assert CANARY not in repr(secret) + repr([secret]) + repr({"key": secret})
