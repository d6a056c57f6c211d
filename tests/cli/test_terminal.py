import logging

import pytest

from rerankd.cli.terminal import PlainLog, fail, printable


def test_what_is_printed_is_one_line_without_control_characters_or_lone_surrogates() -> None:
    seen = printable("a\tb\nc\x1b[31m\x00\ud800 é ▲\u202e")
    assert (
        seen
        == "a b c\N{REPLACEMENT CHARACTER}[31m"
        + "\N{REPLACEMENT CHARACTER}" * 2
        + " é ▲\N{REPLACEMENT CHARACTER}"
    )


def test_failing_is_a_line_on_standard_error_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fail("no\nway", 1)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "rerankd: no way\n"


def test_the_library_s_warnings_are_lines_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    PlainLog().handle(logging.makeLogRecord({"msg": "no %s", "args": ("GPU",)}))
    assert capsys.readouterr().err == "rerankd: no GPU\n"
