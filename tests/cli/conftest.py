"""Runs the command in this process, as a shell would see it."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

import rerankd
from rerankd.cli import main
from rerankd.core.ports import Model
from rerankd.errors import BackendError
from rerankd.reranker import Reranker
from rerankd.testing import fake_reranker


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Done]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """`run("rerank", "a query", ..., stdin=b"...")`."""
    import logging

    logger = logging.getLogger("rerankd")
    handlers = list(logger.handlers)

    def call(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        seen = capfd.readouterr()
        return Done(int(ended.value.code or 0), seen.out, seen.err)

    yield call
    logger.handlers[:] = handlers


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find a model that counts the query's words in a candidate."""

    def opened(model: str | None = None, *, require_model: bool = False, **_: Any) -> Reranker:
        return fake_reranker(require_model=require_model)

    monkeypatch.setattr(rerankd, "open", opened)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find no model."""

    def load() -> Model:
        raise BackendError("model.onnx: is not there")

    def opened(model: str | None = None, *, require_model: bool = False, **_: Any) -> Reranker:
        return Reranker(load, name="none", require_model=require_model)

    monkeypatch.setattr(rerankd, "open", opened)
