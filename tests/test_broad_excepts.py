"""Broad `except` stands in these places only. Each records a reason; anywhere else it would hide a bug."""

import ast
from collections.abc import Iterator
from pathlib import Path

ALLOWED = {
    "rerankd/serving.py: fail_open": "a bug of ours costs relevance only",
    "rerankd/reranker.py: _emit": "an observer must not break what it observes",
    "rerankd/switch.py: _read": "a flag source that fails leaves the last known flag in force",
    "rerankd/engine/loader.py: _attempt": "no model is an answer, and is tried again",
    "rerankd/engine/workers.py: _live": "a worker that dies strands no caller",
    "rerankd/engine/workers.py: _encode": "a tokenizer may raise anything",
    "rerankd/engine/workers.py: _score": "a scorer may raise anything",
    "rerankd/engine/stop.py: fire": "a scorer's callback must not cost a caller its answer",
    "rerankd/engine/timer.py: _call": "without the timer no circuit would ever heal",
    "rerankd/engine/timer.py: _look_now": "without the timer no hang would ever be found",
    "rerankd/backends/isolation/child.py: load": "no model is an answer, which the parent hears",
    "rerankd/backends/isolation/child.py: _answer": "a scorer or tokenizer may raise anything, over there too",
    "rerankd/models/pairs.py: __init__": "the tokenizer library raises bare Exception for a broken file",
    "rerankd/memory/memory.py: _emit": "an observer must not break the memory either",
    "rerankd/memory/onnx_encoder.py: encode": "the runtime's exceptions share no base class",
    "rerankd/memory/onnx_encoder.py: _session": "nor do those of loading",
    "rerankd/memory/onnx_encoder.py: _tokenizer": "the tokenizer library raises bare Exception for a broken file",
    "rerankd/flags/openfeature.py: read": "a provider and its hooks are foreign code",
    "rerankd/flags/openfeature.py: _client": "so is what makes a provider: it becomes a refusal to start",
    "rerankd/http/edge.py: __call__": "the service's last boundary: a bug of ours must not show a text",
    "rerankd/bulk/place.py: of": "clients of remote file systems have exceptions of their own",
    "rerankd/bulk/place.py: refused": "all of which become one line that names the place",
    "rerankd/bulk/scoring.py: _attempt": "a scorer or tokenizer may raise anything, and costs its row alone",
    "rerankd/compat.py: rerank": "the drop-in never raises",
    "rerankd/compat.py: maybe_rerank": "nor does it where a host has put a function of its own",
    "rerankd/compat.py: _as_list": "nor for an iterator that raises",
    "rerankd/compat_memory.py: arerank": "nor does a host's encoder cost the memory more than the order",
    "rerankd/dropin/encoders.py: _get": "whoever waits for a host's encoder hears of its error",
}
"""`path: function`, and why it may catch everything there."""
BROAD = {"Exception", "BaseException"}


def test_broad_excepts_stand_only_where_a_reason_for_them_is_written_down(repository: Path) -> None:
    found = set(broad_excepts(repository / "src"))
    assert found == set(ALLOWED)


def broad_excepts(source: Path) -> Iterator[str]:
    """`path: function` of every handler that catches everything and does not raise again as its last act."""
    for path in sorted(source.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function, handler in _handlers(tree, "<module>"):
            if _is_broad(handler) and not _only_passes_on(handler):
                yield f"{path.relative_to(source)}: {function}"


def _handlers(node: ast.AST, function: str) -> Iterator[tuple[str, ast.ExceptHandler]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ExceptHandler):
            yield function, child
        named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        yield from _handlers(child, getattr(child, "name", "") if named else function)


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(kind, ast.Name) and kind.id in BROAD for kind in kinds)


def test_nothing_is_suppressed_broadly(repository: Path) -> None:
    for path in sorted((repository / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "suppress":
                assert not BROAD & {getattr(each, "id", "") for each in node.args}, (
                    f"{path.name}:{node.lineno}"
                )


def _only_passes_on(handler: ast.ExceptHandler) -> bool:
    """It cleans up and raises the same error again: nothing is hidden."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None
