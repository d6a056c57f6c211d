import io
import logging
import sys

import pytest

from rerankd.cli.terminal import PlainLog, fail, output, printable


def test_what_is_printed_is_one_line_without_control_characters_or_lone_surrogates() -> None:
    seen = printable("a\tb\nc\x1b[31m\x00\ud800 é ▲\u202e")
    assert (
        seen
        == "a b c\N{REPLACEMENT CHARACTER}[31m"
        + "\N{REPLACEMENT CHARACTER}" * 2
        + " é ▲\N{REPLACEMENT CHARACTER}"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_no_color_leaves_no_style_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for variable, styled in (("NO_COLOR", False), ("SOMETHING_ELSE", True)):
        with monkeypatch.context() as context:
            context.delenv("NO_COLOR", raising=False)
            context.delenv("FORCE_COLOR", raising=False)
            context.setenv(variable, "1")
            context.setattr(sys, "stdout", seen := Terminal())
            output().print("text", style="bold red")
        assert ("\x1b" in seen.getvalue()) is styled


def test_failing_is_a_line_on_standard_error_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail("no\nway", 1)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "rerankd: no way\n"


def test_the_library_s_warnings_are_lines_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    PlainLog().handle(logging.makeLogRecord({"msg": "no %s", "args": ("GPU",)}))
    assert capsys.readouterr().err == "rerankd: no GPU\n"
