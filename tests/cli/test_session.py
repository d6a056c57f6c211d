"""What a command and a service write to standard error."""

import logging

import pytest

from rerankd.cli.session import load_settings, log_in_full


@pytest.fixture(autouse=True)
def _logger_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("rerankd")
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "level", logging.NOTSET)


def test_a_service_writes_each_warning_once(capsys: pytest.CaptureFixture[str]) -> None:
    log_in_full(load_settings())
    logging.getLogger("rerankd.model").warning("no GPU")
    written = capsys.readouterr().err
    assert written.count("no GPU") == 1
    assert "WARNING rerankd.model" in written


def test_a_command_writes_a_warning_as_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    load_settings()
    logging.getLogger("rerankd.model").warning("no GPU")
    assert capsys.readouterr().err == "rerankd: no GPU\n"
