"""What the commands that rerank have in common."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rerankd.cli.terminal import PlainLog, notice, progress_output

if TYPE_CHECKING:
    from rerankd.reranker import Reranker
    from rerankd.settings import Settings

__all__ = ["load_settings", "loaded", "log_in_full", "opened"]


def load_settings(**overrides: Any) -> "Settings":
    """The settings; what is no setting is pointed out. The library's warnings go to standard error from here.

    Who sets a log level gets the log instead, in the format of the settings.
    """
    from rerankd.logs import configure
    from rerankd.settings import Settings

    settings = Settings.load(**overrides)
    for unknown in settings.unknown:
        notice(str(unknown))
    if "log.level" in settings.sources or "log.format" in settings.sources:
        configure(settings.log)
    else:
        logger = logging.getLogger("rerankd")
        if not any(isinstance(handler, PlainLog) for handler in logger.handlers):
            logger.addHandler(PlainLog(logging.WARNING))
    return settings


def log_in_full(settings: "Settings") -> None:
    """A service's log, instead of a command's plain warnings: with both each warning would be there twice."""
    from rerankd.logs import configure

    logger = logging.getLogger("rerankd")
    for handler in [each for each in logger.handlers if isinstance(each, PlainLog)]:
        logger.removeHandler(handler)
    configure(settings.log)


@contextmanager
def opened(
    settings: "Settings", model: str | None = None, *, require_model: bool = False
) -> Iterator["Reranker"]:
    """A reranker whose model is loaded, or has failed to load. Nothing is kept: commands ask once or measure."""
    import rerankd

    once = settings.uncached()
    with loaded(rerankd.open(model, settings=once, require_model=require_model)) as reranker:
        yield reranker


@contextmanager
def loaded(reranker: "Reranker") -> Iterator["Reranker"]:
    """Enters the reranker, and shows on a terminal that this takes a moment."""
    with progress_output().status("Loading the model ..."):
        reranker.__enter__()
    try:
        yield reranker
    finally:
        reranker.close()
